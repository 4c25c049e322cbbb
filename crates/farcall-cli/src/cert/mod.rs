//! `farcall cert`: certificates for nodes, made, shown, checked and revoked, without a node and without a cookie.
//!
//! ```text
//! args                             what was asked
//! ca  node  revoke  show  check    the commands
//! authority                        makes certificates: a certificate, its key, and the cluster it is for
//! certificate  revocations         what a certificate and a list of revoked ones say
//! chain  finding                   what a peer would say of a certificate, and how that is told
//! secret                           a private key, and who may read it
//! place  file  pem  date           where the files are, how they are read and written, and from when until when
//! ```

pub(crate) mod args;
mod authority;
mod ca;
mod certificate;
mod chain;
mod check;
mod date;
mod file;
mod finding;
mod node;
mod pem;
pub(crate) mod place;
mod revocations;
mod revoke;
mod secret;
mod show;

use crate::cert::args::Cert;
use crate::output::Output;
use crate::report::Report;

/// Does what was asked.
pub(crate) fn run(cert: &Cert, output: &mut Output) -> Result<(), Report> {
    match cert {
        Cert::Ca(ca) => ca::ca(ca, output),
        Cert::Node(node) => node::node(node, output),
        Cert::Show(show) => show::show(show, output),
        Cert::Check(check) => check::check(check, output),
        Cert::Revoke(revoke) => revoke::revoke(revoke, output),
    }
}

/// Something about a file: which one, what is wrong with it, what to do.
fn wrong(path: &std::path::Path, what: impl std::fmt::Display, remedy: impl Into<String>) -> Report {
    Report::here("certificate", format!("{}: {what}", path.display()), remedy)
}
