//! `farcall cert ca`: a new certificate authority, and its list of revoked certificates, on which there is nothing yet.
//!
//! The list is there from the start, so that nodes name it from the start: to revoke a certificate is then to give them
//! another file, and no node has to be started anew for it.

use serde::Serialize;

use super::args::Ca;
use super::authority::Authority;
use super::date::Date;
use super::file::{self, Existing, Mode, NewFile};
use super::pem::encode;
use super::place::Place;
use crate::output::Output;
use crate::report::Report;

/// Makes it, and says what to do with its files.
pub(crate) fn ca(ca: &Ca, output: &mut Output) -> Result<(), Report> {
    #[derive(Serialize)]
    struct Made<'a> {
        cluster: &'a str,
        certificate: &'a str,
        key: &'a str,
        crl: &'a str,
        not_after: Date,
        fingerprint: String,
    }
    let place = Place::find(&ca.folder)?;
    let (path, key_path, list_path) = (place.authority(), place.authority_key(), place.revocations());
    let authority = Authority::make(&ca.cluster, ca.days)?;
    place.make()?;
    let (key, certificate) = (authority.key.pem(), encode("CERTIFICATE", &authority.certificate.der));
    let list = encode("X509 CRL", &authority.revoke(None, &[])?.der);
    let files = [
        NewFile { path: &key_path, content: key.as_bytes(), mode: Mode::Owner },
        NewFile { path: &path, content: certificate.as_bytes(), mode: Mode::Everybody },
        NewFile { path: &list_path, content: list.as_bytes(), mode: Mode::Everybody },
    ];
    file::place(&files, Existing::from(ca.force))?;
    let until = authority.certificate.validity.until;
    let [path, key_path, list_path] = [&path, &key_path, &list_path].map(|path| path.to_string_lossy());
    if output.is_json() {
        return output.document(&Made {
            cluster: &ca.cluster,
            certificate: &path,
            key: &key_path,
            crl: &list_path,
            not_after: until,
            fingerprint: authority.certificate.fingerprint(),
        });
    }
    output.line(&format!("certificate authority of cluster {}, until {until}", ca.cluster))?;
    output.line(&format!("  for every node  {path}"))?;
    output.line(&format!("                  {list_path}"))?;
    output.line(&format!("  stays here      {key_path}: whoever has this key can make nodes"))?;
    output.line(&format!("next: farcall cert node NAME@HOST{}", place.options))
}
