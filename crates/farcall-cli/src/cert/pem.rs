//! PEM: what is in a file, section by section, and how bytes are written as text.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pki_types::pem::{PemObject, SectionKind};
use pki_types::{CertificateDer, CertificateRevocationListDer};
use zeroize::Zeroizing;

use super::certificate::Certificate;
use super::file;
use super::revocations::Revocations;
use super::wrong;
use crate::report::Report;

/// A section of a file.
pub(crate) enum Section {
    Certificate(Certificate),
    Revocations(Revocations),
    /// A private key, of which nothing else is told.
    Key,
}

/// What a file holds, in order; at least one section.
pub(crate) fn sections(path: &Path) -> Result<Vec<Section>, Report> {
    let content = file::read(path)?;
    let mut sections = Vec::new();
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(&content) {
        // What is wrong is not quoted: it may be part of a key.
        let (kind, der) = section.map_err(|_| wrong(path, "its PEM is broken", REMEDY))?;
        let broken = |why: String| wrong(path, format!("section {}: {why}", sections.len() + 1), REMEDY);
        match kind {
            SectionKind::Certificate => {
                let certificate = Certificate::read(CertificateDer::from(der)).map_err(broken)?;
                sections.push(Section::Certificate(certificate));
            }
            SectionKind::Crl => {
                let list = Revocations::read(CertificateRevocationListDer::from(der)).map_err(broken)?;
                sections.push(Section::Revocations(list));
            }
            SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey => {
                drop(Zeroizing::new(der));
                sections.push(Section::Key);
            }
            _ => {}
        }
    }
    match sections.is_empty() {
        true => Err(wrong(path, "no certificate in it", REMEDY)),
        false => Ok(sections),
    }
}

const REMEDY: &str = "name a PEM file: text with -----BEGIN CERTIFICATE----- or -----BEGIN X509 CRL-----";

/// The certificates of a file; at least one.
pub(crate) fn certificates(path: &Path) -> Result<Vec<Certificate>, Report> {
    let certificates: Vec<Certificate> = sections(path)?
        .into_iter()
        .filter_map(|section| match section {
            Section::Certificate(certificate) => Some(certificate),
            _ => None,
        })
        .collect();
    match certificates.is_empty() {
        true => Err(wrong(path, "no certificate in it", REMEDY)),
        false => Ok(certificates),
    }
}

/// The first certificate of a file, and those behind it.
pub(crate) fn chain(path: &Path) -> Result<(Certificate, Vec<Certificate>), Report> {
    let mut certificates = certificates(path)?.into_iter();
    let first = certificates.next().ok_or_else(|| wrong(path, "no certificate in it", REMEDY))?;
    Ok((first, certificates.collect()))
}

/// The revocation lists of a file; at least one.
pub(crate) fn lists(path: &Path) -> Result<Vec<Revocations>, Report> {
    let lists: Vec<Revocations> = sections(path)?
        .into_iter()
        .filter_map(|section| match section {
            Section::Revocations(list) => Some(list),
            _ => None,
        })
        .collect();
    match lists.is_empty() {
        true => Err(wrong(path, "no list of revoked certificates in it", REMEDY)),
        false => Ok(lists),
    }
}

/// Bytes as a section of a PEM file, which may be a key: nothing of it is left in memory when it is dropped.
pub(crate) fn encode(label: &str, der: &[u8]) -> Zeroizing<String> {
    const LINE: usize = 48; // bytes that make a line of 64 letters
    // Room for all of it, because a text that grows leaves copies behind.
    let room = der.len().div_ceil(LINE) * 65 + 2 * (label.len() + 32);
    let mut text = Zeroizing::new(String::with_capacity(room));
    text.push_str(&format!("-----BEGIN {label}-----\n"));
    for line in der.chunks(LINE) {
        STANDARD.encode_string(line, &mut text);
        text.push('\n');
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Upper-case hexadecimal digits in pairs, as fingerprints are written.
pub(crate) fn colons(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back_and_never_grows_while_it_is_written() {
        for length in [0, 1, 47, 48, 49, 96, 1000] {
            let der = vec![0x5a; length];
            let text = encode("CERTIFICATE", &der);
            assert!(text.lines().all(|line| line.len() <= 64), "{}", *text);
            let room = length.div_ceil(48) * 65 + 2 * ("CERTIFICATE".len() + 32);
            assert!(text.len() <= room);
            let mut sections = <(SectionKind, Vec<u8>)>::pem_slice_iter(text.as_bytes());
            assert_eq!(sections.next().unwrap().unwrap(), (SectionKind::Certificate, der));
            assert!(sections.next().is_none());
        }
    }

    #[test]
    fn bytes_are_shown_in_hexadecimal() {
        assert_eq!((hex(&[0, 0xab]).as_str(), colons(&[0, 0xab]).as_str()), ("00ab", "00:AB"));
    }
}
