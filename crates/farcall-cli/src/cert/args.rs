//! What can be asked of `farcall cert`.

use std::path::PathBuf;

use clap::Subcommand;
use farcall::{Config, NodeName};

use super::place;

#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Cert {
    /// Make a certificate authority: ca.pem, ca-key.pem and crl.pem
    ///
    /// Every node of the cluster gets a copy of ca.pem, and of crl.pem, the list of revoked certificates. ca-key.pem
    /// stays on the machine where certificates are made: whoever has it can make nodes.
    #[command(verbatim_doc_comment, after_help = CA_EXAMPLES)]
    Ca(Ca),
    /// Make a key and a certificate for each node, and print the settings it needs
    ///
    /// The certificate speaks for this node of this cluster, as a server and as a client. Its host, when it is a host
    /// name or an address, stands in it for other programs. It never outlives its authority.
    #[command(verbatim_doc_comment, after_help = NODE_EXAMPLES)]
    Node(Node),
    /// Show what is in files of certificates and revocation lists
    #[command(after_help = SHOW_EXAMPLES)]
    Show(Show),
    /// Check that a node can work with a certificate: one line for each thing that may be wrong
    ///
    /// The exit code is 0 if all is well, also with warnings, and 1 if something failed.
    #[command(verbatim_doc_comment, after_help = CHECK_EXAMPLES)]
    Check(Check),
    /// Revoke certificates: adds them to crl.pem
    ///
    /// The list counts once the nodes have read it: copy it to each and send their processes a SIGHUP. It has to be
    /// named in their settings, `crl = ["crl.pem"]` under [tls], as `cert node` writes them. Connections that are up stay.
    #[command(verbatim_doc_comment, after_help = REVOKE_EXAMPLES)]
    Revoke(Revoke),
}

const EXAMPLES: &str = "\
Examples:
  farcall cert ca
  farcall cert node alpha@10.0.0.1 beta@10.0.0.2
  farcall cert show beta@10.0.0.2.pem
  farcall cert check beta@10.0.0.2.pem --name beta@10.0.0.2
  farcall cert revoke beta@10.0.0.2.pem";

const CA_EXAMPLES: &str = "\
Examples:
  farcall cert ca
  farcall cert ca --dir /etc/farcall/tls --cluster blue --days 1825";

const NODE_EXAMPLES: &str = "\
Examples:
  farcall cert node alpha@10.0.0.1 beta@10.0.0.2
  farcall cert node beta@web.example --host www.example --host 10.0.0.2 --days 90
  farcall cert node beta@10.0.0.2 --force      a new one in place of the old one";

const SHOW_EXAMPLES: &str = "\
Examples:
  farcall cert show ca.pem beta@10.0.0.2.pem crl.pem
  farcall cert show beta@10.0.0.2.pem --json";

const CHECK_EXAMPLES: &str = "\
Examples:
  farcall cert check beta@10.0.0.2.pem --name beta@10.0.0.2
  farcall cert check beta.pem --key beta-key.pem --ca ca.pem --crl crl.pem --name beta@10.0.0.2 --cluster blue";

const REVOKE_EXAMPLES: &str = "\
Examples:
  farcall cert revoke ~/.config/farcall/tls/beta@10.0.0.2.pem
  farcall cert revoke old/beta.pem --dir /etc/farcall/tls";

#[derive(Debug, clap::Args)]
pub(crate) struct Ca {
    #[command(flatten)]
    pub(crate) folder: Folder,
    /// How long it is valid
    #[arg(long, value_name = "N", default_value_t = 3650, value_parser = days())]
    pub(crate) days: u32,
    /// The cluster whose nodes it is for
    #[arg(long, value_name = "NAME", default_value = "farcall", value_parser = cluster)]
    pub(crate) cluster: String,
    /// Put it in the place of one that is there, whose certificates then lead nowhere
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Node {
    /// The nodes, as name@host
    #[arg(required = true, value_name = "NAME")]
    pub(crate) names: Vec<NodeName>,
    #[command(flatten)]
    pub(crate) folder: Folder,
    /// How long it is valid
    #[arg(long, value_name = "N", default_value_t = 365, value_parser = days())]
    pub(crate) days: u32,
    /// The cluster; default: that of the authority
    #[arg(long, value_name = "NAME", value_parser = cluster)]
    pub(crate) cluster: Option<String>,
    /// One more host name or address to stand in the certificate; may be repeated
    #[arg(long = "host", value_name = "EXTRA")]
    pub(crate) hosts: Vec<String>,
    /// Put it in the place of one that is there
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// PEM files
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Check {
    /// The certificate of the node, with those between it and the authority behind it
    #[arg(value_name = "CERT")]
    pub(crate) certificate: PathBuf,
    /// Its private key; default: NAME-key.pem beside NAME.pem
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// The authority that the nodes believe; may be repeated; default: ca.pem beside the certificate
    #[arg(long = "ca", value_name = "FILE")]
    pub(crate) authorities: Vec<PathBuf>,
    /// A list of revoked certificates; may be repeated; default: crl.pem beside ca.pem, unless --ca is given
    #[arg(long = "crl", value_name = "FILE")]
    pub(crate) lists: Vec<PathBuf>,
    /// The node it must speak for
    #[arg(long, value_name = "NODE")]
    pub(crate) name: Option<NodeName>,
    /// The cluster of that node; default: that of the authority
    #[arg(long, value_name = "NAME", value_parser = cluster, requires = "name")]
    pub(crate) cluster: Option<String>,
}

impl Check {
    /// The file of the key.
    pub(crate) fn key(&self) -> PathBuf {
        self.key.clone().unwrap_or_else(|| place::key_beside(&self.certificate))
    }

    /// The files of the authorities.
    pub(crate) fn authorities(&self) -> Vec<PathBuf> {
        match self.authorities.is_empty() {
            true => vec![place::authority_beside(&self.certificate)],
            false => self.authorities.clone(),
        }
    }

    /// The files of lists of revoked certificates. One that lies beside the certificate is of the authority there.
    pub(crate) fn lists(&self) -> Vec<PathBuf> {
        match self.lists.is_empty() && self.authorities.is_empty() {
            true => place::revocations_beside(&self.certificate).into_iter().collect(),
            false => self.lists.clone(),
        }
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Revoke {
    /// Their files; the first certificate of each counts
    #[arg(required = true, value_name = "CERT")]
    pub(crate) certificates: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) folder: Folder,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Folder {
    /// The folder of the authority; default: tls, beside the cookie file, usually ~/.config/farcall/tls
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
}

/// A hundred years: longer is a mistake, and far from where dates end.
const DAYS_MAX: i64 = 36_500;

fn days() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=DAYS_MAX)
}

/// As a node's configuration has it; 64 is also what the organisation of a certificate may hold.
fn cluster(text: &str) -> Result<String, String> {
    let good = (1..=Config::CLUSTER_BYTES_MAX).contains(&text.len()) && !text.contains(char::is_control);
    match good {
        true => Ok(text.to_owned()),
        false => Err(format!("1 to {} bytes without control characters", Config::CLUSTER_BYTES_MAX)),
    }
}
