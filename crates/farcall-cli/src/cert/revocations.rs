//! A list of revoked certificates: what it says, and whether a serial number is on it.

use pki_types::CertificateRevocationListDer;
use rcgen::{RevokedCertParams, SerialNumber};
use x509_parser::parse_x509_crl;
use x509_parser::revocation_list::CertificateRevocationList;

use super::certificate::Certificate;
use super::date::Date;

/// A list of revoked certificates, as its authority signed it.
#[derive(Debug, Clone)]
pub(crate) struct Revocations {
    pub(crate) der: CertificateRevocationListDer<'static>,
    pub(crate) issuer: String,
    pub(crate) raw_issuer: Vec<u8>,
    /// Its number, in bytes; a later list has a greater one. Empty if it has none.
    pub(crate) number: Vec<u8>,
    pub(crate) made: Date,
    /// When its authority meant to make the next one.
    pub(crate) next: Option<Date>,
    pub(crate) revoked: Vec<Revoked>,
}

/// An entry of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Revoked {
    pub(crate) serial: Vec<u8>,
    pub(crate) on: Date,
}

impl Revocations {
    pub(crate) fn read(der: CertificateRevocationListDer<'static>) -> Result<Self, String> {
        let parsed = parse(&der)?;
        let entry = |entry: &x509_parser::revocation_list::RevokedCertificate<'_>| Revoked {
            serial: entry.raw_serial().to_vec(),
            on: entry.revocation_date.into(),
        };
        Ok(Self {
            issuer: parsed.issuer().to_string(),
            raw_issuer: parsed.issuer().as_raw().to_vec(),
            number: parsed.crl_number().map(|number| number.to_bytes_be()).unwrap_or_default(),
            made: parsed.last_update().into(),
            next: parsed.next_update().map(Date::from),
            revoked: parsed.iter_revoked_certificates().map(entry).collect(),
            der: der.clone(),
        })
    }

    /// Whether that authority made it: by its name and by its signature.
    pub(crate) fn is_signed_by(&self, authority: &Certificate) -> bool {
        let Ok(own) = parse(&self.der) else { return false };
        let Ok((_, issuer)) = x509_parser::parse_x509_certificate(&authority.der) else { return false };
        self.raw_issuer == authority.raw_subject && own.verify_signature(issuer.public_key()).is_ok()
    }

    /// Whether a node that wants its lists fresh would still take it.
    pub(crate) fn is_fresh(&self, now: Date) -> bool {
        self.next.is_none_or(|next| now <= next)
    }

    /// When this serial number was revoked.
    pub(crate) fn revoked_on(&self, serial: &[u8]) -> Option<Date> {
        self.revoked.iter().find(|entry| entry.serial == serial).map(|entry| entry.on)
    }

    /// The number of the list that comes after it.
    pub(crate) fn next_number(&self) -> Vec<u8> {
        increment(&self.number)
    }

    /// The number as people write it; those that are too long for that in hexadecimal.
    pub(crate) fn number(&self) -> Option<String> {
        let small = self
            .number
            .iter()
            .try_fold(0_u64, |number, byte| number.checked_mul(256).map(|number| number | u64::from(*byte)));
        let shown = small.map_or_else(|| super::pem::colons(&self.number), |number| number.to_string());
        (!self.number.is_empty()).then_some(shown)
    }
}

impl Revoked {
    pub(crate) fn serial(&self) -> String {
        super::pem::colons(&self.serial)
    }

    pub(crate) fn params(&self) -> RevokedCertParams {
        RevokedCertParams {
            serial_number: SerialNumber::from_slice(&self.serial),
            revocation_time: self.on.time(),
            reason_code: None,
            invalidity_date: None,
        }
    }
}

fn parse<'a>(der: &'a CertificateRevocationListDer<'_>) -> Result<CertificateRevocationList<'a>, String> {
    match parse_x509_crl(der) {
        Ok(([], parsed)) => Ok(parsed),
        Ok(_) => Err("something follows the list".to_owned()),
        Err(error) => Err(format!("the list of revoked certificates cannot be read: {error}")),
    }
}

/// A number of any size and one.
fn increment(number: &[u8]) -> Vec<u8> {
    let mut next = number.to_vec();
    for byte in next.iter_mut().rev() {
        let (sum, carries) = byte.overflowing_add(1);
        *byte = sum;
        if !carries {
            return next;
        }
    }
    next.insert(0, 1);
    next
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_lists_count_on_at_any_size() {
        for (number, next) in [
            (&[][..], &[1][..]),
            (&[0], &[1]),
            (&[1], &[2]),
            (&[255], &[1, 0]),
            (&[1, 255], &[2, 0]),
            (&[255; 9], &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        ] {
            assert_eq!(increment(number), next);
        }
    }
}
