//! What a certificate says: whom it names, and from when until when it holds.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use farcall_proto::identity::CertificateNames;
use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

/// What a certificate says that counts here.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub(crate) names: CertificateNames,
    /// Seconds since 1970.
    pub(crate) not_before: i64,
    pub(crate) not_after: i64,
}

impl Facts {
    /// Reads a certificate. Whether it can be believed is for others to say.
    pub(crate) fn read(certificate: &CertificateDer<'_>) -> Result<Self, String> {
        let (_, parsed) = parse_x509_certificate(certificate).map_err(|error| error.to_string())?;
        let mut names = CertificateNames::default();
        let extension = parsed.subject_alternative_name().map_err(|error| error.to_string())?;
        for name in extension.iter().flat_map(|extension| &extension.value.general_names) {
            match name {
                GeneralName::URI(uri) => names.uris.push((*uri).to_owned()),
                GeneralName::DNSName(name) => names.dns.push((*name).to_owned()),
                GeneralName::IPAddress(bytes) => names.ips.extend(ip(bytes)),
                _ => {}
            }
        }
        let validity = parsed.validity();
        let (not_before, not_after) = (validity.not_before.timestamp(), validity.not_after.timestamp());
        Ok(Self { names, not_before, not_after })
    }

    /// How long the certificate still holds; nothing if it is over.
    pub(crate) fn left(&self, now: SystemTime) -> Option<Duration> {
        let left = u64::try_from(self.not_after.saturating_sub(unix_seconds(now))).ok()?;
        Some(Duration::from_secs(left)).filter(|left| !left.is_zero())
    }

    /// What is wrong with it at this time, if anything.
    pub(crate) fn not_now(&self, now: SystemTime) -> Option<String> {
        let seconds = unix_seconds(now);
        if seconds >= self.not_after {
            return Some(format!("ended {} ago", span(seconds.saturating_sub(self.not_after))));
        }
        if seconds < self.not_before {
            let begins = span(self.not_before.saturating_sub(seconds));
            return Some(format!("begins in {begins}: is the clock of this machine right?"));
        }
        None
    }
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(|bytes| Ipv4Addr::from(bytes).into()),
        _ => <[u8; 16]>::try_from(bytes).ok().map(|bytes| Ipv6Addr::from(bytes).into()),
    }
}

fn unix_seconds(now: SystemTime) -> i64 {
    let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

/// A time as a person would say it: two days are not 172,800 seconds.
pub(crate) fn span(seconds: i64) -> String {
    match seconds {
        172_800.. => format!("{} days", seconds / 86_400),
        7_200.. => format!("{} hours", seconds / 3600),
        120.. => format!("{} minutes", seconds / 60),
        _ => format!("{seconds} seconds"),
    }
}
