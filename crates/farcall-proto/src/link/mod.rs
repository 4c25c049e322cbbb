//! One connection as a value.
