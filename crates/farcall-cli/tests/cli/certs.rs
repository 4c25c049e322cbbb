//! `farcall cert ca`, `node`, `show` and `revoke`: what is made, and how it is shown.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::fixture::{Ended, command, folder, run};

/// `farcall cert` at home in this folder.
pub async fn cert(home: &Path, args: &[&str]) -> Ended {
    let mut command = command(home);
    command.arg("cert").args(args);
    run(command, "").await
}

/// The folder where its files are, unless another is named.
pub fn tls(home: &Path) -> PathBuf {
    home.join(".config/farcall/tls")
}

pub const BETA: &str = "beta@10.0.0.2";

/// A folder with an authority and a certificate for [`BETA`].
pub async fn home_with_beta(test: &str) -> PathBuf {
    let home = folder(test);
    cert(&home, &["ca"]).await.ok();
    cert(&home, &["node", BETA]).await.ok();
    home
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

fn documents(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[actix::test]
async fn two_commands_give_a_working_set() {
    let home = folder("cert_set");
    let said = cert(&home, &["ca"]).await.ok();
    assert!(said.contains("next: farcall cert node NAME@HOST\n"), "{said}");
    let settings = cert(&home, &["node", BETA]).await.ok();
    let tls = tls(&home);
    assert_eq!(
        names(&tls),
        ["beta@10.0.0.2-key.pem", "beta@10.0.0.2.pem", "ca-key.pem", "ca.pem", "crl.pem"]
    );
    let file = |name: &str| tls.join(name).to_str().unwrap().to_owned();
    let read: toml::Table = settings.parse().unwrap();
    let expected = json!({
        "name": BETA,
        "driver": "tls",
        "tls": {
            "listen": "auto",
            "certificate": file("beta@10.0.0.2.pem"),
            "key": file("beta@10.0.0.2-key.pem"),
            "ca": [file("ca.pem")],
            "crl": [file("crl.pem")],
        },
    });
    assert_eq!(serde_json::to_value(&read).unwrap(), expected);
    let (certificate, key, ca) = (file("beta@10.0.0.2.pem"), file("beta@10.0.0.2-key.pem"), file("ca.pem"));
    let crl = file("crl.pem");
    let check = ["check", &certificate, "--key", &key, "--ca", &ca, "--crl", &crl, "--name", BETA];
    let said = cert(&home, &check).await.ok();
    assert!(!said.contains("FAILED") && !said.contains("warning"), "{said}");
    farcall::Config::from_toml(&settings).unwrap();
}

#[actix::test]
async fn keys_are_for_their_owner_and_certificates_for_everybody() {
    let home = home_with_beta("cert_modes").await;
    let tls = tls(&home);
    assert_eq!(mode(&tls), 0o700);
    for (name, expected) in [
        ("ca.pem", 0o644),
        ("ca-key.pem", 0o600),
        ("crl.pem", 0o644),
        ("beta@10.0.0.2.pem", 0o644),
        ("beta@10.0.0.2-key.pem", 0o600),
    ] {
        assert_eq!(mode(&tls.join(name)), expected, "{name}");
    }
}

#[actix::test]
async fn what_is_there_is_not_overwritten_unless_forced() {
    let home = home_with_beta("cert_force").await;
    let tls = tls(&home);
    let all = || names(&tls).into_iter().map(|name| fs::read(tls.join(name)).unwrap()).collect::<Vec<_>>();
    let before = all();
    for args in [&["ca"][..], &["node", BETA], &["node", "alpha@10.0.0.1", BETA]] {
        let said = cert(&home, args).await.failed(1);
        assert!(said.contains("is there already") && said.contains("--force"), "{said}");
        assert_eq!(all(), before, "{args:?}");
    }
    cert(&home, &["node", BETA, "--force"]).await.ok();
    cert(&home, &["ca", "--force"]).await.ok();
    assert!(before.iter().all(|old| !all().contains(old)));
}

#[actix::test]
async fn a_folder_may_be_named_and_cookies_say_where_it_is_otherwise() {
    let home = folder("cert_dir");
    let said = cert(&home, &["ca", "--dir", "here/tls"]).await.ok();
    assert!(said.contains("next: farcall cert node NAME@HOST --dir here/tls"), "{said}");
    let settings = cert(&home, &["node", BETA, "--dir", "here/tls"]).await.ok();
    assert!(settings.contains(&format!("{:?}", home.join("here/tls/ca.pem"))), "absolute: {settings}");
    let mut command = command(&home);
    command.args(["cert", "ca"]).env("FARCALL_COOKIE_FILE", home.join("run/cookie"));
    run(command, "").await.ok();
    assert_eq!(names(&home.join("run")), ["tls"]);
}

#[actix::test]
async fn without_an_authority_no_node_is_made_and_the_remedy_is_told() {
    let home = folder("cert_no_ca");
    for args in [&["node", BETA][..], &["revoke", "beta.pem"]] {
        let said = cert(&home, args).await.failed(1);
        assert!(said.contains("no certificate authority in") && said.contains("farcall cert ca"), "{said}");
    }
    assert_eq!(fs::read_dir(&home).unwrap().count(), 0);
}

#[actix::test]
async fn an_authority_remembers_its_cluster_and_serves_no_other() {
    let home = folder("cert_cluster");
    cert(&home, &["ca", "--cluster", "blue sky"]).await.ok();
    let settings: toml::Table = cert(&home, &["node", BETA]).await.ok().parse().unwrap();
    assert_eq!(settings["cluster"].as_str(), Some("blue sky"));
    let file = tls(&home).join("beta@10.0.0.2.pem");
    let shown = cert(&home, &["show", file.to_str().unwrap()]).await.ok();
    assert!(shown.contains("beta@10.0.0.2 of cluster blue sky"), "{shown}");
    let said = cert(&home, &["node", "alpha@10.0.0.1", "--cluster", "farcall"]).await.failed(1);
    assert!(said.contains("is for cluster blue sky, not for farcall"), "{said}");
    for cluster in ["", "a\nb", &"x".repeat(65)] {
        let ended = cert(&home, &["ca", "--cluster", cluster]).await;
        assert_eq!(ended.code, Some(2), "{ended:?}");
    }
}

#[actix::test]
async fn odd_names_of_nodes_stay_in_the_folder_and_can_be_checked() {
    let home = folder("cert_odd");
    cert(&home, &["ca"]).await.ok();
    let long = format!("{}@h", "ä".repeat(120));
    for name in ["../../x@h", "..@..", "größe@[::1]:5370", "-v@h", "ca@h-key", "ca@h", "%41'\"$@h", &long] {
        let made = cert(&home, &["node", "--json", "--", name]).await.ok();
        let made: Value = serde_json::from_str(&made).unwrap();
        let (certificate, key) = (made["certificate"].as_str().unwrap(), made["key"].as_str().unwrap());
        assert_eq!(Path::new(certificate).parent(), Some(&*tls(&home)), "{name}");
        let settings: toml::Table = made["settings"].as_str().unwrap().parse().unwrap();
        assert_eq!(settings["tls"]["key"].as_str(), Some(key));
        let (ca, named) = (tls(&home).join("ca.pem"), format!("--name={name}"));
        let check = ["check", certificate, "--key", key, "--ca", ca.to_str().unwrap(), &named];
        cert(&home, &check).await.ok();
    }
    assert_eq!(fs::read_dir(tls(&home)).unwrap().count(), 3 + 2 * 8);
    assert_eq!(names(&home), [".config"]);
}

#[actix::test]
async fn a_certificate_never_outlives_its_authority() {
    let home = folder("cert_short");
    cert(&home, &["ca", "--days", "100"]).await.ok();
    let said = cert(&home, &["node", BETA]).await.ok();
    assert!(said.contains("shortened, because its authority ends then"), "{said}");
    let made = cert(&home, &["node", "alpha@h", "--days", "20", "--json"]).await.ok();
    let made = &documents(&made)[0];
    assert_eq!(made["shortened"], json!(false));
    let files = ["ca.pem", "beta@10.0.0.2.pem"].map(|name| tls(&home).join(name));
    let shown =
        cert(&home, &["show", "--json", files[0].to_str().unwrap(), files[1].to_str().unwrap()]).await;
    let shown = documents(&shown.ok());
    assert_eq!(shown[0]["not_after"], shown[1]["not_after"]);
}

#[actix::test]
async fn hosts_stand_in_the_certificate_when_they_are_hosts() {
    let home = folder("cert_hosts");
    cert(&home, &["ca"]).await.ok();
    cert(&home, &["node", "beta@Web.example:5370", "--host", "::1", "--host", "www.example"]).await.ok();
    let file = tls(&home).join("beta@Web.example:5370.pem");
    let shown = documents(&cert(&home, &["show", "--json", file.to_str().unwrap()]).await.ok());
    assert_eq!(shown[0]["hosts"], json!(["web.example", "www.example", "::1"]));
    let said = cert(&home, &["node", "x@h", "--host", "*.example"]).await.failed(1);
    assert!(said.contains("--host *.example") && said.contains("no wildcards"), "{said}");
}

#[actix::test]
async fn an_authority_a_certificate_and_a_list_are_shown() {
    let home = home_with_beta("cert_show").await;
    let file = |name: &str| tls(&home).join(name).to_str().unwrap().to_owned();
    let (ca, beta, crl) = (file("ca.pem"), file("beta@10.0.0.2.pem"), file("crl.pem"));
    let said = cert(&home, &["revoke", &beta]).await.ok();
    assert!(said.contains("revoked beta@10.0.0.2") && said.contains("list 2, 1 revoked"), "{said}");
    let shown = cert(&home, &["show", &ca, &beta, &crl]).await.ok();
    for part in [
        "certificate authority\n",
        "cluster      farcall\n",
        "node         beta@10.0.0.2 of cluster farcall\n",
        "hosts        10.0.0.2 (for other programs",
        "usable as    server and client\n",
        "key          ECDSA, 256 bits\n",
        ": expires in 36",
        "list of revoked certificates\n",
        "number       2\n",
        "revoked      1\n",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let shown = documents(&cert(&home, &["show", &ca, &beta, &crl, "--json"]).await.ok());
    let [ca, beta, crl] = &shown[..] else { panic!("{shown:?}") };
    assert_eq!((&ca["authority"], &beta["authority"]), (&json!(true), &json!(false)));
    assert_eq!(beta["nodes"], json!([{"cluster": "farcall", "name": BETA}]));
    assert_eq!((&beta["issuer"], &crl["issuer"]), (&ca["subject"], &ca["subject"]));
    assert_eq!(
        (&beta["standing"], &beta["server"], &beta["client"]),
        (&json!("valid"), &json!(true), &json!(true))
    );
    assert_eq!((&crl["kind"], &crl["revoked"][0]["serial"]), (&json!("crl"), &beta["serial"]));
    assert_eq!(beta["fingerprint"].as_str().unwrap().len(), 32 * 3 - 1);
}

#[actix::test]
async fn a_key_is_never_shown() {
    let home = home_with_beta("cert_key").await;
    let key = tls(&home).join("beta@10.0.0.2-key.pem");
    let text = fs::read_to_string(&key).unwrap();
    let secret = text.lines().nth(1).unwrap();
    let shown = cert(&home, &["show", key.to_str().unwrap()]).await.ok();
    assert!(shown.contains("a private key, which is not shown") && !shown.contains(secret), "{shown}");
    // Broken in all the ways that an error could quote.
    for broken in [text.replace("-----END", "----END"), text.replace(secret, &format!("{secret}!"))] {
        fs::write(&key, broken).unwrap();
        let (key, ca) = (key.to_str().unwrap(), tls(&home).join("ca.pem"));
        let (beta, ca) = (key.replace("-key", ""), ca.to_str().unwrap());
        let ended = cert(&home, &["check", &beta, "--key", key, "--ca", ca]).await;
        assert_eq!(ended.code, Some(1));
        assert!(!format!("{ended:?}").contains(secret), "{ended:?}");
        let ended = cert(&home, &["show", key]).await;
        assert!(!format!("{ended:?}").contains(secret), "{ended:?}");
    }
}

#[actix::test]
async fn a_list_keeps_what_it_had_and_counts_on() {
    let home = home_with_beta("cert_revoke").await;
    cert(&home, &["node", "alpha@10.0.0.1"]).await.ok();
    let file = |name: &str| tls(&home).join(name).to_str().unwrap().to_owned();
    let (alpha, beta, crl) = (file("alpha@10.0.0.1.pem"), file("beta@10.0.0.2.pem"), file("crl.pem"));
    cert(&home, &["revoke", &beta]).await.ok();
    assert_eq!(mode(Path::new(&crl)), 0o644);
    let told = documents(&cert(&home, &["revoke", &alpha, &beta, "--json"]).await.ok());
    assert_eq!((&told[0]["already"], &told[1]["already"]), (&json!(false), &json!(true)));
    let before = fs::read(&crl).unwrap();
    let said = cert(&home, &["revoke", &alpha]).await.ok();
    assert!(said.contains("already"), "{said}");
    assert_eq!(fs::read(&crl).unwrap(), before, "nothing new, so no new list");
    let shown = documents(&cert(&home, &["show", &crl, "--json"]).await.ok());
    assert_eq!((&shown[0]["number"], shown[0]["revoked"].as_array().unwrap().len()), (&json!("3"), 2));
    let settings = cert(&home, &["node", "gamma@h"]).await.ok();
    assert!(settings.contains(&format!("crl = [{crl:?}]")), "{settings}");
}

#[actix::test]
async fn only_the_authority_that_made_a_certificate_revokes_it() {
    let (home, other) = (home_with_beta("cert_own").await, home_with_beta("cert_other").await);
    let beta = tls(&home).join("beta@10.0.0.2.pem");
    let said = cert(&other, &["revoke", beta.to_str().unwrap()]).await.failed(1);
    assert!(said.contains("not by the authority here"), "{said}");
    let said = cert(&home, &["revoke", tls(&home).join("ca.pem").to_str().unwrap()]).await.failed(1);
    assert!(said.contains("cannot revoke itself"), "{said}");
    // A list of another authority is not lost either.
    cert(&home, &["revoke", beta.to_str().unwrap()]).await.ok();
    fs::copy(tls(&home).join("crl.pem"), tls(&other).join("crl.pem")).unwrap();
    let theirs = tls(&other).join("beta@10.0.0.2.pem");
    let said = cert(&other, &["revoke", theirs.to_str().unwrap()]).await.failed(1);
    assert!(said.contains("not a list of the authority here") && said.contains("move it away"), "{said}");
}
