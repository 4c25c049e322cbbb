//! The worked cases of the manual's page `inside`: what is wrong is found with one command. `-- --nocapture` prints what the
//! page shows.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use actix::Actor;
use farcall::{Driver, Node, Target, TlsMaterial};

use crate::certs::{cert, tls};
use crate::fixture::{Add, BETA, Cluster, Counter, Ended, Sleep, command, eventually, folder, run};

/// The page, which shows what is printed here.
const PAGE: &str = include_str!("../../../farcall/src/manual/inside.md");

#[expect(clippy::print_stdout, reason = "the page is made from it")]
/// Prints what was printed, and sees to it that the page has this line of it as far as `what` goes.
#[track_caller]
fn shown(title: &str, ended: Ended, what: &str) -> String {
    let text = ended.ok();
    println!("--- {title}\n{text}");
    assert!(text.contains(what), "{what:?} is not in\n{text}");
    assert!(PAGE.contains(what), "{what:?} is not on the page");
    text
}

/// Ends a process when a test ends, also one that stands still.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    fn signal(&self, signal: &str) {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }
}

/// A caller on which the command looks, with whatever is wrong at the other end.
async fn caller(cookie: &Path, peer: &str, at: String) -> Node {
    let alpha = Node::builder("alpha@127.0.0.1").listen([([127, 0, 0, 1], 0).into()]).cookie_file(cookie);
    let alpha = alpha.node(peer, at).configure(|config| config.tick = Duration::from_secs(4));
    alpha.start().await.unwrap()
}

async fn look(home: &Path, node: &Node, cookie: &Path, args: &[&str]) -> Ended {
    let mut farcall = command(home);
    let at = node.listening_on()[0].to_string();
    farcall.args(args).args(["--at", &at, "--cookie-file"]).arg(cookie);
    run(farcall, "").await
}

#[actix::test]
async fn a_frozen_node_is_seen_by_the_ticks_that_it_misses() {
    let home = folder("case_frozen");
    let cookie = home.join("cookie");
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let name = format!("beta@127.0.0.1:{port}");
    let alpha = caller(&cookie, &name, format!("127.0.0.1:{port}")).await;
    // A console is a node in a process of its own, which can be stopped.
    let mut beta = command(&home);
    beta.args(["shell", "--listen", "--name", &name, "--cookie-file"]).arg(&cookie).env("FARCALL_TICK", "4s");
    let beta = Running(beta.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap());
    let target: Target = name.parse().unwrap();
    alpha.wait_for(&target, "console").await.unwrap();
    beta.signal("-STOP");
    let missed = || alpha.inspect().links.iter().any(|link| link.ticks_missed >= 2);
    eventually("ticks are missed", missed).await;
    let text =
        shown("farcall links", look(&home, &alpha, &cookie, &["links", "alpha@127.0.0.1"]).await, "MISSED");
    let line = text.lines().find(|line| line.starts_with("beta@")).unwrap();
    let missed: u32 = line.split_whitespace().nth(11).unwrap().parse().unwrap();
    assert!(missed >= 2 && line.contains(" up "), "{text}");
    eventually("it is given up", || alpha.inspect().links.iter().all(|link| link.ticks_missed == 0)).await;
    shown(
        "farcall events",
        look(&home, &alpha, &cookie, &["events", "alpha@127.0.0.1"]).await,
        "connection lost: nothing heard for 4000 ms",
    );
    beta.signal("-CONT");
}

#[actix::test]
async fn a_full_mailbox_is_seen_by_what_waits_and_by_what_was_refused() {
    let cluster = Cluster::start("case_mailbox").await;
    let narrow = Node::builder(BETA).listen([([127, 0, 0, 1], 0).into()]).cookie_file(cluster.cookie_file());
    let narrow = narrow.configure(|config| config.mailbox_messages_max = 100).start().await.unwrap();
    let arbiter = actix::Arbiter::new();
    // It takes nothing more while it sleeps: it blocks its own thread, as a careless handler does.
    let stuck = Blocker::start_in_arbiter(&arbiter.handle(), |_| Blocker);
    narrow.register("mail", stuck).unwrap().keep();
    let alpha = caller(&cluster.cookie_file(), BETA, narrow.listening_on()[0].to_string()).await;
    let beta: Target = BETA.parse().unwrap();
    let calls: Vec<_> = (0..150).map(|_| alpha.async_call(&beta, "mail", Sleep { ms: 1500 })).collect();
    let busy =
        || narrow.inspect().actors.iter().any(|actor| actor.troubles.iter().any(|one| one.reason == "busy"));
    eventually("some are refused", busy).await;
    let text = shown(
        "farcall actors",
        look(&cluster.folder, &narrow, &cluster.cookie_file(), &["actors", BETA]).await,
        "busy ",
    );
    let line = text.lines().find(|line| line.starts_with("mail")).unwrap();
    let waiting: u32 = line.split_whitespace().nth(2).unwrap().parse().unwrap();
    assert!(waiting >= 99, "{text}");
    shown(
        "farcall events",
        look(&cluster.folder, &narrow, &cluster.cookie_file(), &["events", BETA]).await,
        "refused Sleep to mail: ",
    );
    drop(calls);
}

/// Blocks its thread for as long as it is asked to.
#[derive(farcall::RemoteActor)]
#[remote(Sleep)]
struct Blocker;

impl Actor for Blocker {
    type Context = actix::Context<Self>;
}

impl actix::Handler<Sleep> for Blocker {
    type Result = u64;
    fn handle(&mut self, sleep: Sleep, _: &mut Self::Context) -> u64 {
        std::thread::sleep(Duration::from_millis(sleep.ms));
        sleep.ms
    }
}

/// Blocks its thread until its other end is dropped.
#[derive(farcall::RemoteActor)]
#[remote(Sleep)]
struct Waiter(std::sync::mpsc::Receiver<()>);

impl Actor for Waiter {
    type Context = actix::Context<Self>;
}

impl actix::Handler<Sleep> for Waiter {
    type Result = u64;
    fn handle(&mut self, _: Sleep, _: &mut Self::Context) -> u64 {
        self.0.recv().map_or(0, |()| 1)
    }
}

#[actix::test]
async fn a_handler_that_blocks_the_thread_of_its_node_is_named_by_the_remedy() {
    let cluster = Cluster::start("case_blocked").await;
    let cookie = cluster.cookie_file();
    let (release, held) = std::sync::mpsc::channel();
    let (tell, started) = tokio::sync::oneshot::channel();
    // Node and actor are on one thread, as in a program that does not think of it.
    let arbiter = actix::Arbiter::new();
    let of_node = cookie.clone();
    arbiter.spawn(async move {
        let beta = Node::builder(BETA).listen([([127, 0, 0, 1], 0).into()]).cookie_file(of_node);
        let beta = beta.start().await.unwrap();
        beta.register("mail", Waiter(held).start()).unwrap().keep();
        tell.send(beta).unwrap();
    });
    let beta = started.await.unwrap();
    let alpha = caller(&cookie, BETA, beta.listening_on()[0].to_string()).await;
    let calls: Vec<_> =
        (0..2).map(|_| alpha.async_call(&BETA.parse().unwrap(), "mail", Sleep { ms: 0 })).collect();
    eventually("it blocks", || beta.inspect().actors.iter().any(|one| one.name == "mail" && one.waiting > 0))
        .await;
    let said = look(&cluster.folder, &beta, &cookie, &["actors", BETA, "--timeout", "700ms"]).await.failed(6);
    let what = "something blocks the thread that it runs on";
    assert!(said.contains(what) && PAGE.contains(what), "{said}");
    drop((release, calls));
}

#[actix::test]
async fn a_wrong_cookie_is_told_on_both_sides() {
    let cluster = Cluster::start("case_cookie").await;
    let other = cluster.folder.join("other");
    let alpha = caller(&other, BETA, cluster.address()).await;
    alpha.call(&BETA.parse().unwrap(), "counter", Add { amount: 1 }).await.unwrap_err();
    eventually("the pause is over", || {
        let links = alpha.inspect().links;
        links.iter().any(|link| matches!(link.state, farcall::inspect::LinkState::Backoff { left_ms: 0, .. }))
    })
    .await;
    let text = shown(
        "farcall links",
        look(&cluster.folder, &alpha, &other, &["links", "alpha@127.0.0.1"]).await,
        "the last attempt failed: handshake failed: beta@127.0.0.1: peer refused without a reason, most often because the cookies differ",
    );
    assert!(text.contains("backoff"), "{text}");
    let text = shown(
        "farcall events",
        cluster.run(&["events", BETA]).await,
        "peer could not prove that it holds our cookie",
    );
    assert!(text.contains("auth_failed"), "{text}");
}

#[actix::test]
async fn a_certificate_that_has_ended_is_named_by_whoever_refuses_it() {
    let home = folder("case_certificate");
    cert(&home, &["ca"]).await.ok();
    cert(&home, &["node", BETA, "ops@127.0.0.1"]).await.ok();
    let file = |name: &str| tls(&home).join(name);
    let read = |name: &str| fs::read_to_string(file(name)).unwrap();
    let key = rcgen::KeyPair::from_pem(&read("ca-key.pem")).unwrap();
    let issuer = rcgen::Issuer::from_ca_cert_pem(&read("ca.pem"), key).unwrap();
    let mut params = rcgen::CertificateParams::default();
    let uri = "farcall://farcall/alpha@127.0.0.1".try_into().unwrap();
    params.subject_alt_names = vec![rcgen::SanType::URI(uri)];
    // It ends while the node runs, which goes on with the connections that it has.
    params.not_after = time::OffsetDateTime::now_utc() + time::Duration::seconds(2);
    let key = rcgen::KeyPair::generate().unwrap();
    let ended = params.signed_by(&key, &issuer).unwrap().pem();
    let material = |certificate: &str, key: &str| {
        let material = TlsMaterial::new().identity(certificate.as_bytes(), key.as_bytes()).unwrap();
        material.authority(read("ca.pem").as_bytes()).unwrap()
    };
    let any_port = [([127, 0, 0, 1], 0).into()];
    let good = material(&read(&format!("{BETA}.pem")), &read(&format!("{BETA}-key.pem")));
    let beta = Node::builder(BETA)
        .driver(Driver::Tls)
        .listen_tls(any_port)
        .cookie_file(home.join("cookie"))
        .tls(good);
    let beta = beta.start().await.unwrap();
    beta.register("counter", Counter { total: Default::default() }.start()).unwrap().keep();
    let alpha = Node::builder("alpha@127.0.0.1").no_listener().cookie_file(home.join("cookie"));
    let alpha = alpha.driver(Driver::Tls).tls(material(&ended, &key.serialize_pem()));
    let alpha = alpha.node(BETA, format!("tls://{}", beta.listening_on()[0])).start().await.unwrap();
    eventually("it has ended", || alpha.metrics().certificate_left_s == 0).await;
    let second = Instant::now() + Duration::from_millis(1100);
    eventually("for a second at least", || Instant::now() > second).await;
    alpha.call(&BETA.parse().unwrap(), "counter", Add { amount: 1 }).await.unwrap_err();
    let mut events = command(&home);
    events.args(["events", BETA, "--at", &format!("tls://{}", beta.listening_on()[0]), "--cookie-file"]);
    events.arg(home.join("cookie")).arg("--certificate").arg(file("ops@127.0.0.1.pem"));
    let text = shown("farcall events", run(events, "").await, "tls_certificate");
    assert!(text.contains("ended") || text.contains("expired"), "{text}");
}
