//! Every command line of the READMEs and of the manual is one that can be typed: its program is there, and takes it.
//!
//! `farcall` is run with the line, at home in an empty folder: there is no cookie, so it ends before it reaches a node,
//! and only its own parser can say that the line is wrong. What `make` and `cargo` get is held against the Makefile and
//! the workspace. Nothing else is run here; `typed` runs the lines of `farcall` with nodes that answer.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::fixture::{command, folder};

/// Beside the pages of the manual.
const READMES: &[&str] =
    &["README.md", "crates/farcall-cli/README.md", "examples/README.md", "integration/README.md"];

const PAGES: &str = "crates/farcall/src/manual";

/// What stands for something else in a line that is told about.
const PLACEHOLDERS: &[(&str, &str)] = &[
    ("NODE", "beta@127.0.0.1"),
    ("[NODE]", "beta@127.0.0.1"),
    ("NAME", "beta@127.0.0.1"),
    ("HOST", "127.0.0.1"),
    ("ACTOR", "counter"),
];

/// Programs that are not run, and why their lines are right all the same.
const OTHERS: &[(&str, &str)] = &[
    ("base64", "of every Unix; `procedures` runs it"),
    ("cat", "of every Unix; `procedures` runs it"),
    ("cd", "of every shell; goes to what the lines before it made"),
    ("cp", "of every Unix; `procedures` runs it"),
    ("docker", "`make integration` and CI run it; a command of ours inside it is checked"),
    ("echo", "of every shell; `procedures` runs it"),
    ("epmd", "Erlang's own, shown beside ours"),
    ("git", "fetches this repository, which is here"),
    ("head", "of every Unix; `procedures` runs it"),
    ("kill", "of every shell; `procedures` runs it"),
    ("mkdir", "of every Unix; `procedures` runs it"),
    ("my-service", "the reader's own program; `procedures` has one"),
    ("rm", "of every Unix; `procedures` runs it"),
    ("target/static/*/release/integration", "`make integration` builds and runs it"),
    ("tee", "of every Unix; `procedures` runs it"),
    ("umask", "of every shell; `procedures` runs it"),
];

/// Options of cargo whose value is not looked at, and those that have none.
const CARGO_OPTIONS: &[(&str, bool)] = &[
    ("--debug", false),
    ("--release", false),
    ("--locked", false),
    ("--no-capture", false),
    ("-q", false),
    ("--target", true),
    ("--target-dir", true),
];

#[test]
fn every_command_of_the_readmes_and_of_the_manual_can_be_typed() {
    let known = Known::new("typed");
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        let name = page.strip_prefix(root()).unwrap().display();
        for Line { number, text, told } in lines(&text) {
            for words in commands(&text) {
                seen.extend(words.first().cloned());
                if let Err(why) = known.check(&words, told) {
                    wrong.push(format!("{name}:{number}: {text}\n    {why}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    for program in ["farcall", "make", "cargo"].iter().chain(OTHERS.iter().map(|(program, _)| program)) {
        assert!(seen.contains(*program), "no page has a line of {program}: is it read, is it still needed?");
    }
}

#[test]
fn a_command_that_nobody_can_type_is_found() {
    let known = Known::new("untyped");
    let check = |line: &str, told| commands(line).iter().try_for_each(|words| known.check(words, told));
    for right in [
        "farcall links beta@127.0.0.1 # its links",
        "farcall top beta@127.0.0.1",
        "farcall metrics beta@127.0.0.1 --listen 127.0.0.1:0",
        "farcall cert ca && farcall cert node beta@10.0.0.2 > beta.toml",
        "make soak MINUTES=10 SEED=42",
        "FARCALL_NAME=a@127.0.0.1 cargo run -q -p farcall-cli -- names beta@127.0.0.1",
        "cargo run -p farcall-examples --bin hello",
    ] {
        assert_eq!(check(right, false), Ok(()), "{right}");
    }
    for (wrong, why) in [
        ("farcall links beta@127.0.0.1 --no-such", "'--no-such'"),
        ("farcall lnks beta@127.0.0.1", "'lnks'"),
        ("farcall links beta", "has no host"),
        ("farcall links", "required"),
        ("cd a && farcall cert ca --no-such", "'--no-such'"),
        ("(umask 077; farcall cert ca --no-such) > x", "'--no-such'"),
        ("docker exec greeter /farcall health --no-such", "'--no-such'"),
        ("cargo run -q -p farcall-cli -- names beta@127.0.0.1 --no-such", "'--no-such'"),
        ("cargo run -p farcall-examples --bin no-such", "no-such"),
        ("cargo run -p no-such", "no-such"),
        ("cargo run --no-such", "--no-such"),
        ("cargo add farcall --features no-such", "no-such"),
        ("cargo install --path crates/no-such", "no-such"),
        ("make no-such", "no-such"),
        ("make soak NO_SUCH=1", "NO_SUCH"),
        ("no-such", "no-such"),
    ] {
        let said = check(wrong, false).expect_err(wrong);
        assert!(said.contains(why), "{wrong}: {said}");
    }
    assert_eq!(check("farcall links", true), Ok(()), "a text tells of a command without its arguments");
    assert_eq!(check("farcall links NODE", true), Ok(()));
    check("farcall links --no-such", true).unwrap_err();
    check("farcall no-such", true).unwrap_err();
}

#[test]
fn lines_are_read_as_a_shell_reads_them() {
    let words = |line: &str| commands(line).iter().map(|words| words.join("|")).collect::<Vec<_>>();
    assert_eq!(words("a 'b c' \"d $(e f)\" g#h # i"), ["a|b c|d $(e f)|g#h"]);
    assert_eq!(words("(cd a; b > log 2>&1 & echo $! > pid)"), ["cd|a", "b", "echo|$!"]);
    assert_eq!(words("X=1 Y=$(rustc -vV | sed -n 's/a//p') a < b | c"), ["a", "c"]);
    let page = "`farcall a` x `b`\n```sh\nc \\\n  d\n```\n```text\n$ farcall e\nf\nmake g\n```\n";
    let lines: Vec<_> = lines(page).into_iter().map(|line| (line.number, line.text, line.told)).collect();
    let expected =
        [(1, "farcall a", true), (3, "c   d", false), (7, "farcall e", false), (9, "make g", false)];
    assert_eq!(lines, expected.map(|(number, text, told)| (number, text.to_owned(), told)));
}

/// The READMEs and all pages of the manual.
pub fn pages() -> Vec<PathBuf> {
    let mut pages: Vec<PathBuf> = READMES.iter().map(|page| root().join(page)).collect();
    let manual = fs::read_dir(root().join(PAGES)).unwrap().map(|entry| entry.unwrap().path());
    pages.extend(manual.filter(|path| path.extension().is_some_and(|end| end == "md")));
    pages
}

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// A command line of a page.
pub struct Line {
    number: usize,
    pub text: String,
    /// In the middle of a sentence: it may lack arguments.
    pub told: bool,
}

/// The lines of blocks for a shell, those behind a prompt or of a program of ours in blocks of text, and what sentences
/// have of them between backquotes.
pub fn lines(page: &str) -> Vec<Line> {
    let mut found = Vec::new();
    let mut block: Option<&str> = None;
    let mut lines = page.lines().map(str::trim).zip(1..);
    while let Some((line, number)) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            block = if block.is_some() { None } else { Some(language) };
            continue;
        }
        let ours = |text: &str| ["farcall ", "make ", "cargo "].iter().any(|ours| text.starts_with(ours));
        let text = match block {
            None => {
                let spans = line.split('`').skip(1).step_by(2).filter(|span| ours(span));
                found.extend(spans.map(|span| Line { number, text: span.to_owned(), told: true }));
                continue;
            }
            Some("sh" | "console") => line.trim_start_matches("$ "),
            Some("text") => match line.strip_prefix("$ ") {
                Some(typed) => typed,
                None if line.starts_with("make ") || line.starts_with("target/") => line,
                None => continue,
            },
            Some(_) => continue,
        };
        let mut text = text.to_owned();
        while let Some(first) = text.strip_suffix('\\') {
            let (rest, _) = lines.next().expect("a line goes on that is the last one");
            text = format!("{first}  {rest}");
        }
        found.push(Line { number, text, told: false });
    }
    found
}

/// The words of each command of a line: without assignments before it, redirections and comments.
pub fn commands(line: &str) -> Vec<Vec<String>> {
    let mut commands = vec![Vec::new()];
    let mut rest = line;
    let mut into_file = false;
    loop {
        rest = rest.trim_start();
        let Some(first) = rest.chars().next() else { break };
        if first == '#' {
            break;
        }
        if let Some(after) = rest.strip_prefix("2>&1") {
            rest = after;
        } else if matches!(first, '<' | '>') {
            into_file = true;
            rest = &rest[1..];
        } else if matches!(first, '&' | '|' | ';' | '(' | ')') {
            commands.push(Vec::new());
            rest = &rest[1..];
        } else {
            let (word, after) = word(rest);
            let words = commands.last_mut().unwrap();
            let assigns = words.is_empty() && word.split_once('=').is_some_and(|(name, _)| is_variable(name));
            if !std::mem::take(&mut into_file) && !assigns {
                words.push(word);
            }
            rest = after;
        }
    }
    commands.retain(|words| !words.is_empty());
    commands
}

/// The first word, without its quotes, and what is behind it. What is in `$(…)` stays as it is.
fn word(text: &str) -> (String, &str) {
    let mut word = String::new();
    let (mut quote, mut depth) = (None, 0);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (None, '\'' | '"') if depth == 0 => quote = Some(c),
            (None, '(') if word.ends_with('$') || depth > 0 => {
                depth += 1;
                word.push(c);
            }
            (None, ')') if depth > 0 => {
                depth -= 1;
                word.push(c);
            }
            (None, _) if depth == 0 && (c.is_whitespace() || "&|;()<>".contains(c)) => {
                return (word, &text[at..]);
            }
            _ => word.push(c),
        }
    }
    assert!(quote.is_none() && depth == 0, "{text} has no end");
    (word, "")
}

fn is_variable(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// What lines are held against.
struct Known {
    home: PathBuf,
    makefile: String,
    /// As `cargo metadata` tells it.
    packages: Vec<Value>,
}

impl Known {
    fn new(test: &str) -> Self {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["metadata", "--no-deps", "--offline", "--format-version", "1"]).current_dir(root());
        let told: Value = serde_json::from_slice(&cargo.output().unwrap().stdout).unwrap();
        let packages = told["packages"].as_array().unwrap().clone();
        Self { home: folder(test), makefile: fs::read_to_string(root().join("Makefile")).unwrap(), packages }
    }

    /// Why this command cannot be typed. One that is only `told` about may lack arguments.
    fn check(&self, words: &[String], told: bool) -> Result<(), String> {
        let (program, arguments) = words.split_first().unwrap();
        if let Some(at) = words.iter().position(|word| word == "/farcall") {
            return self.farcall(&words[at + 1..], told);
        }
        match program.as_str() {
            "farcall" => self.farcall(arguments, told),
            "make" => self.make(arguments),
            "cargo" => self.cargo(arguments, told),
            other if OTHERS.iter().any(|(known, _)| *known == other) => Ok(()),
            other => Err(format!("{other} is none of the programs that this test knows: see OTHERS")),
        }
    }

    /// Runs it until it says something or ends, whichever is first.
    fn farcall(&self, arguments: &[String], told: bool) -> Result<(), String> {
        let stands_for = |word: &String| {
            let found = PLACEHOLDERS.iter().find(|(placeholder, _)| told && placeholder == word);
            found.map_or(word.clone(), |(_, meant)| (*meant).to_owned())
        };
        let mut command = command(&self.home);
        command.args(arguments.iter().map(stands_for));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let said = child.stdout.take().unwrap().read(&mut [0]).unwrap();
        if said > 0 {
            // It does what it was asked to, maybe until somebody ends it.
            child.kill().unwrap();
            child.wait().unwrap();
            return Ok(());
        }
        let ended = child.wait_with_output().unwrap();
        let error = String::from_utf8(ended.stderr).unwrap();
        // Also a message of its own may end with 2, as that of a live view without a terminal; usage is what clap tells.
        let misused = ended.status.code() == Some(2)
            && (error.contains("Usage: ") || error.contains("For more information, try '--help'"));
        let lacks = error.contains("required arguments were not provided") || !error.starts_with("error: ");
        if misused && !(told && lacks) { Err(error) } else { Ok(()) }
    }

    fn make(&self, arguments: &[String]) -> Result<(), String> {
        for word in arguments {
            let known = match word.split_once('=') {
                Some((name, _)) => self.makefile.contains(&format!("$({name})")),
                None => self.makefile.lines().any(|line| line.starts_with(&format!("{word}:"))),
            };
            if !known {
                return Err(format!("the Makefile knows no {word}"));
            }
        }
        Ok(())
    }

    fn cargo(&self, arguments: &[String], told: bool) -> Result<(), String> {
        let mut words = arguments.iter().map(String::as_str);
        let verb = words.next().unwrap_or_default();
        if !["run", "build", "test", "nextest", "install", "add", "new"].contains(&verb) {
            return Err(format!("cargo {verb} is not checked here"));
        }
        let mut package = None;
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} has no value"));
            match word {
                "--" => break,
                "-p" => {
                    let name = value()?;
                    let found = self.packages.iter().find(|package| package["name"] == name);
                    package = Some(found.ok_or(format!("there is no package {name}"))?);
                }
                "--bin" | "--test" => self.has_target(&word[2..], value()?)?,
                "--path" => {
                    let path = value()?.trim_start_matches("../farcall/");
                    if !root().join(path).join("Cargo.toml").exists() {
                        return Err(format!("there is no package in {path}"));
                    }
                }
                "--features" => {
                    let feature = value()?;
                    let farcall = self.packages.iter().find(|package| package["name"] == "farcall").unwrap();
                    if farcall["features"].get(feature).is_none() {
                        return Err(format!("farcall has no feature {feature}"));
                    }
                }
                option if option.starts_with('-') => {
                    let known = CARGO_OPTIONS.iter().find(|(known, _)| *known == option);
                    let (_, has_value) = known.ok_or(format!("cargo's {option} is not known here"))?;
                    if *has_value {
                        value()?;
                    }
                }
                _ => {}
            }
        }
        let of_command = verb == "run" && package.is_some_and(|package| package["name"] == "farcall-cli");
        if of_command { self.farcall(&words.map(str::to_owned).collect::<Vec<_>>(), told) } else { Ok(()) }
    }

    fn has_target(&self, kind: &str, name: &str) -> Result<(), String> {
        let mut targets = self.packages.iter().flat_map(|package| package["targets"].as_array().unwrap());
        if targets.any(|target| target["kind"][0] == kind && target["name"] == name) {
            return Ok(());
        }
        Err(format!("no package has a {kind} {name}"))
    }
}
