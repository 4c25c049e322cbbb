//! Every example runs, says what it should, ends with 0, and leaves nothing behind.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};

const HELLO: &str = env!("CARGO_BIN_EXE_hello");
const COUNTER: &str = env!("CARGO_BIN_EXE_counter");
const SHARDED: &str = env!("CARGO_BIN_EXE_sharded");
const BROADCAST: &str = env!("CARGO_BIN_EXE_broadcast");
const STREAMING: &str = env!("CARGO_BIN_EXE_streaming");
const TWO_TERMINALS: &str = env!("CARGO_BIN_EXE_two_terminals");
const TLS: &str = env!("CARGO_BIN_EXE_tls");
const SERVICE: &str = env!("CARGO_BIN_EXE_service");
const PAGE_BUILDER: &str = env!("CARGO_BIN_EXE_page_builder");
const BOUNDED_BUFFER: &str = env!("CARGO_BIN_EXE_bounded_buffer");
const CHAT: &str = env!("CARGO_BIN_EXE_chat");
const PASSWORD_CRACKER: &str = env!("CARGO_BIN_EXE_password_cracker");
const LISTS: &str = env!("CARGO_BIN_EXE_todo");
const TRACING: &str = env!("CARGO_BIN_EXE_tracing");
const PUBSUB: &str = env!("CARGO_BIN_EXE_pubsub");
const DEMO: &str = env!("CARGO_BIN_EXE_demo");

/// A program of the examples, which keeps its cookie with what was built and not with the user's.
fn program(path: &str) -> Command {
    let mut command = Command::new(path);
    let cookie = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("cookie");
    command.env("FARCALL_COOKIE_FILE", cookie).env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

/// What it prints, when it ends with 0 and nothing on its standard error.
fn printed(mut command: Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let (stdout, stderr) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
    assert!(status.success() && stderr.is_empty(), "{status}\n{stdout}\n{stderr}");
    stdout
}

#[test]
fn hello_prints_its_answer() {
    assert_eq!(printed(program(HELLO)), "beta@127.0.0.1 answered: hello alpha\n");
}

#[test]
fn counter_counts_to_42_and_names_what_went_wrong() {
    let text = printed(program(COUNTER));
    for line in ["the total is 42", "no actor of that name", "does not meet ^2", "may have run: true"] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

#[test]
fn sharded_keeps_the_order_of_each_user_over_three_connections() {
    let text = printed(program(SHARDED));
    assert_eq!(text.matches("[1, 2, 3, 4, 5]").count(), 3, "{text}");
    assert!(text.ends_with(": 3\n"), "{text}");
}

#[test]
fn broadcast_reaches_three_and_names_the_fourth() {
    let text = printed(program(BROADCAST));
    assert_eq!(text.matches("has [\"one\", \"two\"]").count(), 3, "{text}");
    assert!(text.contains("nowhere@127.0.0.1 says nothing, not sent"), "{text}");
    assert!(text.ends_with("0 words are left\n"), "{text}");
}

#[test]
fn streaming_counts_and_ends_the_clock_of_a_dropped_stream() {
    let text = printed(program(STREAMING));
    assert!(text.contains("100000 numbers came, their sum is 5000050000"), "{text}");
    assert!(text.contains("the reader went away"), "{text}");
}

#[test]
fn page_builder_makes_every_page_while_one_of_its_nodes_is_restarted() {
    let text = printed(program(PAGE_BUILDER));
    for line in [
        "<header of page 1> <navigation of page 1> <content of page 1>",
        "header1 is connected with 1 node: front@127.0.0.1",
        "content1 has stopped, content is offered by 1",
        "pages were made meanwhile, none was lost",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

#[test]
fn bounded_buffer_is_never_overfull_and_keeps_its_order() {
    let text = printed(program(BOUNDED_BUFFER));
    for line in [
        "nothing is in it: Err(Empty)",
        "a fifth one: Err(Full { places: 4 })",
        "flushed: 3, then []",
        "100 items went through 4 places, in order: true",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

#[test]
fn chat_reaches_who_is_in_the_room_and_nobody_who_left() {
    let text = printed(program(CHAT));
    assert_eq!(text.matches(" hears ").count(), 4 + 3 + 2, "{text}");
    assert!(text.contains("green is gone, and cat with it: ann, bob"), "{text}");
}

#[test]
fn todo_finds_each_list_by_its_name_and_begins_it_once() {
    let text = printed(program(LISTS));
    assert!(text.starts_with("before anything: no_such_actor\na list is begun: garden\n"), "{text}");
    assert!(text.contains("  [x] tidy up the garden\n  [ ] sow carrots\n"), "{text}");
    assert!(text.ends_with("2 lists on two nodes\n"), "{text}");
}

#[test]
fn tracing_shows_one_trace_over_three_nodes() {
    let text = printed(program(TRACING));
    let tree = "\
somebody wants tea (Internal)
  call orders/Order (Client)
    request orders/Order (Server, from another node)
      handle (Internal)
        call stock/InStock (Client)
          request stock/InStock (Server, from another node)
            handle (Internal)
              look it up (Internal)
";
    assert_eq!(text, format!("tea can be had: true\n{tree}"));
}

#[test]
fn pubsub_reaches_ten_thousand_with_one_message_for_each_node() {
    let text = printed(program(PUBSUB));
    for line in [
        "10000 subscribers heard 20 messages each, 200000 in",
        "20 messages crossed the connection to a",
        "three have left: 9997 heard the next one",
        "c@127.0.0.1 is down: it shut down in good order",
        "6664 are left, on two nodes",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

#[test]
fn password_cracker_finds_the_word_though_workers_are_killed_and_leave() {
    let text = printed(program(PASSWORD_CRACKER));
    for line in
        ["worker 1 is killed", "worker 4 comes", "worker 2 leaves", "worker 3 is killed", "found: rust"]
    {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

#[test]
fn every_example_is_described_and_what_is_described_is_there() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(folder.join("README.md")).unwrap();
    let described: Vec<&str> = readme.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let files = std::fs::read_dir(folder.join("src/bin")).unwrap().map(|entry| entry.unwrap().path());
    let mut there: Vec<String> =
        files.map(|file| file.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    there.sort();
    let mut sorted = described.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, there);
    for name in described {
        let command = format!("cargo run -p farcall-examples --bin {name}");
        assert!(readme.contains(&command), "{command} is not in the README");
    }
}

/// Ends its process when a test ends, also when it fails.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn two_terminals_find_each_other_whoever_is_first() {
    let free = || TcpListener::bind("127.0.0.1:0").unwrap();
    let (one, other) = (free(), free());
    let ports = [&one, &other].map(|socket| socket.local_addr().unwrap().port().to_string());
    drop((one, other));
    let alpha = program(TWO_TERMINALS).arg("alpha").args(&ports).stdout(Stdio::piped()).spawn().unwrap();
    let mut alpha = Running(alpha);
    let beta = program(TWO_TERMINALS).arg("beta").args(&ports).stdout(Stdio::piped()).spawn().unwrap();
    let _beta = Running(beta);
    let mut text = String::new();
    alpha.0.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    assert!(alpha.0.wait().unwrap().success(), "{text}");
    assert!(text.contains("\"hello Barbara\", it greeted 2 before"), "{text}");
}

#[test]
fn the_service_takes_its_settings_from_outside_and_stops_in_good_order() {
    let mut service = program(SERVICE);
    service.env("FARCALL_NAME", "greeter@127.0.0.1").env("FARCALL_TCP_LISTEN", "127.0.0.1:0");
    let mut service = Running(service.stderr(Stdio::piped()).spawn().unwrap());
    let mut log = BufReader::new(service.0.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("listening") {
        line.clear();
        assert!(log.read_line(&mut line).unwrap() > 0, "it ended before it listened");
    }
    let pid = service.0.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    let mut rest = String::new();
    log.read_to_string(&mut rest).unwrap();
    assert!(service.0.wait().unwrap().success(), "{rest}");
    assert!(rest.contains("stopped") && rest.contains("finished=true"), "{rest}");
}

#[test]
fn tls_says_what_is_missing_then_two_nodes_know_each_other_by_their_certificates() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("tls_example-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let tls = |role: &str, port: &str| {
        let mut command = program(TLS);
        command.args([role, port]).env("FARCALL_COOKIE_FILE", folder.join("cookie")).stdout(Stdio::piped());
        command
    };
    let output = tls("beta", "0").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains("cert ca\n") && said.contains("cert node "), "{said}");

    make_certificates(&folder);
    let mut beta = Running(tls("beta", "0").spawn().unwrap());
    let mut line = String::new();
    // Kept until beta is gone: it goes on printing.
    let mut told = BufReader::new(beta.0.stdout.take().unwrap());
    told.read_line(&mut line).unwrap();
    let port: String =
        line.rsplit_once("127.0.0.1:").unwrap().1.chars().take_while(char::is_ascii_digit).collect();
    let text = printed(tls("alpha", &port));
    assert!(text.contains("hello alpha, nobody else has read this"), "{text}");
    assert!(text.contains("no gamma there: ") && text.contains("gamma@127.0.0.1 was dialled"), "{text}");
    drop((beta, told));
    std::fs::remove_dir_all(folder).unwrap();
}

/// As a user makes them, if the command was built too; else such as it makes.
fn make_certificates(folder: &Path) {
    let nodes = ["alpha@127.0.0.1", "beta@127.0.0.1"];
    let farcall = Path::new(TLS).with_file_name("farcall");
    if farcall.exists() {
        for args in [&["cert", "ca"][..], &["cert", "node", nodes[0], nodes[1]]] {
            let mut command = program(farcall.to_str().unwrap());
            command.args(args).env("FARCALL_COOKIE_FILE", folder.join("cookie"));
            printed(command);
        }
        return;
    }
    let folder = folder.join("tls");
    std::fs::create_dir_all(&folder).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    std::fs::write(folder.join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
    let issuer = Issuer::new(params, key);
    for node in nodes {
        let (mut params, key) = (CertificateParams::default(), KeyPair::generate().unwrap());
        params.subject_alt_names =
            vec![SanType::URI(format!("farcall://farcall/{node}").try_into().unwrap())];
        let certificate = params.signed_by(&key, &issuer).unwrap().pem();
        std::fs::write(folder.join(format!("{node}.pem")), certificate).unwrap();
        let key_file = folder.join(format!("{node}-key.pem"));
        std::fs::write(&key_file, key.serialize_pem()).unwrap();
        std::fs::set_permissions(key_file, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
}

#[test]
fn the_demo_goes_as_told_and_ends_in_time() {
    let begun = Instant::now();
    let text = printed(program(DEMO));
    assert!(text.contains(" steps went as told"), "{text}");
    assert!(!text.contains("   NOT  "), "{text}");
    assert!(begun.elapsed() < Duration::from_secs(30), "it took {:?}", begun.elapsed());
}

/// Linux shows in `/proc` which processes there are.
#[cfg(target_os = "linux")]
#[test]
fn no_process_of_the_demo_outlives_it_even_when_it_is_killed() {
    let mut demo = Running(program(DEMO).stdout(Stdio::piped()).spawn().unwrap());
    let mut children = Vec::new();
    for line in BufReader::new(demo.0.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        if let Some((_, rest)) = line.split_once(" starts ") {
            let number: String =
                rest.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
            children.push(number);
        }
        if children.len() == 3 {
            break;
        }
    }
    assert_eq!(children.len(), 3);
    drop(demo);
    let deadline = Instant::now() + Duration::from_secs(10);
    for child in children {
        // The command line of a process that ended and was not yet fetched is empty.
        while std::fs::read(format!("/proc/{child}/cmdline")).is_ok_and(|line| !line.is_empty()) {
            assert!(Instant::now() < deadline, "process {child} lives on");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
