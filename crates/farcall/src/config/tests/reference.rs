//! The tables of keys in the manual's page on the configuration: `make reference` writes them, and here they are held
//! against the keys.
//!
//! A table stands between two comments. The first one says which keys it has: those `of` a table of the file, or those
//! `from` one key on, up to the first key of another table on the page.

use std::env;
use std::fs;

use crate::config::{KeyDoc, keys};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/manual/configuration.md");
const HEAD: &str = "\n| key | unit | default | effect |\n|---|---|---|---|\n";
const END: &str = "<!-- end of keys -->";

#[test]
fn the_tables_of_the_manual_are_made_from_the_keys() {
    let page = fs::read_to_string(PAGE).unwrap();
    let written = with_tables(&page);
    for key in keys() {
        let rows = written.lines().filter(|line| *line == row(key)).count();
        assert_eq!(rows, 1, "{} is to be in one table of {PAGE}", key.key);
    }
    if env::var("REFERENCE").is_ok_and(|what| what == "write") {
        fs::write(PAGE, written).unwrap();
        return;
    }
    let differ = page.lines().zip(written.lines()).find(|(is, ought)| is != ought);
    assert!(page == written, "{PAGE} is not what the keys say; `make reference` writes it: {differ:#?}");
}

#[test]
fn a_row_that_is_wrong_or_missing_or_too_much_is_put_right() {
    let page = fs::read_to_string(PAGE).unwrap();
    let right = with_tables(&page);
    let port = keys().iter().find(|key| key.key == "tls.port").unwrap();
    for wrong in ["", "| `tls.port` | number | `1` | nothing |\n", "| `tls.port` |\n| `tls.no` |\n"] {
        let spoilt = right.replacen(&format!("{}\n", row(port)), wrong, 1);
        assert_ne!(spoilt, right);
        assert_eq!(with_tables(&spoilt), right);
    }
}

/// The page with all its tables as the keys are now; what is around them stays.
fn with_tables(page: &str) -> String {
    let starts: Vec<Rows<'_>> = page.lines().filter_map(rows).collect();
    let mut written = String::new();
    let mut in_table = false;
    for line in page.lines() {
        if in_table && line != END {
            continue;
        }
        in_table = false;
        written.push_str(line);
        written.push('\n');
        if let Some(rows) = rows(line) {
            in_table = true;
            written.push_str(HEAD);
            for key in rows.keys(&starts) {
                written.push_str(&row(key));
                written.push('\n');
            }
            written.push('\n');
        }
    }
    assert!(!in_table, "the last table has no {END}");
    written
}

/// Which keys a table has.
#[derive(Clone, Copy)]
enum Rows<'a> {
    Of(&'a str),
    From(&'a str),
}

fn rows(line: &str) -> Option<Rows<'_>> {
    let which = line.strip_prefix("<!-- keys ")?.strip_suffix(" -->")?;
    which.strip_prefix("of ").map(Rows::Of).or_else(|| which.strip_prefix("from ").map(Rows::From))
}

impl Rows<'_> {
    /// Its keys, where these are all the tables of the page.
    fn keys(self, all: &[Self]) -> Vec<&'static KeyDoc> {
        let of = |key: &KeyDoc, table: &str| key.key.split_once('.').is_some_and(|(first, _)| first == table);
        let starts =
            |key: &KeyDoc| all.iter().any(|rows| matches!(rows, Self::From(first) if *first == key.key));
        let elsewhere =
            |key: &KeyDoc| all.iter().any(|rows| matches!(rows, Self::Of(table) if of(key, table)));
        match self {
            Self::Of(table) => keys().iter().filter(|key| of(key, table)).collect(),
            Self::From(first) => {
                let at = keys().iter().position(|key| key.key == first);
                let at = at.unwrap_or_else(|| panic!("a table begins with {first}, which is no key"));
                let rest = keys().iter().skip(at);
                let own = rest.enumerate().take_while(|(nth, key)| *nth == 0 || !starts(key));
                own.map(|(_, key)| key).filter(|key| !elsewhere(key)).collect()
            }
        }
    }
}

fn row(key: &KeyDoc) -> String {
    format!("| `{}` | {} | `{}` | {} |", key.key, key.unit, key.default, key.doc)
}
