//! The manual: every TOML block is a configuration that a node accepts. Rust blocks are
//! doctests.

#![allow(clippy::unwrap_used, reason = "a test that is wrong about its own files should fail loudly")]

mod errors;
mod links;

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
        let row = format!("\n//! | [`{}`] | ", name.trim_end_matches(".md"));
        assert!(source.contains(&row), "{name} is not in the table of pages");
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
