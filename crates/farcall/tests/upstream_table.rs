//! The manual's table of the predecessors' test cases is whole, and names only tests that exist.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that is wrong about its own data should fail loudly"
)]

use std::path::{Path, PathBuf};

const TABLE: &str = include_str!("../src/manual/upstream_cases.md");
const CASES: u32 = 223;

/// The first and the last column of each row.
fn columns() -> impl Iterator<Item = (&'static str, &'static str)> {
    TABLE.lines().filter_map(|line| {
        let mut columns = line.strip_prefix("| ")?.strip_suffix(" |")?.split(" | ");
        Some((columns.next()?, columns.last()?))
    })
}

/// The number and the last column of each test case.
fn rows() -> Vec<(u32, &'static str)> {
    columns().filter_map(|(case, here)| Some((case.parse().ok()?, here))).collect()
}

/// The file a test named `it::calls::name` or `proto::handshake::attacks::name` stands in, and its name.
fn place(test: &str) -> Option<(PathBuf, &str)> {
    let (path, name) = test.rsplit_once("::")?;
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?;
    let mut file = match path.split_once("::")? {
        (binary @ ("it" | "tls" | "faults"), rest) => {
            crates.join("farcall/tests").join(binary).join(rest.replace("::", "/"))
        }
        ("proto", rest) => crates.join("farcall-proto/tests").join(rest.replace("::", "/")),
        _ => return None,
    };
    file.set_extension("rs");
    Some((file, name))
}

#[test]
fn the_table_has_every_case_exactly_once_and_in_order() {
    let numbers: Vec<_> = rows().into_iter().map(|(number, _)| number).collect();
    assert_eq!(numbers, (1..=CASES).collect::<Vec<_>>());
}

#[test]
fn every_case_is_covered_or_says_why_not() {
    for (number, here) in rows() {
        let excused = here.starts_with("does not apply: ");
        assert!(excused || here.contains("`it::") || here.contains("`proto::"), "case {number}: {here}");
    }
}

#[test]
fn every_weakness_that_has_to_do_with_tls_or_strangers_has_its_row() {
    let weaknesses: Vec<_> = columns()
        .filter(|(case, _)| case.starts_with('K'))
        .map(|(case, here)| (case, here.contains('`')))
        .collect();
    assert_eq!(weaknesses, ["K5", "K6", "K7", "K11", "K12"].map(|case| (case, true)));
}

#[test]
fn every_test_named_in_the_table_exists() {
    let mut checked = 0;
    for (number, here) in columns() {
        for test in here.split('`').skip(1).step_by(2).filter(|quoted| quoted.contains("::")) {
            let (file, name) =
                place(test).unwrap_or_else(|| panic!("case {number}: {test} is no path of a test"));
            let source = std::fs::read_to_string(&file)
                .unwrap_or_else(|error| panic!("case {number}: {}: {error}", file.display()));
            let defined = source.lines().any(|line| {
                let line = line.trim_start();
                let line = line.strip_prefix("async ").unwrap_or(line);
                line.strip_prefix("fn ")
                    .and_then(|line| line.strip_prefix(name))
                    .is_some_and(|rest| rest.starts_with('('))
            });
            assert!(defined, "case {number}: {} has no test {name}", file.display());
            checked += 1;
        }
    }
    assert!(checked > 185, "only {checked} names were found");
}
