//! The manual. Each page is a module; its examples are compiled and its settings are read by the tests.
//!
//! | page | for whom |
//! |---|---|
//! | [`quick_start`] | you have ten minutes |
//! | [`concepts`] | you want to see what there is, in six pictures |
//! | [`semantics`] | you call something and want to know what an error means and what is promised |
//! | [`errors`] | you have an error, and want to know whose fault it is and what to do |
//! | [`messages`] | you write messages and change them while nodes run |
//! | [`cluster`] | you want to know who is there and what ends; groups of actors, services, actors on other nodes |
//! | [`configuration`] | you look for a setting, or come with a configuration of gen_rpc |
//! | [`operations`] | you run it: deploy, cookies, logs, metrics, limits, draining, trouble at night |
//! | [`inside`] | something is wrong, or you want to see what goes on: console, live view, browser, Prometheus; four worked cases |
//! | [`port_mapper`] | you run several nodes on a host and do not want to give each a port |
//! | [`containers`] | you put nodes into containers: images, a cluster to look at, health checks |
//! | [`faults`] | you ask what happens when hosts die and networks split, and whether somebody has tried it |
//! | [`performance`] | you want to know what a call costs, why, and how to make it cost less |
//! | [`security`] | you have to say what is protected and what is not |
//! | [`procedures`] | you make, renew, replace or revoke certificates and cookies, step by step |
//! | [`protocol`] | you read a capture, or write another implementation |
//! | [`coming_from_gen_rpc`] | you know gen_rpc, exrpc, Erlang's `rpc`, or Elixir |
//! | [`coming_from_actix`] | you know actix, and wonder what a network changes |
//! | [`upstream_cases`] | you want to know where a test case of a predecessor is tested here |
//! | [`design`] | you ask why it is like this |

#[doc = include_str!("quick_start.md")]
pub mod quick_start {}

#[doc = include_str!("concepts.md")]
pub mod concepts {}

#[doc = include_str!("semantics.md")]
pub mod semantics {}

#[doc = include_str!("errors.md")]
pub mod errors {}

#[doc = include_str!("messages.md")]
pub mod messages {}

#[doc = include_str!("cluster.md")]
pub mod cluster {}

#[doc = include_str!("configuration.md")]
pub mod configuration {}

#[doc = include_str!("operations.md")]
pub mod operations {}

#[doc = include_str!("inside.md")]
pub mod inside {}

#[doc = include_str!("port_mapper.md")]
pub mod port_mapper {}

#[doc = include_str!("containers.md")]
pub mod containers {}

#[doc = include_str!("faults.md")]
pub mod faults {}

#[doc = include_str!("performance.md")]
pub mod performance {}

#[doc = include_str!("security.md")]
pub mod security {}

#[doc = include_str!("procedures.md")]
pub mod procedures {}

#[doc = include_str!("protocol.md")]
pub mod protocol {}

#[doc = include_str!("coming_from_gen_rpc.md")]
pub mod coming_from_gen_rpc {}

#[doc = include_str!("coming_from_actix.md")]
pub mod coming_from_actix {}

#[doc = include_str!("upstream_cases.md")]
pub mod upstream_cases {}

#[doc = include_str!("design.md")]
pub mod design {}
