//! `farcall cert revoke`: adds certificates to the list of revoked ones.

use std::fs::File;
use std::path::Path;

use serde::Serialize;

use super::args::Revoke;
use super::authority::Authority;
use super::certificate::Certificate;
use super::date::Date;
use super::file::{self, Existing, Mode, NewFile};
use super::pem;
use super::place::Place;
use super::revocations::{Revocations, Revoked};
use super::wrong;
use crate::output::Output;
use crate::report::Report;

/// Adds all of them, or none if something is wrong with one; what is on the list already keeps its date.
pub(crate) fn revoke(revoke: &Revoke, output: &mut Output) -> Result<(), Report> {
    let place = Place::find(&revoke.folder)?;
    let authority = Authority::load(&place)?;
    let certificates: Vec<Certificate> =
        revoke.certificates.iter().map(|path| own(path, &authority)).collect::<Result<_, _>>()?;
    // Two that revoke at once must not each write a list without the other's entries.
    let _lock = lock(&place.authority())?;
    let earlier = earlier(&place, &authority)?;
    let now = Date::now();
    let (mut more, mut told): (Vec<Revoked>, Vec<Told>) = (Vec::new(), Vec::new());
    for certificate in &certificates {
        let serial = &certificate.serial;
        let before = earlier.as_ref().and_then(|list| list.revoked_on(serial));
        if before.is_none() && !more.iter().any(|entry| entry.serial == *serial) {
            more.push(Revoked { serial: serial.clone(), on: now });
        }
        told.push(Told { who: certificate.speaks_for(), serial: certificate.serial(), before });
    }
    let list = match earlier {
        Some(earlier) if more.is_empty() => earlier,
        earlier => {
            let list = authority.revoke(earlier.as_ref(), &more)?;
            let text = pem::encode("X509 CRL", &list.der);
            let path = place.revocations();
            let file = NewFile { path: &path, content: text.as_bytes(), mode: Mode::Everybody };
            file::place(&[file], Existing::Replaced)?;
            list
        }
    };
    tell(&told, &list, &place.revocations(), output)
}

/// What became of one certificate.
struct Told {
    who: String,
    serial: String,
    /// When it had been revoked already.
    before: Option<Date>,
}

/// The certificate in this file, which the authority must have made.
fn own(path: &Path, authority: &Authority) -> Result<Certificate, Report> {
    let (certificate, _) = pem::chain(path)?;
    if certificate.raw_subject == authority.certificate.raw_subject {
        let remedy = "take its certificate from the nodes instead, once they have a new one";
        return Err(wrong(path, "the authority cannot revoke itself", remedy));
    }
    if !certificate.is_signed_by(&authority.certificate) {
        let what = format!("made by {}, not by the authority here", certificate.issuer);
        return Err(wrong(path, what, "name the folder of the authority that made it with --dir"));
    }
    Ok(certificate)
}

fn lock(path: &Path) -> Result<File, Report> {
    let locked = File::open(path).and_then(|file| file.lock().map(|()| file));
    locked.map_err(|error| wrong(path, format!("cannot be locked: {error}"), ""))
}

/// The list there is, which must be of this authority: anything else would be lost.
fn earlier(place: &Place, authority: &Authority) -> Result<Option<Revocations>, Report> {
    let path = place.revocations();
    if path.symlink_metadata().is_err() {
        return Ok(None);
    }
    match pem::lists(&path)?.pop() {
        Some(list) if list.is_signed_by(&authority.certificate) => Ok(Some(list)),
        _ => Err(wrong(&path, "not a list of the authority here", "move it away; then a new list is begun")),
    }
}

fn tell(told: &[Told], list: &Revocations, path: &Path, output: &mut Output) -> Result<(), Report> {
    #[derive(Serialize)]
    struct Document<'a> {
        certificate: &'a str,
        serial: &'a str,
        /// On the list before this.
        already: bool,
        crl: String,
        number: Option<String>,
        revoked: usize,
    }
    let (shown, revoked) = (path.display().to_string(), list.revoked.len());
    for Told { who, serial, before } in told {
        let number = list.number();
        match (before, output.is_json()) {
            (_, true) => output.document(&Document {
                certificate: who,
                serial,
                already: before.is_some(),
                crl: shown.clone(),
                number,
                revoked,
            })?,
            (None, false) => output.line(&format!("revoked {who}, serial {serial}"))?,
            (Some(on), false) => {
                output.line(&format!("{who}, serial {serial}, was revoked on {on} already"))?
            }
        }
    }
    if output.is_json() {
        return Ok(());
    }
    output.line(&format!("{shown}: list {}, {revoked} revoked", list.number().unwrap_or_default()))?;
    output.line(
        "next: copy it to every node, where [tls] names it as crl = [\"crl.pem\"], and send it a SIGHUP",
    )
}
