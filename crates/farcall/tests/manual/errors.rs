//! The page of errors has every error that a program can see, with each of its variants, and says of a call's what the
//! code says: the class, and whether it ran.
//!
//! The sources are read, because most of these enums are open to later variants: a `match` outside of their crate
//! could not be made complete.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// All reasons of a call are words, which `reason` gives.
const FAILURES: &str = "../farcall-proto/src/failure.rs";

/// The classes of a call as the page calls them, where the words of each are, and whether such a call ran.
const CLASSES: &[(&str, &str, &str)] = &[
    ("not sent", "impl NotSent {", "no"),
    ("rejected", "impl Rejected {", "no"),
    ("failed", "impl Failed {", "yes"),
    ("unknown", "impl Failure {", "perhaps"),
];

/// What a program is told in place of an error's type, though it is none.
const NO_ERROR_TYPE: (&str, &str) = ("src/inspect/operate.rs", "OrderRefused");

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

fn page() -> String {
    read("src/manual/errors.md")
}

#[test]
fn every_reason_of_a_call_has_a_line_with_its_class_and_whether_it_ran() {
    let wrong = wrong_lines(&page(), &reasons(&read(FAILURES)));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_line_with_another_class_or_of_no_reason_is_found() {
    let (page, reasons) = (page(), reasons(&read(FAILURES)));
    assert!(reasons.len() > 20, "{reasons:?}");
    for (right, wrong) in [
        ("| `timeout` | unknown | perhaps |", "| `timeout` | not sent | perhaps |"),
        ("| `timeout` | unknown | perhaps |", "| `timeout` | unknown | no |"),
        ("| `busy` |", "| `bussy` |"),
        ("| `actor_stopped` | rejected, failed | no, yes |", "| `actor_stopped` | failed | yes |"),
    ] {
        assert!(page.contains(right), "{right}");
        assert!(!wrong_lines(&page.replacen(right, wrong, 1), &reasons).is_empty(), "{wrong}");
    }
}

#[test]
fn every_error_has_a_line_that_says_what_to_do() {
    let page = page();
    let mut seen = 0;
    for (path, error) in errors() {
        seen += 1;
        if !error.has_variants {
            assert!(page.contains(&format!("`{}`", error.name)), "{} is not on the page", error.name);
            continue;
        }
        let heading = format!("### `{}`\n", error.name);
        let (_, section) =
            page.split_once(&heading).unwrap_or_else(|| panic!("{} is not on the page", error.name));
        let section = section.split("\n##").next().unwrap();
        let variants = variants(&fs::read_to_string(path).unwrap(), &error.name);
        assert!(!variants.is_empty(), "{}", error.name);
        for variant in variants {
            assert!(told(section).any(|one| one == variant), "{}::{variant} has no line", error.name);
        }
    }
    assert!(seen >= 30, "only {seen} were found");
}

/// A class, and whether a call of it ran.
type Class = (&'static str, &'static str);

/// The words of a call's errors, and the classes of each.
fn reasons(source: &str) -> BTreeMap<String, Vec<Class>> {
    let mut reasons: BTreeMap<String, Vec<Class>> = BTreeMap::new();
    for (class, begin, ran) in CLASSES {
        let (_, body) = source.split_once(begin).unwrap();
        let body = body.split("\n}\n").next().unwrap();
        for word in body.split(" => \"").skip(1).map(|rest| rest.split('"').next().unwrap()) {
            reasons.entry(word.to_owned()).or_default().push((class, ran));
        }
    }
    reasons
}

/// What is wrong in the table of calls.
fn wrong_lines(page: &str, reasons: &BTreeMap<String, Vec<Class>>) -> Vec<String> {
    let (_, calls) = page.split_once("\n## Calls\n").unwrap();
    let calls = calls.split("\n##").next().unwrap();
    let lines: Vec<&str> = calls.lines().filter(|line| line.starts_with("| `")).collect();
    let mut wrong = Vec::new();
    for (word, classes) in reasons {
        let mut ran: Vec<&str> = classes.iter().map(|(_, ran)| *ran).collect();
        ran.dedup();
        let class: Vec<&str> = classes.iter().map(|(class, _)| *class).collect();
        let begin = format!("| `{word}` | {} | {} | ", class.join(", "), ran.join(", "));
        if lines.iter().filter(|line| line.starts_with(&begin)).count() != 1 {
            wrong.push(format!("no line begins with {begin}"));
        }
    }
    let word = |line: &str| line.split('`').nth(1).unwrap().to_owned();
    wrong.extend(
        lines
            .iter()
            .filter(|line| !reasons.contains_key(&word(line)))
            .map(|line| format!("of no reason: {line}")),
    );
    wrong
}

/// The variants that have a line in a section.
fn told(section: &str) -> impl Iterator<Item = &str> {
    let names = section.lines().filter_map(|line| Some(line.strip_prefix("| `")?.split_once(" | ")?.0));
    names.flat_map(|names| names.trim_end_matches('`').split("`, `"))
}

struct Error {
    name: String,
    has_variants: bool,
}

/// The errors that programs get in their hands: those of this crate, and those of the core that it hands on.
fn errors() -> Vec<(PathBuf, Error)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let of = |path: PathBuf| {
        let source = fs::read_to_string(&path).unwrap();
        declared(&source).into_iter().map(move |error| (path.clone(), error)).collect::<Vec<_>>()
    };
    let own = sources(&root.join("src"));
    let handed_on: Vec<String> =
        own.iter().flat_map(|path| names(&fs::read_to_string(path).unwrap())).collect();
    let failures = fs::canonicalize(root.join(FAILURES)).unwrap();
    let core = sources(&fs::canonicalize(root.join("../farcall-proto/src")).unwrap());
    let core = core.into_iter().filter(|path| *path != failures).flat_map(of);
    let core = core.filter_map(|(path, mut error)| {
        let name = handed_on.iter().find(|name| name.split(" as ").next() == Some(&error.name))?;
        error.name = name.split(" as ").last().unwrap().to_owned();
        Some((path, error))
    });
    let (path, name) = NO_ERROR_TYPE;
    let other = (root.join(path), Error { name: name.to_owned(), has_variants: true });
    own.into_iter().flat_map(of).chain(core).chain([other]).collect()
}

/// The public types of a source that are errors.
fn declared(source: &str) -> Vec<Error> {
    let items = source.split("Error)]\n").skip(1).filter_map(|rest| {
        rest.lines().find(|line| !line.trim_start().starts_with("#[") && !line.trim_start().starts_with("//"))
    });
    let errors = items.filter_map(|item| {
        let has_variants = item.starts_with("pub enum ");
        let name = item.strip_prefix("pub enum ").or_else(|| item.strip_prefix("pub struct "))?;
        let name = name.split(|c: char| !c.is_alphanumeric()).next()?;
        Some(Error { name: name.to_owned(), has_variants })
    });
    errors.collect()
}

/// What a source hands on of the core; `A as B` where it has another name here.
fn names(source: &str) -> Vec<String> {
    let uses = source.split("pub use farcall_proto::").skip(1).map(|rest| rest.split(';').next().unwrap());
    let names = uses.flat_map(|path| path.rsplit("::").next().unwrap().split(['{', ',', '}']));
    names.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
}

/// The variants of an enum, from its source.
fn variants(source: &str, name: &str) -> Vec<String> {
    let (_, body) = source.split_once(&format!("pub enum {name} {{\n")).unwrap();
    let body = body.split("\n}\n").next().unwrap();
    let lines = body.lines().filter_map(|line| line.strip_prefix("    "));
    let names = lines.filter(|line| line.starts_with(char::is_uppercase));
    names.map(|line| line.split(|c: char| !c.is_alphanumeric()).next().unwrap().to_owned()).collect()
}

/// All sources below a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let files = files.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    files.chain(folders.iter().flat_map(|folder| sources(folder))).collect()
}
