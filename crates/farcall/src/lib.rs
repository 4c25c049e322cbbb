//! The cluster runtime for actix: give an actor a name, and call it from any node.
