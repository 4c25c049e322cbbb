//! The manual: every TOML block is a configuration that a node accepts. Rust blocks are
//! doctests.

#![allow(clippy::unwrap_used, reason = "a test that is wrong about its own files should fail loudly")]

use std::fs;
use std::path::{Path, PathBuf};

use farcall::Config;

fn pages() -> Vec<(PathBuf, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/manual");
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let pages = entries.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    pages.map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

/// The fenced blocks of a page in this language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let (mut blocks, mut open): (Vec<String>, Option<String>) = (Vec::new(), None);
    for line in text.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(found)) => {
                open = Some(if found == language { String::new() } else { "\0".to_owned() })
            }
            (Some(_), Some(_)) => blocks.extend(open.take().filter(|block| !block.starts_with('\0'))),
            (Some(block), None) => {
                block.push_str(line);
                block.push('\n');
            }
            (None, None) => {}
        }
    }
    blocks
}

#[test]
fn every_toml_block_of_the_manual_is_a_configuration() {
    let mut seen = 0;
    for (path, text) in pages() {
        for block in blocks(&text, "toml") {
            seen += 1;
            Config::from_toml(&block).unwrap_or_else(|error| panic!("{}: {error}\n{block}", path.display()));
        }
    }
    assert!(seen >= 6, "only {seen} blocks were found");
}

#[test]
fn every_page_of_the_manual_is_included_and_closes_its_blocks() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/manual/mod.rs");
    let source = fs::read_to_string(source).unwrap();
    for (path, text) in pages() {
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(source.contains(&format!("include_str!(\"{name}\")")), "{name} is on no page");
        let fences = text.lines().filter(|line| line.starts_with("```")).count();
        assert_eq!(fences % 2, 0, "{name} has a block without an end");
    }
}

#[test]
fn every_reason_in_the_log_has_a_line_in_the_manual() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let operations = fs::read_to_string(folder.join("manual/operations.md")).unwrap();
    let core = folder.join("../../farcall-proto/src");
    let sources = [
        folder.join("handshaking.rs"),
        folder.join("tls/handshake.rs"),
        core.join("gate.rs"),
        core.join("link/mod.rs"),
        core.join("link/handshake/error.rs"),
    ];
    let mut seen = 0;
    for source in sources {
        let text = fs::read_to_string(&source).unwrap();
        let (_, body) = text.split_once("fn reason(&self) -> &'static str {").unwrap();
        let body = body.split("\n    }\n").next().unwrap();
        for reason in body.split('"').skip(1).step_by(2) {
            assert!(operations.contains(&format!("`{reason}`")), "{reason} of {}", source.display());
            seen += 1;
        }
    }
    assert!(seen > 30, "only {seen} were found");
}

#[test]
fn the_metrics_table_of_the_manual_names_every_metric() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let operations = fs::read_to_string(folder.join("manual/operations.md")).unwrap();
    let shown = format!("{:?}", farcall::MetricsSnapshot::default());
    let fields = shown.split(['{', ',']).filter_map(|part| part.split_once(':'));
    let names: Vec<&str> = fields.map(|(name, _)| name.trim()).collect();
    assert!(names.len() > 10, "{shown}");
    for name in names {
        assert!(operations.contains(&format!("`{name}`")), "{name} is not in the manual");
    }
}

/// Errors that programs see, and the file of each. All reasons of a call are words, which `reason` gives.
const CALL_REASONS: &str = "../farcall-proto/src/failure.rs";
const NAMED_ERRORS: &[(&str, &str)] =
    &[("../farcall-proto/src/peer.rs", "NameError"), ("src/inspect/operate.rs", "OrderRefused")];

/// The variants of an enum, from its source.
fn variants(source: &str, name: &str) -> Vec<String> {
    let (_, body) = source.split_once(&format!("pub enum {name} {{\n")).unwrap();
    let body = body.split("\n}\n").next().unwrap();
    let lines = body.lines().filter_map(|line| line.strip_prefix("    "));
    let names = lines.filter(|line| line.starts_with(char::is_uppercase));
    names.map(|line| line.split(|c: char| !c.is_alphanumeric()).next().unwrap().to_owned()).collect()
}

/// All sources below a folder of this crate.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let files = files.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    files.chain(folders.iter().flat_map(|folder| sources(folder))).collect()
}

#[test]
fn every_error_has_a_line_that_says_what_to_do() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(folder.join("src/manual/errors.md")).unwrap();
    let failures = fs::read_to_string(folder.join(CALL_REASONS)).unwrap();
    let reasons = failures.split(" => \"").skip(1).map(|rest| rest.split('"').next().unwrap());
    for reason in reasons {
        assert!(page.contains(&format!("\n| `{reason}` |")), "no line for a call's {reason}");
    }
    let mut errors: Vec<_> =
        NAMED_ERRORS.iter().map(|(file, name)| (folder.join(file), (*name).to_owned())).collect();
    for path in sources(&folder.join("src")) {
        let source = fs::read_to_string(&path).unwrap();
        let derived = source.split("Error)]\n").skip(1).filter_map(|rest| {
            let item = rest.lines().find(|line| !line.starts_with("#[") && !line.starts_with("//"))?;
            Some(item.strip_prefix("pub enum ")?.trim_end_matches(" {").to_owned())
        });
        errors.extend(derived.map(|name| (path.clone(), name)));
    }
    assert!(errors.len() >= 20, "{errors:?}");
    for (path, name) in errors {
        let heading = format!("### `{name}`\n");
        let (_, section) = page.split_once(&heading).unwrap_or_else(|| panic!("{name} is not on the page"));
        let section = section.split("\n##").next().unwrap();
        let variants = variants(&fs::read_to_string(&path).unwrap(), &name);
        assert!(!variants.is_empty(), "{name}");
        for variant in variants {
            let told = section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once(" | "));
            let told = told
                .into_iter()
                .any(|(names, _)| names.trim_end_matches('`').split("`, `").any(|one| one == variant));
            assert!(told, "{name}::{variant} has no line");
        }
    }
}
