//! Every link between the READMEs and the pages of the manual leads to a file and a heading that are there. rustdoc
//! checks neither: it knows the modules of the manual, and not their headings.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Beside the pages of the manual.
const READMES: &[&str] = &[
    "README.md",
    "CHANGELOG.md",
    "crates/farcall-bench/README.md",
    "crates/farcall-cli/README.md",
    "crates/farcall-gates/README.md",
    "examples/README.md",
    "integration/README.md",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn manual() -> PathBuf {
    root().join("crates/farcall/src/manual")
}

#[test]
fn every_link_leads_somewhere() {
    let manual = crate::pages().into_iter().map(|(path, _)| path.canonicalize().unwrap());
    let mut seen = 0;
    let mut broken = Vec::new();
    for path in READMES.iter().map(|page| root().join(page)).chain(manual) {
        let text = fs::read_to_string(&path).unwrap();
        for link in links(&text) {
            seen += 1;
            broken.extend(check(&path, link).err().map(|why| format!("{}: {link}: {why}", path.display())));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    assert!(seen > 300, "only {seen} links were found");
}

#[test]
fn a_link_that_leads_nowhere_is_found() {
    let page = manual().join("errors.md");
    for right in [
        "#calls",
        "crate::manual::inside#a-mailbox-is-full",
        "crate::Node::call",
        "https://a.example",
        "mod.rs",
    ] {
        assert_eq!(check(&page, right), Ok(()), "{right}");
    }
    for wrong in [
        "#no-such",
        "crate::manual::inside#no-such",
        "crate::manual::no_such",
        "no_such.md",
        "mod.rs#no-such",
    ] {
        check(&page, wrong).expect_err(wrong);
    }
    let text = "[a](#b) `[c](d)`\n```rust\n[e](f)\n```\n[g](h), [`i`](crate::j)";
    assert_eq!(links(text), ["#b", "h", "crate::j"]);
    let text = "# A `b`, [c](d)!\n```sh\n# no heading\n```\n## 2. Two_words\n## 2. Two_words\n";
    assert_eq!(anchors(text), ["a-b-c", "2-two_words", "2-two_words-1"]);
}

/// What stands in a page as links, outside of code.
fn links(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for line in prose(text) {
        let mut in_code = false;
        let mut rest = line;
        while let Some(at) = rest.find(['`', ']']) {
            let (mark, after) = rest[at..].split_at(1);
            if mark == "`" {
                in_code = !in_code;
            } else if let Some((link, _)) = after.strip_prefix('(').and_then(|link| link.split_once(')')) {
                found.extend((!in_code).then_some(link));
            }
            rest = after;
        }
    }
    found
}

/// The lines outside of fences.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut in_fence = false;
    text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        in_fence ^= fence;
        !in_fence && !fence
    })
}

/// The anchors of the headings, as rustdoc and forges make them.
fn anchors(text: &str) -> Vec<String> {
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    let headings = prose(text).filter_map(|line| {
        let title = line.trim_start_matches('#');
        (title.len() < line.len()).then(|| title.strip_prefix(' ')).flatten()
    });
    let anchors = headings.map(|title| {
        // Of a link in a heading only its text counts.
        let mut parts = title.split("](");
        let mut shown = parts.next().unwrap().to_owned();
        shown.extend(parts.filter_map(|part| part.split_once(')')).map(|(_, after)| after));
        let shown = shown.to_lowercase();
        let letters = shown.chars().filter_map(|c| match c {
            ' ' => Some('-'),
            '-' | '_' => Some(c),
            _ => c.is_alphanumeric().then_some(c),
        });
        let anchor: String = letters.collect();
        let nth = times.entry(anchor.clone()).or_default();
        *nth += 1;
        if *nth == 1 { anchor } else { format!("{anchor}-{}", *nth - 1) }
    });
    anchors.collect()
}

/// Whether a link of a page leads to something. What rustdoc resolves and what is elsewhere is not looked at.
fn check(page: &Path, link: &str) -> Result<(), String> {
    let (target, anchor) = link.split_once('#').unwrap_or((link, ""));
    let file = if let Some(module) = target.strip_prefix("crate::manual::") {
        manual().join(format!("{module}.md"))
    } else if target.contains("::") || target.contains("://") || target.starts_with("macro@") {
        return Ok(());
    } else if target.is_empty() {
        page.to_owned()
    } else {
        page.parent().unwrap().join(target)
    };
    if !file.exists() {
        return Err("there is no such file".to_owned());
    }
    if anchor.is_empty() || anchors(&fs::read_to_string(&file).unwrap()).iter().any(|known| known == anchor) {
        return Ok(());
    }
    Err(format!("{} has no such heading", file.display()))
}
