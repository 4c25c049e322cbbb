//! tmp
mod params;
pub use params::*;
