//! What the READMEs and the manual have people type is typed: a shell runs each line of `farcall` as it stands on the
//! page, at home in an empty folder, with nodes that answer.
//!
//! `manual` sees to it that a line can be typed; here it also has to do something: it ends well and prints what it is
//! there for. Only addresses differ from the page: nodes listen on free ports, which `FARCALL_NODES` tells.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use actix::prelude::*;
use farcall::config::TlsConfig;
use farcall::prelude::*;
use farcall::{Driver, NameGuard};

use crate::certs::tls;
use crate::fixture::{Counter, command, eventually, folder, run, shell};
use crate::manual::{Line, commands, lines, pages, root};

/// Pages whose lines are run elsewhere, and where.
const ELSEWHERE: &[(&str, &str)] = &[
    ("procedures.md", "`procedures`, block by block"),
    ("port_mapper.md", "`hosts`: it needs the one mapper of a host"),
];

/// Nodes without TLS, by the names that the pages give them.
const PLAIN: &[&str] = &["alpha@127.0.0.1", "beta@127.0.0.1", "beta@127.0.0.1:5472", "gamma@127.0.0.1:7001"];

/// A node that speaks TLS only, and the settings of the command that the README of the command makes for it.
const SECURED: &str = "beta@10.0.0.2";
const OPS: &str = "ops.toml";

/// What lines print that have this in them.
const PRINTS: &[(&str, &str)] = &[
    ("describe beta@127.0.0.1 counter", "Add -> u64"),
    (r#"greeter Greet '{"name":"Grace"}'"#, "hello Grace"),
    (r#"counter Add '{"amount":10}'"#, "10\n"),
    ("store Put - < item.json", "1\n"),
    ("--take 3", "0\n1\n2\n"),
    ("cast ", "delivered"),
    ("--count 5", "answered in"),
    ("farcall links", "PEER"),
    ("farcall actors", "counter"),
    ("farcall shell", "counter"),
    ("farcall top", "links"),
    ("farcall web", "http://127.0.0.1:"),
    ("# once, to look at", "farcall_info"),
    ("--listen 127.0.0.1:9466", "/metrics has those of beta@"),
    ("--changed", "cookie_file"),
    ("farcall multicall", "gamma@127.0.0.1:7001"),
    ("farcall monitor", "gave its name back"),
    ("--certificate", "counter"),
    ("--config ops.toml", "counter"),
    ("cert node alpha@10.0.0.1 beta@10.0.0.2", r#"name = "beta@10.0.0.2""#),
    ("cert show", "list of revoked certificates"),
    ("cert check", "it speaks for beta@10.0.0.2"),
];

#[farcall::message(result = String)]
struct Greet {
    name: String,
}

#[farcall::message(result = u64)]
struct Put {
    label: String,
}

#[farcall::message(stream = u64)]
struct Watch;

/// Stands for the actors of the pages: a greeter, a store and a clock.
#[derive(RemoteActor)]
#[remote(Greet, Put, Watch)]
struct Shop {
    items: Vec<String>,
}

impl Actor for Shop {
    type Context = Context<Self>;
}

impl Handler<Greet> for Shop {
    type Result = String;
    fn handle(&mut self, greet: Greet, _: &mut Context<Self>) -> String {
        format!("hello {}", greet.name)
    }
}

impl Handler<Put> for Shop {
    type Result = u64;
    fn handle(&mut self, put: Put, _: &mut Context<Self>) -> u64 {
        self.items.push(put.label);
        self.items.len() as u64
    }
}

impl Handler<Watch> for Shop {
    type Result = MessageResult<Watch>;
    fn handle(&mut self, _: Watch, _: &mut Context<Self>) -> Self::Result {
        MessageResult(Items::new(futures::stream::iter(0..)))
    }
}

#[actix::test]
async fn the_lines_of_the_readme_do_what_they_say() {
    Typist::start("typed_readme").await.page("README.md").await;
}

#[actix::test]
async fn the_lines_of_the_commands_own_readme_do_what_they_say() {
    Typist::start("typed_command").await.page("crates/farcall-cli/README.md").await;
}

#[actix::test]
async fn the_lines_of_the_quick_start_do_what_they_say() {
    Typist::start("typed_quick").await.page("crates/farcall/src/manual/quick_start.md").await;
}

#[actix::test]
async fn the_lines_of_the_page_about_looking_inside_do_what_they_say() {
    let mut typist = Typist::start("typed_inside").await;
    // The page tells in a sentence that a certificate is needed over TLS.
    typist.line("farcall cert ca && farcall cert node beta@10.0.0.2").await;
    typist.line("farcall cert node ops@127.0.0.1 > ops.toml").await;
    typist.page("crates/farcall/src/manual/inside.md").await;
}

#[test]
fn no_page_has_lines_that_are_not_run() {
    let here = include_str!("typed.rs");
    for page in pages() {
        let name = page.strip_prefix(root()).unwrap().display().to_string();
        let elsewhere = ELSEWHERE.iter().any(|(end, _)| name.ends_with(end));
        let run = here.contains(&format!(".page(\"{name}\")"));
        let has_lines = !typed(&page).is_empty();
        assert_eq!(has_lines, run || elsewhere, "{name} has lines, or none, against what this file says");
    }
}

#[actix::test]
async fn a_line_that_does_nothing_of_what_it_says_is_found() {
    let mut typist = Typist::start("typed_wrong").await;
    for (line, why) in [
        ("farcall names beta@127.0.0.1 --no-such", "'--no-such'"),
        ("farcall call beta@127.0.0.1 nobody Total", "nobody is not registered"),
        ("farcall call beta@127.0.0.1 counter Add '{\"number\":10}'", "number"),
        ("farcall cert check beta@10.0.0.2.pem", "beta@10.0.0.2.pem"),
        ("farcall names beta@127.0.0.1 > no/such/folder", "no/such/folder"),
        ("farcall completions no-such", "no-such"),
    ] {
        let said = typist.type_in(line).await.expect_err(line);
        assert!(said.contains(why), "{line}: {said}");
    }
}

/// The lines of a page that run the command, also behind something else.
fn typed(page: &Path) -> Vec<String> {
    let text = fs::read_to_string(page).unwrap();
    let ours = |line: &Line| {
        !line.told
            && commands(&line.text).iter().any(|words| words.first().is_some_and(|word| word == "farcall"))
    };
    lines(&text).into_iter().filter(ours).map(|line| line.text).collect()
}

/// Somebody who types, and the nodes that he talks to.
struct Typist {
    home: PathBuf,
    nodes: BTreeMap<String, Node>,
    /// The names of the counters, which a line may wait to see given back.
    counters: BTreeMap<String, NameGuard>,
}

impl Typist {
    async fn start(test: &str) -> Self {
        let home = folder(test);
        fs::write(home.join("item.json"), r#"{"label":"one"}"#).unwrap();
        let mut typist = Self { home, nodes: BTreeMap::new(), counters: BTreeMap::new() };
        for name in PLAIN {
            let node =
                Node::builder(*name).listen([([127, 0, 0, 1], 0).into()]).cookie_file(typist.cookie_file());
            typist.add(name, node.start().await.unwrap());
        }
        typist
    }

    /// Where nodes and commands look for it without being told.
    fn cookie_file(&self) -> PathBuf {
        self.home.join(".config/farcall/cookie")
    }

    fn add(&mut self, name: &str, node: Node) {
        for shop in ["greeter", "store", "clock"] {
            node.register(shop, Shop { items: Vec::new() }.start()).unwrap().keep();
        }
        self.counters.insert(name.to_owned(), counter(&node));
        self.nodes.insert(name.to_owned(), node);
    }

    async fn page(&mut self, page: &str) {
        let lines = typed(&root().join(page));
        assert!(!lines.is_empty(), "{page} has no lines");
        for line in lines {
            self.line(&line).await;
        }
    }

    async fn line(&mut self, line: &str) {
        let printed = self.type_in(line).await.unwrap_or_else(|why| panic!("{line}: {why}"));
        for (_, what) in PRINTS.iter().filter(|(part, _)| line.contains(part)) {
            assert!(printed.contains(what), "{line} does not print {what:?}:\n{printed}");
        }
        assert!(!printed.is_empty() || line.contains("> "), "{line} prints nothing");
    }

    /// Types it; what it printed, or why it did not end well.
    async fn type_in(&mut self, line: &str) -> Result<String, String> {
        if line.contains("farcall cert ca") {
            // The page shows it more than once, and each time from the beginning.
            let _ = fs::remove_dir_all(tls(&self.home));
        }
        let words: Vec<String> = commands(line).into_iter().flatten().collect();
        let verb = words.get(1).cloned().unwrap_or_default();
        let environment = if verb == "cert" { Vec::new() } else { self.environment(&words).await };
        match verb.as_str() {
            "web" | "metrics" if verb == "web" || line.contains("--listen") => {
                Ok(self.first_line(&words[1..], &environment).await)
            }
            "monitor" => self.watch(line, &words[2], &environment).await,
            // Without a terminal it has one frame to show.
            "top" => {
                self.to_its_end(&line.replacen("farcall top", "farcall top --once", 1), &environment).await
            }
            _ => self.to_its_end(line, &environment).await,
        }
    }

    /// Where the nodes are that a line names, and what it needs to be believed by them.
    async fn environment(&mut self, words: &[String]) -> Vec<(&'static str, String)> {
        let names: Vec<&str> = words.iter().flat_map(|word| word.split(',')).collect();
        let mut environment = Vec::new();
        if names.contains(&SECURED) {
            if !self.nodes.contains_key(SECURED) {
                let node = self.secured().await;
                self.add(SECURED, node);
            }
            if !names.contains(&"--certificate") && !names.contains(&"--config") {
                environment.push(("FARCALL_CONFIG", OPS.to_owned()));
            }
        }
        let named = self.nodes.iter().filter(|(name, _)| names.contains(&name.as_str()));
        let at = named.map(|(name, node)| {
            let driver = if name == SECURED { "tls" } else { "tcp" };
            format!("{name}={driver}://{}", node.listening_on()[0])
        });
        environment.push(("FARCALL_NODES", at.collect::<Vec<_>>().join(",")));
        environment
    }

    /// A node with what `farcall cert` has made for it.
    async fn secured(&self) -> Node {
        let file = |name: &str| tls(&self.home).join(name);
        let config = Config {
            name: Some(SECURED.parse().unwrap()),
            driver: Driver::Tls,
            cookie_file: Some(self.cookie_file()),
            tls: TlsConfig {
                certificate: Some(file("beta@10.0.0.2.pem")),
                key: Some(file("beta@10.0.0.2-key.pem")),
                ca: vec![file("ca.pem")],
                crl: vec![file("crl.pem")],
                ..TlsConfig::default()
            },
            ..Config::default()
        };
        Node::from_config(config).listen_tls([([127, 0, 0, 1], 0).into()]).start().await.unwrap()
    }

    async fn to_its_end(&self, line: &str, environment: &[(&str, String)]) -> Result<String, String> {
        let mut shell = shell(&self.home, line);
        shell.envs(environment.iter().map(|(name, value)| (name, value)));
        let certificates = tls(&self.home);
        let beside =
            |words: &Vec<String>| words.iter().any(|word| word.ends_with(".pem") && !word.contains('/'));
        if commands(line).iter().any(beside) && certificates.exists() {
            shell.current_dir(certificates);
        }
        let ended = run(shell, "names\n").await;
        if ended.code == Some(0) && ended.err.is_empty() { Ok(ended.out) } else { Err(format!("{ended:?}")) }
    }

    /// What a line prints first that goes on until somebody ends it, on a free port.
    async fn first_line(&self, words: &[String], environment: &[(&str, String)]) -> String {
        let mut farcall: Command = command(&self.home);
        let without_port = words.iter().filter(|word| *word != "--listen" && !word.starts_with("127.0.0.1:"));
        farcall.args(without_port).args(["--listen", "127.0.0.1:0"]);
        farcall.envs(environment.iter().map(|(name, value)| (name, value)));
        farcall.stdin(Stdio::null()).stdout(Stdio::piped());
        let first = move || {
            let mut child = farcall.spawn().unwrap();
            let mut line = String::new();
            BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
            child.kill().unwrap();
            child.wait().unwrap();
            line
        };
        tokio::task::spawn_blocking(first).await.unwrap()
    }

    /// A line that ends when an actor has given its name back, which it does as soon as it is watched.
    async fn watch(
        &mut self,
        line: &str,
        name: &str,
        environment: &[(&str, String)],
    ) -> Result<String, String> {
        let node = self.nodes.get(name).cloned().ok_or(format!("{name} is no node"))?;
        let guard = self.counters.remove(name).unwrap();
        let watched = async {
            eventually("it is watched", || node.metrics().monitors_kept > 0).await;
            drop(guard);
        };
        let (ended, ()) = futures::join!(self.to_its_end(line, environment), watched);
        self.counters.insert(name.to_owned(), counter(&node));
        ended
    }
}

fn counter(node: &Node) -> NameGuard {
    node.register("counter", Counter { total: Default::default() }.start()).unwrap()
}
