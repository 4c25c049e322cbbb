//! The protocol of farcall as values: it decides, and does nothing.
//!
//! No sockets, no clock, no randomness and no actors live here: bytes, instants and nonces come in as
//! arguments, and bytes and events go out as results. That is what makes every rule of the protocol testable
//! in virtual time.
//!
//! - [`peer`]: names of nodes, and targets with an optional key.
//! - [`identity`]: which node a certificate speaks for.
//! - [`gate`]: which strangers are let in.
//! - [`portmap`]: which port of a host is whose: epmd's protocol, and what a mapper keeps.
//! - [`cluster`]: who is there, and who is told when something ends.
//! - [`failure`]: what can become of a request, in four classes.
//! - [`trace`]: which trace a request belongs to.
//! - [`link`]: one connection. Its [`frame`](link::frame) module is the protocol reference, and
//!   [`handshake`](link::handshake) is what stands before it.
//!
//! Whoever owns a socket feeds a link with what it read and the time, and writes what the link gives. This is a
//! whole handshake without a socket:
//!
//! ```
//! use farcall_proto::link::Limits;
//! use farcall_proto::link::handshake::*;
//! use farcall_proto::peer::{Incarnation, NodeName};
//!
//! let keyring = Keyring::new(Cookie::new(b"sixteen bytes or more")?);
//! let local = |name: &str, number| -> Result<Local, Box<dyn std::error::Error>> {
//!     let (name, incarnation) = (name.parse()?, Incarnation(number));
//!     let params = Limits::default().announce(0);
//!     Ok(Local { name, incarnation, params, cluster: "farcall".to_owned(), versions: 1..=1 })
//! };
//!
//! // Nonces come from the operating system in real life, and frames are cut by a `PreAuthFramer`; here each
//! // message travels alone, behind the four bytes of its length.
//! use std::mem::take;
//! let (beta, no_tls) = ("beta@10.0.0.2".parse::<NodeName>()?, ChannelBinding::None);
//! let (mut to_beta, mut to_alpha) = (Vec::new(), Vec::new());
//! let alpha = Initiator::start(local("alpha@10.0.0.1", 1)?, beta, &keyring, no_tls, [1; 32], &mut to_beta);
//! let beta = Responder::new(local("beta@10.0.0.2", 2)?, &keyring, no_tls, [2; 32]);
//!
//! let Step::Continue(beta) = beta.handle(&take(&mut to_beta)[4..], &mut to_alpha)? else { panic!() };
//! let Step::Continue(alpha) = alpha.handle(&take(&mut to_alpha)[4..], &mut to_beta)? else { panic!() };
//! let Step::Continue(beta) = beta.handle(&take(&mut to_beta)[4..], &mut to_alpha)? else { panic!() };
//! let Step::Done(of_beta) = alpha.handle(&take(&mut to_alpha)[4..], &mut to_beta)? else { panic!() };
//! let Step::Done(of_alpha) = beta.handle(&take(&mut to_beta)[4..], &mut to_alpha)? else { panic!() };
//!
//! assert_eq!(of_beta.peer.as_str(), "beta@10.0.0.2");
//! assert_eq!((of_alpha.peer.as_str(), of_alpha.incarnation), ("alpha@10.0.0.1", Incarnation(1)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod cluster;
pub mod failure;
pub mod gate;
pub mod identity;
pub mod link;
pub mod namesake;
pub mod peer;
pub mod portmap;
pub mod trace;
