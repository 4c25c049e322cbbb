//! With the real epmd, of Debian's package erlang-base: it is used if it runs, and its tool reads what we serve.

use std::process::{Child, Command, Stdio};

use farcall::StartError;
use farcall::config::Driver;

use crate::fixture::{Host, Process, ask, eventually, port};

/// An epmd that ends with this value.
struct Epmd(Child);

impl Epmd {
    async fn start(host: &Host) -> Self {
        let child = command(host).args(["-address", "127.0.0.1"]).spawn().unwrap();
        let epmd = Self(child);
        eventually("epmd answers", || async { farcall::PortMapper::names(&host.at()).await }).await;
        let keyring = farcall::Keyring::new(crate::fixture::cookie(1));
        let listed = farcall::PortMapper::names_with(&host.at(), &keyring, "farcall").await;
        assert!(listed.unwrap().is_empty(), "epmd lists names for anybody");
        epmd
    }

    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Epmd {
    fn drop(&mut self) {
        // It may be dead already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn command(host: &Host) -> Command {
    let mut command = Command::new("epmd");
    command.args(["-port", &host.mapper.to_string()]).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Whether there is an epmd here. CI has one.
fn is_here() -> bool {
    let here = Command::new("epmd").arg("-help").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    assert!(here || std::env::var_os("CI").is_none(), "epmd is missing: apt-get install erlang-base");
    if !here {
        eprintln!("skipped: there is no epmd here (apt-get install --no-install-recommends erlang-base)");
    }
    here
}

/// What `epmd -names` prints.
fn listed(host: &Host) -> String {
    let output = command(host).arg("-names").stdout(Stdio::piped()).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[actix::test]
async fn epmds_own_tool_lists_the_nodes_that_a_farcall_node_maps() {
    if !is_here() {
        return;
    }
    let host = Host::with_ports(2);
    let _alpha = host.start("alpha").await.unwrap();
    let _beta = host.start("beta").await.unwrap();
    let list = listed(&host);
    let (mapper, first, last) = (host.mapper, host.first, host.last);
    assert_eq!(
        list,
        format!(
            "epmd: up and running on port {mapper} with data:\nname alpha at port {first}\nname beta at port {last}\n"
        )
    );
}

#[actix::test]
async fn an_epmd_that_runs_is_used_and_holds_names_as_ours_does() {
    if !is_here() {
        return;
    }
    let host = Host::with_ports(5);
    let _epmd = Epmd::start(&host).await;
    let alpha = host.start("alpha").await.unwrap();
    let beta = host.start("beta").await.unwrap();
    let list = listed(&host);
    assert!(list.contains(&format!("name alpha at port {}\n", port(&alpha))), "{list}");
    assert!(list.contains(&format!("name beta at port {}\n", port(&beta))), "{list}");
    assert_eq!(ask(&alpha, "beta").await.unwrap(), "beta");
    let error = host.start("beta").await.unwrap_err();
    assert!(matches!(error, StartError::NameInUse { .. }), "{error:?}");
    let said = error.to_string();
    let holder =
        format!("process {}, which listens on port {}, as epmd says", std::process::id(), port(&beta));
    assert!(said.contains(&holder), "{said}");
    beta.shutdown().await;
    let _beta = host.start("beta").await.unwrap();
    let mut gamma = Process::start(&host, "gamma");
    host.lists(&["alpha", "beta", "gamma"]).await;
    gamma.kill();
    host.lists(&["alpha", "beta"]).await;
    assert_eq!(alpha.config().driver, Driver::Tcp);
}

#[actix::test]
async fn nodes_register_again_at_an_epmd_that_comes_back_and_take_over_from_one_that_does_not() {
    if !is_here() {
        return;
    }
    let host = Host::with_ports(2);
    let mut epmd = Epmd::start(&host).await;
    let alpha = host.start("alpha").await.unwrap();
    let beta = host.start("beta").await.unwrap();
    epmd.kill();
    let mut epmd = Epmd::start(&host).await;
    host.lists(&["alpha", "beta"]).await;
    assert_eq!(ask(&alpha, "beta").await.unwrap(), "beta");
    epmd.kill();
    host.lists(&["alpha", "beta"]).await;
    assert_eq!(ask(&beta, "alpha").await.unwrap(), "alpha");
    assert!(listed(&host).contains("name beta at port"));
}
