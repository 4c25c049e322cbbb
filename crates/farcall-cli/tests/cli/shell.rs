//! `farcall shell`, with lines from a pipe.

use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::Ordering;

use actix::Actor;
use farcall::Node;
use serde_json::Value;

use crate::fixture::{BETA, Cluster, Counter, command};

/// A console whose lines are typed one after the other, while the node in this process goes on.
pub struct Typed {
    shell: Child,
    input: ChildStdin,
    told: Option<Lines<BufReader<ChildStdout>>>,
}

impl Typed {
    pub fn start(cluster: &Cluster, options: &[&str]) -> Self {
        let mut shell = command(&cluster.folder);
        shell.args(["shell", BETA, "--at", &cluster.address(), "--cookie-file"]).arg(cluster.cookie_file());
        shell.args(options);
        Self::spawn(shell)
    }

    pub fn spawn(mut shell: Command) -> Self {
        let mut shell = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, told) = (shell.stdin.take().unwrap(), shell.stdout.take().unwrap());
        Self { shell, input, told: Some(BufReader::new(told).lines()) }
    }

    /// Types it, and gives the line that it prints.
    pub async fn line(&mut self, text: &str) -> Value {
        serde_json::from_str(&self.text(text).await).unwrap()
    }

    /// As [`line`](Self::line), as it stands.
    pub async fn text(&mut self, text: &str) -> String {
        writeln!(self.input, "{text}").unwrap();
        self.told().await
    }

    /// What it prints next.
    pub async fn told(&mut self) -> String {
        let mut told = self.told.take().unwrap();
        let next = move || (told.next().unwrap().unwrap(), told);
        let (line, told) = tokio::task::spawn_blocking(next).await.unwrap();
        self.told = Some(told);
        line
    }

    /// The end of its input; the exit code.
    pub async fn end(self) -> Option<i32> {
        let Self { mut shell, input, told: _told } = self;
        drop(input);
        tokio::task::spawn_blocking(move || shell.wait().unwrap().code()).await.unwrap()
    }
}

#[actix::test]
async fn lines_are_followed_in_turn_and_need_neither_the_node_nor_quotes() {
    let cluster = Cluster::start("shell").await;
    let lines = "ping\n\ncall counter Add {\"amount\": 40}\ncall beta@127.0.0.1 counter Add {\"amount\": 2}\n\
                 call counter Total --raw\nexit\ncall counter Total\n";
    let told = cluster.run_with(&["shell", BETA], lines).await.ok();
    let answers: Vec<&str> = told.lines().filter(|line| !line.contains("beta@")).collect();
    assert_eq!(answers, ["40", "42", "\"Kg==\""], "{told}");
    assert_eq!(cluster.node.metrics().handshakes_failed, 0);
}

#[actix::test]
async fn an_error_is_told_and_the_next_line_is_followed_and_a_script_sees_the_first_code() {
    let cluster = Cluster::start("shell-errors").await;
    let lines = "call nobody Total\nnonsense\ncall counter Add {\"amount\": }\ncall counter Total\n";
    let ended = cluster.run_with(&["shell", BETA, "--json"], lines).await;
    assert_eq!(ended.code, Some(4), "{ended:?}");
    let told: Vec<Value> = ended.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let reasons: Vec<_> = told.iter().map(|told| told["error"]["reason"].clone()).collect();
    assert_eq!(reasons, [Value::from("no_such_actor"), "usage".into(), "bad_json".into(), Value::Null]);
    assert_eq!(told.last(), Some(&Value::from(0)));
}

#[actix::test]
async fn without_a_node_each_line_names_its_own_and_help_says_how() {
    let cluster = Cluster::start("shell-nodeless").await;
    let ended = cluster.run_with(&["shell"], "help\nnames\n").await;
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.out.contains("call [NODE] ACTOR MESSAGE [JSON]"), "{}", ended.out);
    assert!(ended.err.contains("<NODE>"), "{}", ended.err);
}

#[actix::test]
async fn the_message_cannot_come_from_the_input_that_the_lines_come_from() {
    let cluster = Cluster::start("shell-dash").await;
    let lines = "call counter Add -\ncast counter Add '-'\n{\"amount\": 7}\ncall counter Total\n";
    let ended = cluster.run_with(&["shell", BETA], lines).await;
    assert_eq!((ended.code, ended.out.as_str()), (Some(2), "0\n"), "{ended:?}");
    assert!(ended.err.contains("standard input"), "{}", ended.err);
}

#[actix::test]
async fn the_options_of_a_line_count_for_that_line() {
    let cluster = Cluster::start("shell-options").await;
    let other = Cluster::start("shell-options-other").await;
    let at = other.address();
    let cookie = other.cookie_file();
    // The other node has the same name and another cookie; what is named on the line is what is used.
    let lines = format!(
        "call counter Add {{\"amount\": 1}}\ncall counter Add {{\"amount\": 2}} --at {at} --cookie-file {}\n\
         call counter Total\nping gamma@127.0.0.1 --at 127.0.0.1:9\n",
        cookie.display()
    );
    let ended = cluster.run_with(&["shell", BETA], lines).await;
    assert_eq!(ended.out, "1\n2\n1\n", "{ended:?}");
    assert_eq!(other.total.load(Ordering::SeqCst), 2);
    assert!(ended.err.contains("127.0.0.1:9"), "{}", ended.err);
}

#[actix::test]
async fn nodes_that_do_not_answer_cost_the_time_of_their_lines_and_nothing_at_the_end() {
    let cluster = Cluster::start("shell-time").await;
    let frozen = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = frozen.local_addr().unwrap();
    let lines: String = (0..3).map(|n| format!("ping x{n}@h --at {at} --timeout 50ms\n")).collect();
    let begun = std::time::Instant::now();
    let ended = cluster.run_with(&["shell", "--timeout", "60s"], lines).await;
    assert_eq!(ended.code, Some(6), "{ended:?}");
    // A handshake that goes on is given up after five.
    assert!(begun.elapsed().as_secs() < 4, "{:?}", begun.elapsed());
}

#[actix::test]
async fn options_may_stand_before_the_node_and_text_with_an_at_sign_is_no_node() {
    let cluster = Cluster::start("shell-order").await;
    let lines = "call --raw beta@127.0.0.1 counter Total\n\
                 call --timeout 4s counter Add {\"amount\": 3} --require-version \"^1\"\n\
                 ping --count 1 --at [::1]:9 --at AT beta@127.0.0.1 --interval 1ms\n\
                 describe --timeout 4s beta@127.0.0.1 \"counter\"\n\
                 farcall call beta@127.0.0.1 counter Add '{\"amount\":1}'\n\
                 call counter Mirror {\"item\": {\"label\": \"a@b\", \"content\": \"\", \"shape\": \"Point\", \"tags\": []}} --json\n"
        .replace("AT", &cluster.address());
    let told = cluster.run_with(&["shell", BETA], lines).await.ok();
    assert!(told.starts_with("\"AA==\"\n3\nbeta@127.0.0.1: connected"), "{told}");
    assert!(told.contains("\n4\n{\"label\":\"a@b\","), "{told}");
}

#[actix::test]
async fn comments_are_skipped_and_what_cannot_be_read_is_told_with_its_line_left_out() {
    let cluster = Cluster::start("shell-lines").await;
    let lines =
        b"# adds\ncall counter Add {\"amount\": 1}\r\n  # \xe4\ncall counter Add \xff\ncall counter 'Total\n\
                  call '' Total\ncall counter Total"
            .to_vec();
    let ended = cluster.run_with(&["shell", BETA, "--json"], lines).await;
    assert_eq!(ended.code, Some(2), "{ended:?}");
    let told: Vec<Value> = ended.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let reasons: Vec<_> = told.iter().map(|told| told["error"]["reason"].clone()).collect();
    let usage = Value::from("usage");
    assert_eq!(
        reasons,
        [Value::Null, usage.clone(), usage.clone(), "no_such_actor".into(), Value::Null],
        "{told:?}"
    );
    assert_eq!((&told[0], &told[4]), (&Value::from(1), &Value::from(1)));
    assert!(told[1]["error"]["message"].as_str().unwrap().contains("UTF-8"), "{told:?}");
    assert!(told[2]["error"]["message"].as_str().unwrap().contains("not closed"), "{told:?}");
}

#[actix::test]
async fn help_is_no_error_and_other_commands_are_named_as_what_they_are() {
    let cluster = Cluster::start("shell-help").await;
    let told = cluster.run_with(&["shell", BETA], "help\ncall --help\nhelp names\n").await.ok();
    assert!(told.contains("--require-version") && told.contains("List the actors"), "{told}");
    let json = cluster.run_with(&["shell", BETA, "--json"], "help\ncall --help\n").await.ok();
    assert!(json.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{json}");
    let lines = "cert ca\nhealth\nshell\nnames -v\n";
    let told = cluster.run_with(&["shell", BETA], lines).await.failed(2);
    for command in ["cert", "health", "shell"] {
        assert!(told.contains(&format!("{command} is no command of the console")), "{told}");
    }
    assert!(told.contains("`help`") && told.contains("-v"), "{told}");
    assert!(!cluster.folder.join(".config/farcall/tls").exists());
}

#[actix::test]
async fn a_node_that_comes_back_is_reached_by_the_next_line() {
    let cluster = Cluster::start("shell-again").await;
    let mut shell = Typed::start(&cluster, &["--json"]);
    assert_eq!(shell.line("call counter Total").await, 0);
    let at = cluster.node.listening_on()[0];
    cluster.node.shutdown().await;
    for _ in 0..5 {
        let error = &shell.line("call counter Total").await["error"];
        assert_eq!(error["reason"], "connect_failed", "{error}");
    }
    let again = Node::builder(BETA).listen([at]).cookie_file(cluster.cookie_file()).start().await.unwrap();
    let counter = Counter { total: cluster.total.clone() }.start();
    again.register("counter", counter).unwrap().keep();
    assert_eq!(shell.line("call counter Total").await, 0);
    assert_eq!(shell.end().await, Some(3));
    again.shutdown().await;
}

#[actix::test]
async fn nobody_who_reads_on_ends_it_quietly_and_the_lines_behind_are_left() {
    let cluster = Cluster::start("shell-closed").await;
    let mut shell = command(&cluster.folder);
    shell.args(["shell", BETA, "--at", &cluster.address(), "--cookie-file"]).arg(cluster.cookie_file());
    shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut shell = shell.spawn().unwrap();
    drop(shell.stdout.take());
    let lines = "call counter Add {\"amount\": 1}\n".repeat(3);
    let _ = shell.stdin.take().unwrap().write_all(lines.as_bytes());
    let ended = tokio::task::spawn_blocking(move || shell.wait_with_output().unwrap()).await.unwrap();
    assert_eq!((ended.status.code(), ended.stderr.as_slice()), (Some(0), b"".as_slice()));
    assert_eq!(cluster.total.load(Ordering::SeqCst), 1);
}

#[actix::test]
async fn a_call_runs_while_other_lines_are_typed_and_its_answer_is_fetched_by_its_number() {
    let cluster = Cluster::start("shell-async").await;
    let mut shell = Typed::start(&cluster, &["--json"]);
    assert_eq!(shell.line("async counter Sleep {\"ms\": 300}").await, 1);
    assert_eq!(shell.line("async --timeout 4s counter Add {\"amount\": 5}").await, 2);
    assert_eq!(shell.line("nb_yield 1").await, Value::Null);
    assert_eq!(shell.line("yield 2").await, 5);
    assert_eq!(shell.line("nb_yield 1 4s").await, 300);
    assert_eq!(shell.line("yield 1").await["error"]["reason"], "usage", "it was fetched");
    assert_eq!(shell.line("async nobody Total").await, 3);
    assert_eq!(shell.line("yield 3").await["error"]["reason"], "no_such_actor");
    assert_eq!(shell.line("disconnect beta@127.0.0.1").await, "beta@127.0.0.1 is disconnected");
    assert_eq!(shell.end().await, Some(2));
}
