//! The certificate authority of a cluster: makes certificates of nodes and lists of revoked ones.
//!
//! It remembers its cluster as the organisation in its name. The common name has a random part: after an authority is
//! replaced, certificates and lists of the old one are not taken for those of the new one, whose name would otherwise
//! be the same.

use farcall::NodeName;
use farcall_proto::identity;
use pki_types::CertificateRevocationListDer;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, SanType, SerialNumber,
};

use super::certificate::{AUTHORITY_NAME, Certificate};
use super::date::{Date, Standing, Validity};
use super::pem::{self, hex};
use super::place::Place;
use super::revocations::{Revocations, Revoked};
use super::secret::{self, Secret};
use super::wrong;
use crate::report::Report;

/// A certificate authority, able to sign.
pub(crate) struct Authority {
    pub(crate) certificate: Certificate,
    pub(crate) key: Secret,
}

/// A certificate of a node and the key to it.
pub(crate) struct Issued {
    pub(crate) certificate: Certificate,
    pub(crate) key: Secret,
    /// Whether it ends sooner than asked for, with its authority.
    pub(crate) shortened: bool,
}

/// Clocks of nodes differ: what is made now is valid everywhere at once.
const CLOCK_SKEW_MINUTES: u32 = 5;

impl Authority {
    /// A new one for a cluster.
    pub(crate) fn make(cluster: &str, days: u32) -> Result<Self, Report> {
        let key = Secret::generate()?;
        let name = format!("{AUTHORITY_NAME}{}", hex(&random::<4>()?));
        let now = Date::now();
        let mut params = params(&name, cluster, now, now.plus_days(days))?;
        // It signs nodes, and no authorities below it.
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let made = params.self_signed(key.pair()).map_err(|error| unsigned(&error))?;
        Ok(Self { certificate: Certificate::read(made.into()).map_err(|why| unsigned(&why))?, key })
    }

    /// The one in this folder.
    pub(crate) fn load(place: &Place) -> Result<Self, Report> {
        let (path, key_path) = (place.authority(), place.authority_key());
        if let Ok(false) = path.try_exists() {
            let what = format!("there is no certificate authority in {}", place.folder().display());
            let remedy = format!("make one: farcall cert ca{}; or name its folder with --dir", place.options);
            return Err(Report::here("no_authority", what, remedy));
        }
        let (certificate, _) = pem::chain(&path)?;
        if !certificate.is_authority {
            return Err(wrong(&path, "not the certificate of an authority", "name its folder with --dir"));
        }
        secret::is_private(&key_path)?;
        let key = Secret::read(&key_path)?;
        if key.public_key() != certificate.public_key {
            let what = format!("the key does not belong to {}", path.display());
            return Err(wrong(&key_path, what, "bring back the two files that belong together"));
        }
        Ok(Self { certificate, key })
    }

    /// A certificate for a node, which this authority must still be able to sign.
    pub(crate) fn issue(
        &self,
        (cluster, node): (&str, &NodeName),
        hosts: &[SanType],
        days: u32,
    ) -> Result<Issued, Report> {
        let (now, end) = (Date::now(), self.certificate.validity.until);
        if self.certificate.validity.standing(now) == Standing::Expired {
            let what = format!("the certificate authority ended on {end}");
            return Err(Report::here("expired", what, "make a new one: farcall cert ca --force"));
        }
        let key = Secret::generate()?;
        let until = now.plus_days(days);
        let mut params = params(node.as_str(), cluster, now, until.min(end))?;
        let uri = identity::uri(cluster, node).try_into().map_err(|error| unsigned(&error))?;
        params.subject_alt_names = std::iter::once(SanType::URI(uri)).chain(hosts.iter().cloned()).collect();
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        // Every node dials and is dialled.
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let made = params.signed_by(key.pair(), &self.issuer()?).map_err(|error| unsigned(&error))?;
        let certificate = Certificate::read(made.into()).map_err(|why| unsigned(&why))?;
        // The name of a foreign authority may be one that cannot be written again as it was.
        match certificate.is_signed_by(&self.certificate) {
            true => Ok(Issued { certificate, key, shortened: until > end }),
            false => Err(unsigned(&"its name cannot be kept; make the certificate with its own tools")),
        }
    }

    /// A list of revoked certificates that comes after `earlier`, with more entries.
    pub(crate) fn revoke(
        &self,
        earlier: Option<&Revocations>,
        more: &[Revoked],
    ) -> Result<Revocations, Report> {
        let now = Date::now();
        let kept = earlier.map(|list| list.revoked.as_slice()).unwrap_or_default();
        let number = earlier.map_or_else(|| vec![1], Revocations::next_number);
        let params = CertificateRevocationListParams {
            this_update: now.minus_minutes(CLOCK_SKEW_MINUTES).time(),
            // It is made anew when there is something to revoke, not because time has passed.
            next_update: self.certificate.validity.until.time(),
            crl_number: SerialNumber::from_slice(&number),
            issuing_distribution_point: None,
            revoked_certs: kept.iter().chain(more).map(Revoked::params).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let made = params.signed_by(&self.issuer()?).map_err(|error| unsigned(&error))?;
        let der = CertificateRevocationListDer::from(made.der().to_vec());
        Revocations::read(der).map_err(|why| unsigned(&why))
    }

    fn issuer(&self) -> Result<Issuer<'static, &KeyPair>, Report> {
        Issuer::from_ca_cert_der(&self.certificate.der, self.key.pair()).map_err(|error| unsigned(&error))
    }
}

/// What certificates of both kinds have.
fn params(name: &str, cluster: &str, now: Date, until: Date) -> Result<CertificateParams, Report> {
    /// What a common name may hold (RFC 5280, A.1); a longer name of a node stands in full in its URI.
    const COMMON_NAME_LETTERS_MAX: usize = 64;
    let mut params = CertificateParams::default();
    let mut subject = DistinguishedName::new();
    subject.push(DnType::OrganizationName, cluster);
    if name.chars().count() <= COMMON_NAME_LETTERS_MAX {
        subject.push(DnType::CommonName, name);
    }
    params.distinguished_name = subject;
    let validity = Validity { from: now.minus_minutes(CLOCK_SKEW_MINUTES), until };
    (params.not_before, params.not_after) = (validity.from.time(), validity.until.time());
    params.serial_number = Some(serial()?);
    Ok(params)
}

/// A serial number that is positive and always of the same length.
fn serial() -> Result<SerialNumber, Report> {
    let mut number = random::<16>()?;
    number[0] = number[0] & 0x7f | 0x40;
    Ok(SerialNumber::from_slice(&number))
}

fn random<const BYTES: usize>() -> Result<[u8; BYTES], Report> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes)
        .map_err(|error| Report::here("random", format!("no random bytes: {error}"), ""))?;
    Ok(bytes)
}

fn unsigned(error: &dyn std::fmt::Display) -> Report {
    Report::here("certificate", format!("the certificate authority cannot sign it: {error}"), "")
}
