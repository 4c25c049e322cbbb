//! `#[farcall::message]` and `#[derive(RemoteActor)]`.
