//! `farcall cert check`: everything that can be wrong with a certificate is found, and named.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rcgen::{
    CertificateParams, CertificateRevocationListParams, ExtendedKeyUsagePurpose, Issuer, KeyIdMethod,
    KeyPair, SanType, SerialNumber,
};
use serde_json::Value;
use time::{Duration, OffsetDateTime};

use crate::certs::{BETA, cert, home_with_beta, tls};
use crate::fixture::Ended;

/// An authority with a certificate for beta, and what is to be checked of it.
struct Set {
    home: PathBuf,
}

impl Set {
    async fn new(test: &str) -> Self {
        Self { home: home_with_beta(test).await }
    }

    fn file(&self, name: &str) -> String {
        tls(&self.home).join(name).to_str().unwrap().to_owned()
    }

    fn beta(&self) -> [String; 3] {
        ["beta@10.0.0.2.pem", "beta@10.0.0.2-key.pem", "ca.pem"].map(|name| self.file(name))
    }

    async fn check(&self, [certificate, key, ca]: &[String; 3], more: &[&str]) -> Ended {
        let args = ["check", certificate, "--key", key, "--ca", ca];
        cert(&self.home, &[&args[..], more].concat()).await
    }

    /// Another certificate of this authority, with its key.
    fn made(&self, change: impl FnOnce(&mut CertificateParams)) -> [String; 3] {
        let uri = format!("farcall://farcall/{BETA}").try_into().unwrap();
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::URI(uri)];
        params.not_after = OffsetDateTime::now_utc() + Duration::days(100);
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let made = params.signed_by(&key, &self.authority()).unwrap();
        let paths = [self.file("made.pem"), self.file("made-key.pem"), self.file("ca.pem")];
        fs::write(&paths[0], made.pem()).unwrap();
        private(&paths[1], &key.serialize_pem());
        paths
    }

    fn authority(&self) -> Issuer<'static, KeyPair> {
        let read = |name| fs::read_to_string(self.file(name)).unwrap();
        let key = KeyPair::from_pem(&read("ca-key.pem")).unwrap();
        Issuer::from_ca_cert_pem(&read("ca.pem"), key).unwrap()
    }
}

fn private(path: impl AsRef<Path>, text: &str) {
    fs::write(&path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// One check failed, and one only, in these words; a remedy follows them.
#[track_caller]
fn fails(ended: &Ended, words: &str) {
    assert_eq!((ended.code, ended.err.as_str()), (Some(1), "error: one check failed\n"), "{ended:?}");
    let lines: Vec<&str> = ended.out.lines().collect();
    let failed = lines.iter().position(|line| line.starts_with("FAILED")).unwrap();
    assert!(lines[failed].contains(words), "{words}: {}", ended.out);
    assert!(lines[failed + 1].starts_with("         what to do: "), "{}", ended.out);
}

#[actix::test]
async fn a_certificate_of_another_authority_is_found() {
    let (set, other) = (Set::new("check_ca").await, Set::new("check_other_ca").await);
    let [certificate, key, _] = set.beta();
    let ended = set.check(&[certificate, key, other.file("ca.pem")], &[]).await;
    fails(&ended, "which is no authority that was given");
    let both = ["--ca", &other.file("ca.pem")];
    set.check(&set.beta(), &both).await.ok();
}

#[actix::test]
async fn the_key_and_the_authority_are_looked_for_beside_the_certificate() {
    let set = Set::new("check_beside").await;
    let [certificate, key, ca] = set.beta();
    let said = cert(&set.home, &["check", &certificate, "--name", BETA]).await.ok();
    assert!(said.contains(&key) && !said.contains("FAILED"), "{said}");
    cert(&set.home, &["revoke", &certificate]).await.ok();
    fails(&cert(&set.home, &["check", &certificate]).await, "REVOKED on ");
    fs::remove_file(ca).unwrap();
    let ended = cert(&set.home, &["check", &certificate]).await;
    fails(&ended, "ca.pem: cannot be read");
}

#[actix::test]
async fn a_key_that_does_not_belong_is_found() {
    let set = Set::new("check_key").await;
    let [certificate, _, ca] = set.beta();
    let ended = set.check(&[certificate, set.file("ca-key.pem"), ca], &[]).await;
    fails(&ended, "does not belong to the certificate");
}

#[actix::test]
async fn a_key_that_others_can_use_is_refused() {
    let set = Set::new("check_mode").await;
    let [_, key, _] = &set.beta();
    for mode in [0o604, 0o660, 0o666] {
        fs::set_permissions(key, fs::Permissions::from_mode(mode)).unwrap();
        let ended = set.check(&set.beta(), &[]).await;
        fails(&ended, &format!("has mode {mode:04o}, so others can use it"));
        assert!(ended.out.contains(&format!("chmod 600 {key}")), "{}", ended.out);
    }
    // Containers are given secrets as links to files that a group may read.
    let link = set.file("link.pem");
    std::os::unix::fs::symlink(key, &link).unwrap();
    let [certificate, _, ca] = set.beta();
    for mode in [0o400, 0o600, 0o640] {
        fs::set_permissions(key, fs::Permissions::from_mode(mode)).unwrap();
        set.check(&set.beta(), &[]).await.ok();
        set.check(&[certificate.clone(), link.clone(), ca.clone()], &[]).await.ok();
    }
    // Nor does the command itself sign with such a key.
    fs::set_permissions(set.file("ca-key.pem"), fs::Permissions::from_mode(0o644)).unwrap();
    let said = cert(&set.home, &["node", "alpha@h"]).await.failed(1);
    assert!(said.contains("mode 0644") && said.contains("chmod 600"), "{said}");
}

#[actix::test]
async fn another_name_and_another_cluster_are_found() {
    let set = Set::new("check_name").await;
    let ended = set.check(&set.beta(), &["--name", "eve@10.0.0.2"]).await;
    fails(&ended, "it speaks for beta@10.0.0.2 of cluster farcall, not for eve@10.0.0.2");
    let ended = set.check(&set.beta(), &["--name", BETA, "--cluster", "blue"]).await;
    fails(&ended, "it speaks for beta@10.0.0.2 of cluster farcall, not of cluster blue");
    let said = set.check(&set.beta(), &["--name", BETA, "--cluster", "farcall"]).await.ok();
    assert!(said.contains("ok       it speaks for beta@10.0.0.2 of cluster farcall"), "{said}");
}

#[actix::test]
async fn what_has_ended_what_has_not_begun_and_what_ends_soon_are_found() {
    let set = Set::new("check_time").await;
    // Half a day off, so that the seconds which pass meanwhile change no number of whole days.
    let now = OffsetDateTime::now_utc() + Duration::hours(12);
    let days = |from: i64, until: i64| {
        set.made(|params| {
            (params.not_before, params.not_after) = (now + Duration::days(from), now + Duration::days(until));
        })
    };
    fails(&set.check(&days(-20, -10), &[]).await, "EXPIRED 9 days ago");
    let shown = cert(&set.home, &["show", &set.file("made.pem")]).await.ok();
    assert!(shown.contains("EXPIRED 9 days ago"), "{shown}");
    fails(&set.check(&days(10, 20), &[]).await, "NOT YET VALID, only in 10 days");
    let said = set.check(&days(-10, 20), &[]).await.ok();
    assert!(said.contains("warning  valid from") && said.contains("expires in 20 days"), "{said}");
    assert!(said.contains("what to do: make a new one"), "{said}");
    let said = set.check(&days(-10, 40), &[]).await.ok();
    assert!(said.contains("ok       valid from") && !said.contains("warning"), "{said}");
}

#[actix::test]
async fn a_certificate_for_one_side_only_is_found() {
    let set = Set::new("check_usage").await;
    for (purposes, words) in [
        (vec![ExtendedKeyUsagePurpose::ServerAuth], "as a server only, not as a client"),
        (vec![ExtendedKeyUsagePurpose::ClientAuth], "as a client only, not as a server"),
        (vec![ExtendedKeyUsagePurpose::CodeSigning], "neither as a server nor as a client"),
    ] {
        let made = set.made(|params| params.extended_key_usages = purposes);
        fails(&set.check(&made, &[]).await, words);
    }
    let made = set.made(|params| params.extended_key_usages = Vec::new());
    set.check(&made, &[]).await.ok();
}

#[actix::test]
async fn a_revoked_certificate_is_found_by_the_list() {
    let set = Set::new("check_revoked").await;
    cert(&set.home, &["node", "alpha@h"]).await.ok();
    cert(&set.home, &["revoke", &set.file("alpha@h.pem")]).await.ok();
    let crl = set.file("crl.pem");
    let said = set.check(&set.beta(), &["--crl", &crl]).await.ok();
    assert!(said.contains("ok       not revoked"), "{said}");
    cert(&set.home, &["revoke", &set.file("beta@10.0.0.2.pem")]).await.ok();
    fails(&set.check(&set.beta(), &["--crl", &crl]).await, "REVOKED on ");
    let said = set.check(&set.beta(), &[]).await.ok();
    assert!(said.contains("skipped  whether it is revoked"), "{said}");
}

#[actix::test]
async fn a_list_that_says_nothing_of_the_certificate_is_no_proof() {
    let (set, other) = (Set::new("check_list").await, Set::new("check_other_list").await);
    cert(&other.home, &["revoke", &other.file("beta@10.0.0.2.pem")]).await.ok();
    let crl = other.file("crl.pem");
    fails(&set.check(&set.beta(), &["--crl", &crl]).await, "is not signed by an authority that was given");
    let both = ["--crl", &crl, "--ca", &other.file("ca.pem")];
    fails(&set.check(&set.beta(), &both).await, "so none says anything about it");
    let no_list = set.file("ca.pem");
    fails(&set.check(&set.beta(), &["--crl", &no_list]).await, "no list of revoked certificates in it");
}

#[actix::test]
async fn an_old_list_is_a_warning() {
    let set = Set::new("check_old_list").await;
    let now = OffsetDateTime::now_utc();
    let params = CertificateRevocationListParams {
        this_update: now - Duration::days(9),
        next_update: now - Duration::days(2),
        crl_number: SerialNumber::from(7),
        issuing_distribution_point: None,
        revoked_certs: Vec::new(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    fs::write(set.file("crl.pem"), params.signed_by(&set.authority()).unwrap().pem().unwrap()).unwrap();
    let said = set.check(&set.beta(), &["--crl", &set.file("crl.pem")]).await.ok();
    assert!(said.contains("warning") && said.contains("the next list was due on"), "{said}");
    assert!(said.contains("ok       not revoked"), "{said}");
    let shown = cert(&set.home, &["show", &set.file("crl.pem")]).await.ok();
    assert!(shown.contains("OVERDUE") && shown.contains("number       7"), "{shown}");
}

#[actix::test]
async fn an_authority_is_no_node() {
    let set = Set::new("check_authority").await;
    let [_, _, ca] = set.beta();
    let ended = set.check(&[ca.clone(), set.file("ca-key.pem"), ca], &[]).await;
    fails(&ended, "is an authority, not a node");
}

#[actix::test]
async fn files_that_are_no_certificates_are_named() {
    let set = Set::new("check_files").await;
    let [certificate, key, ca] = set.beta();
    let check = async |certificate: &str, key: &str, ca: &str| {
        set.check(&[certificate, key, ca].map(str::to_owned), &[]).await
    };
    fails(&check("none.pem", &key, &ca).await, "none.pem: cannot be read");
    fails(&check(&certificate, &key, &key).await, "no certificate in it");
    fails(&check(&certificate, "none.pem", &ca).await, "none.pem: cannot be read");
    let broken = set.file("broken.pem");
    fs::write(&broken, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    fails(&check(&broken, &key, &ca).await, "section 1: the certificate cannot be read");
    fs::write(&broken, vec![b'x'; (1 << 20) + 1]).unwrap();
    fails(&check(&broken, &key, &ca).await, "longer than 1048576 bytes");
    private(&broken, "nothing\n");
    fails(&check(&certificate, &broken, &ca).await, "no private key in it");
}

#[actix::test]
async fn programs_get_one_document_a_check_and_the_error() {
    let set = Set::new("check_json").await;
    let said = set.check(&set.beta(), &["--name", "eve@10.0.0.2", "--json"]).await;
    assert_eq!((said.code, said.err.as_str()), (Some(1), ""), "{said:?}");
    let documents: Vec<Value> = said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<(&str, &str)> =
        documents.iter().filter_map(|one| Some((one["check"].as_str()?, one["result"].as_str()?))).collect();
    let expected = [
        ("readable", "ok"),
        ("key_file", "ok"),
        ("key", "ok"),
        ("chain", "ok"),
        ("validity", "ok"),
        ("usage", "ok"),
        ("revocation", "skipped"),
        ("name", "failed"),
    ];
    assert_eq!(told, expected);
    assert_eq!(documents.last().unwrap()["error"]["reason"], "check_failed");
}
