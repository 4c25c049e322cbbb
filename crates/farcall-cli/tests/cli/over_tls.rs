//! The commands that talk to a node, over TLS, with certificates made by `farcall cert`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use actix::Actor;
use farcall::config::{Auth, TlsConfig};
use farcall::{Config, Driver, Node};
use serde_json::Value;

use crate::certs::{cert, tls};
use crate::fixture::{BETA, Counter, Ended, command, folder, run};

/// The name that the certificate of the command has.
const OPS: &str = "ops@127.0.0.1";

/// A node that listens for TLS, and a home with an authority and certificates for it and for the command.
pub struct Secured {
    node: Node,
    pub home: PathBuf,
}

impl Secured {
    /// With certificates for everybody, and no cookie anywhere.
    async fn start(test: &str) -> Self {
        Self::start_with(test, Auth::Certificate).await
    }

    pub async fn start_with(test: &str, auth: Auth) -> Self {
        let home = folder(test);
        cert(&home, &["ca"]).await.ok();
        cert(&home, &["node", BETA, OPS]).await.ok();
        Self { node: node(&home, BETA, auth).await, home }
    }

    fn file(&self, name: &str) -> String {
        file(&self.home, name)
    }

    pub fn at(&self) -> String {
        format!("tls://{}", self.node.listening_on()[0])
    }

    /// The command, with the address of the node.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = command(&self.home);
        command.args(args).args(["--at", &self.at()]).env("FARCALL_TLS_AUTH", "certificate");
        command
    }

    /// Runs the command with the certificate for this name.
    async fn run_as(&self, name: &str, args: &[&str]) -> Ended {
        let mut command = self.command(args);
        shows(&mut command, &self.home, name).args(["--ca", &self.file("ca.pem")]);
        run(command, "").await
    }
}

/// With the certificate for this name in this home.
fn shows<'a>(command: &'a mut Command, home: &Path, name: &str) -> &'a mut Command {
    let (certificate, key) = (file(home, &format!("{name}.pem")), file(home, &format!("{name}-key.pem")));
    command.args(["--certificate", &certificate, "--key", &key])
}

pub fn file(home: &Path, name: &str) -> String {
    tls(home).join(name).to_str().unwrap().to_owned()
}

/// A node with a counter that listens for TLS alone, with what is in this home.
async fn node(home: &Path, name: &str, auth: Auth) -> Node {
    let path = |name: String| Some(tls(home).join(name));
    let tls = TlsConfig {
        certificate: path(format!("{name}.pem")),
        key: path(format!("{name}-key.pem")),
        ca: vec![tls(home).join("ca.pem")],
        auth,
        ..TlsConfig::default()
    };
    let config = Config {
        name: Some(name.parse().unwrap()),
        driver: Driver::Tls,
        cookie_file: Some(home.join("cookie")),
        tls,
        ..Config::default()
    };
    let node = Node::from_config(config).listen_tls([([127, 0, 0, 1], 0).into()]).start().await.unwrap();
    let counter = Counter { total: Default::default() }.start();
    node.register("counter", counter).unwrap().version("1.4.0").unwrap().keep();
    node
}

fn error(ended: &Ended) -> Value {
    assert_eq!(ended.err, "", "{ended:?}");
    serde_json::from_str::<Value>(&ended.out).unwrap()["error"].clone()
}

#[actix::test]
async fn every_command_works_with_a_certificate_and_without_a_cookie() {
    let secured = Secured::start("tls_all").await;
    let run = async |args: &[&str]| secured.run_as(OPS, args).await.ok();
    assert_eq!(run(&["call", BETA, "counter", "Add", r#"{"amount":5}"#]).await, "5\n");
    assert!(run(&["cast", BETA, "counter", "Add", r#"{"amount":1}"#]).await.starts_with("delivered"));
    assert_eq!(run(&["call", BETA, "counter", "Total"]).await, "6\n");
    assert_eq!(run(&["call", BETA, "counter", "Count", r#"{"to":3}"#]).await, "0\n1\n2\n");
    assert!(run(&["ping", BETA]).await.contains("connected and answered in"));
    assert!(run(&["names", BETA]).await.contains("counter  1.4.0    Add, Total"));
    assert!(run(&["describe", BETA, "counter"]).await.contains("Add -> u64"));
    assert!(!secured.home.join(".config/farcall/cookie").exists() && !secured.home.join("cookie").exists());
}

#[actix::test]
async fn the_key_the_authority_and_its_list_are_found_beside_the_certificate() {
    let secured = Secured::start("tls_beside").await;
    let certificate = secured.file(&format!("{OPS}.pem"));
    let call = || secured.command(&["call", BETA, "counter", "Total", "--certificate", &certificate]);
    assert_eq!(run(call(), "").await.ok(), "0\n");
    cert(&secured.home, &["revoke", &secured.file(&format!("{BETA}.pem"))]).await.ok();
    let said = run(call(), "").await.failed(3);
    assert!(said.contains("the peer's certificate is not believed: it was revoked"), "{said}");
    assert!(said.contains("farcall cert node beta@127.0.0.1 --force"), "{said}");
}

#[actix::test]
async fn what_cert_node_prints_is_the_configuration_of_the_command() {
    let secured = Secured::start("tls_config").await;
    let settings = cert(&secured.home, &["node", "eve@127.0.0.1"]).await.ok();
    fs::write(secured.home.join("eve.toml"), settings).unwrap();
    let named = secured.command(&["call", BETA, "counter", "Total", "--config", "eve.toml"]);
    assert_eq!(run(named, "").await.ok(), "0\n");
    // An address without a driver goes by the configuration too.
    let mut plain = command(&secured.home);
    let address = secured.node.listening_on()[0].to_string();
    plain.args(["call", BETA, "counter", "Total", "--config", "eve.toml", "--at", &address]);
    plain.env("FARCALL_TLS_AUTH", "certificate");
    assert_eq!(run(plain, "").await.ok(), "0\n");
}

#[actix::test]
async fn the_command_has_the_name_in_its_certificate() {
    let secured = Secured::start("tls_name").await;
    let mut command = secured.command(&["ping", BETA, "--count", "200", "--interval", "20ms"]);
    shows(&mut command, &secured.home, OPS).args(["--ca", &secured.file("ca.pem")]);
    let mut child = command.stdout(std::process::Stdio::null()).spawn().unwrap();
    let seen = || secured.node.inbound().iter().any(|name| name.as_str() == OPS);
    crate::fixture::eventually("the name", seen).await;
    // Another one with the same certificate does not disturb it.
    secured.run_as(OPS, &["ping", BETA]).await.ok();
    assert!(child.try_wait().unwrap().is_none());
    child.kill().unwrap();
    child.wait().unwrap();
    let said = secured.run_as(OPS, &["ping", BETA, "--name", "eve@127.0.0.1"]).await.failed(1);
    assert!(said.contains("this command is eve@127.0.0.1") && said.contains("leave out --name"), "{said}");
}

#[actix::test]
async fn a_certificate_for_a_host_gives_a_name_on_that_host() {
    let secured = Secured::start("tls_host").await;
    let key = rcgen::KeyPair::generate().unwrap();
    let read = |name| fs::read_to_string(secured.file(name)).unwrap();
    let issuer_key = rcgen::KeyPair::from_pem(&read("ca-key.pem")).unwrap();
    let issuer = rcgen::Issuer::from_ca_cert_pem(&read("ca.pem"), issuer_key).unwrap();
    let params = rcgen::CertificateParams::new(["10.1.2.3".to_owned()]).unwrap();
    fs::write(secured.file("host.pem"), params.signed_by(&key, &issuer).unwrap().pem()).unwrap();
    private(&secured.file("host-key.pem"), &key.serialize_pem());
    assert!(secured.run_as("host", &["ping", BETA]).await.ok().contains("connected"));
}

fn private(path: &str, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

#[actix::test]
async fn a_cookie_counts_too_where_the_nodes_want_both() {
    let secured = Secured::start_with("tls_both", Auth::Both).await;
    let cookie = secured.home.join("cookie");
    let call = ["call", BETA, "counter", "Total", "--cookie-file", cookie.to_str().unwrap()];
    let with = async |args: &[&str]| {
        let mut command = secured.command(args);
        command.env_remove("FARCALL_TLS_AUTH");
        shows(&mut command, &secured.home, OPS).args(["--ca", &secured.file("ca.pem")]);
        run(command, "").await
    };
    assert_eq!(with(&call).await.ok(), "0\n");
    let said = with(&call[..4]).await.failed(1);
    assert!(said.contains("does not exist") && said.contains("FARCALL_TLS_AUTH=certificate"), "{said}");
    // The settings of the two sides differ.
    let said = secured.run_as(OPS, &["ping", BETA]).await.failed(3);
    assert!(said.contains("cluster name and tls.auth"), "{said}");
}

#[actix::test]
async fn the_nodes_own_certificate_is_refused_because_the_call_would_not_leave_the_process() {
    let secured = Secured::start("tls_own").await;
    let said = secured.run_as(BETA, &["call", BETA, "counter", "Total"]).await.failed(1);
    assert!(said.contains("is that of beta@127.0.0.1 itself"), "{said}");
    assert!(said.contains("farcall cert node ops@HOST") && said.contains("with --certificate"), "{said}");
    let ended = secured.run_as(BETA, &["ping", BETA, "--json"]).await;
    assert_eq!((ended.code, &error(&ended)["reason"]), (Some(1), &Value::from("own_name")));
    let mut plain = command(&secured.home);
    plain.args(["ping", BETA, "--name", BETA]);
    let said = run(plain, "").await.failed(1);
    assert!(said.contains("--name beta@127.0.0.1 is the name of the node to talk to"), "{said}");
}

#[actix::test]
async fn another_authority_is_refused_on_whichever_side_and_the_remedy_names_it() {
    let secured = Secured::start("tls_ca").await;
    let other = folder("tls_other_ca");
    cert(&other, &["ca"]).await.ok();
    cert(&other, &["node", OPS]).await.ok();
    let with = async |home: &Path, ca: &str| {
        let mut command = secured.command(&["ping", BETA, "--ca", ca]);
        shows(&mut command, home, OPS);
        run(command, "").await
    };
    let said = with(&secured.home, &file(&other, "ca.pem")).await.failed(3);
    assert!(said.contains("no authority of tls.ca gave it out"), "{said}");
    assert!(said.contains("the authority that made the certificate of beta@127.0.0.1 with --ca"), "{said}");
    let said = with(&other, &secured.file("ca.pem")).await.failed(3);
    assert!(said.contains("no authority that it believes gave out our certificate"), "{said}");
    assert!(said.contains("tls.ca of beta@127.0.0.1 must name the authority"), "{said}");
}

#[actix::test]
async fn a_certificate_that_has_ended_is_told_before_anything_is_sent() {
    let secured = Secured::start("tls_ended").await;
    let read = |name| fs::read_to_string(secured.file(name)).unwrap();
    let issuer_key = rcgen::KeyPair::from_pem(&read("ca-key.pem")).unwrap();
    let issuer = rcgen::Issuer::from_ca_cert_pem(&read("ca.pem"), issuer_key).unwrap();
    let mut params = rcgen::CertificateParams::default();
    let uri = format!("farcall://farcall/{OPS}").try_into().unwrap();
    params.subject_alt_names = vec![rcgen::SanType::URI(uri)];
    params.not_after = time::OffsetDateTime::now_utc() - time::Duration::days(3);
    let key = rcgen::KeyPair::generate().unwrap();
    fs::write(secured.file("old.pem"), params.signed_by(&key, &issuer).unwrap().pem()).unwrap();
    private(&secured.file("old-key.pem"), &key.serialize_pem());
    let said = secured.run_as("old", &["ping", BETA]).await.failed(1);
    assert!(said.contains("old.pem ended 3 days ago"), "{said}");
    assert!(said.contains("farcall cert node ops@127.0.0.1 --force"), "{said}");
    let ended = secured.run_as("old", &["ping", BETA, "--json"]).await;
    let error = error(&ended);
    assert_eq!((error["class"].as_str(), error["reason"].as_str()), (Some("other"), Some("tls")));
    assert!(error["remedy"].as_str().unwrap().contains("farcall cert node"), "{error}");
}

#[actix::test]
async fn a_revoked_certificate_is_refused_and_the_remedy_is_a_check() {
    let secured = Secured::start("tls_revoked").await;
    cert(&secured.home, &["revoke", &secured.file(&format!("{OPS}.pem"))]).await.ok();
    let mut config = secured.node.config().tls.clone();
    config.crl = vec![secured.file("crl.pem").into()];
    secured.node.set_tls(farcall::TlsMaterial::from_files(&config).unwrap()).unwrap();
    let ended = secured.run_as(OPS, &["ping", BETA, "--json"]).await;
    let error = error(&ended);
    assert_eq!((ended.code, error["reason"].as_str()), (Some(3), Some("handshake_failed")), "{error}");
    assert!(error["message"].as_str().unwrap().contains("our certificate was revoked"), "{error}");
    let remedy = error["remedy"].as_str().unwrap();
    assert!(remedy.contains("farcall cert check ") && remedy.contains("--name ops@127.0.0.1"), "{remedy}");
}

#[actix::test]
async fn what_is_missing_or_mixed_up_is_named_with_the_file_and_a_way_out() {
    let secured = Secured::start("tls_files").await;
    let (certificate, key) = (secured.file(&format!("{OPS}.pem")), secured.file(&format!("{OPS}-key.pem")));
    let (ca, other) = (secured.file("ca.pem"), secured.file(&format!("{BETA}-key.pem")));
    let with = async |args: &[&str]| run(secured.command(&[&["ping", BETA], args].concat()), "").await;
    let said = with(&[]).await.failed(1);
    assert!(
        said.contains("tls.certificate is not set") && said.contains("farcall cert node ops@HOST"),
        "{said}"
    );
    let said = with(&["--certificate", &certificate, "--key", "none.pem", "--ca", &ca]).await.failed(1);
    assert!(said.contains("none.pem cannot be read") && said.contains("--key"), "{said}");
    let said = with(&["--certificate", &certificate, "--key", &other, "--ca", &ca]).await.failed(1);
    assert!(
        said.contains("does not belong") && said.contains(&format!("farcall cert check {certificate}")),
        "{said}"
    );
    let said = with(&["--certificate", &key, "--key", &key, "--ca", &ca]).await.failed(1);
    assert!(said.contains("holds no certificate") && said.contains("farcall cert show"), "{said}");
    assert_eq!(with(&["--key", &key]).await.code, Some(2), "no key without its certificate");
    fs::remove_file(&ca).unwrap();
    let said = with(&["--certificate", &certificate]).await.failed(1);
    assert!(said.contains("no authority to believe") && said.contains("with --ca"), "{said}");
    let said_of_none = with(&["--certificate", "none.pem"]).await.failed(1);
    assert!(said_of_none.contains("tls.certificate: none.pem cannot be read"), "{said_of_none}");
    fs::remove_file(&key).unwrap();
    let said = with(&["--certificate", &certificate]).await.failed(1);
    assert!(said.contains(&format!("tls.key: {key} cannot be read")), "{said}");
}

#[actix::test]
async fn another_cluster_is_told_apart_from_another_name() {
    let secured = Secured::start("tls_cluster").await;
    let blue = folder("tls_blue");
    cert(&blue, &["ca", "--cluster", "blue"]).await.ok();
    cert(&blue, &["node", OPS]).await.ok();
    let mut command = secured.command(&["ping", BETA, "--ca", &secured.file("ca.pem")]);
    shows(&mut command, &blue, OPS);
    let said = run(command, "").await.failed(1);
    assert!(said.contains("is for cluster blue: set FARCALL_CLUSTER=blue"), "{said}");
}

#[actix::test]
async fn a_node_of_another_name_and_one_without_tls_are_told() {
    let secured = Secured::start("tls_wrong_node").await;
    let said = secured.run_as(OPS, &["ping", "gamma@127.0.0.1"]).await.failed(3);
    assert!(said.contains("gamma@127.0.0.1 was dialled"), "{said}");
    assert!(said.contains("call the node by the name in its certificate"), "{said}");
    let cluster = crate::fixture::Cluster::start("tls_plain").await;
    let mut wrong = command(&secured.home);
    wrong.args(["ping", BETA, "--at", &cluster.address(), "--ca", &secured.file("ca.pem")]);
    shows(&mut wrong, &secured.home, OPS).env("FARCALL_TLS_AUTH", "certificate");
    let said = run(wrong, "").await.failed(3);
    assert!(said.contains("does beta@127.0.0.1 listen for TLS there?"), "{said}");
    let mut wrong = command(&secured.home);
    let address = secured.node.listening_on()[0].to_string();
    wrong.args(["ping", BETA, "--at", &address, "--cookie-file"]).arg(cluster.cookie_file());
    let said = run(wrong, "").await.failed(3);
    assert!(said.contains("does the node speak TLS there? Then name a certificate"), "{said}");
}
