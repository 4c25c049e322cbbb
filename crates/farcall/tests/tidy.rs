//! The house rules that a compiler does not check: layers, lengths, openings of files, and what the core may touch.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, as it should"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The modules of this crate, bottom up: a module uses only those above it in this list.
///
/// The layers are the ones in the comments of `lib.rs`, which has its modules in the order of the alphabet; here they
/// stand in the order in which they build on each other.
const LAYERS: &[(u32, &[&str])] = &[
    (
        0,
        &[
            "recent",
            "logging",
            "tally",
            "log_switch",
            "backoff",
            "clock",
            "binding",
            "metrics",
            "error",
            "access",
            "compress",
            "message",
            "items",
            "driver",
            "discovery",
            "config",
            "heartbeat",
            "socket",
            "spare",
            "cookie",
        ],
    ),
    (
        1,
        &[
            "tls",
            "wire",
            "turns",
            "flow",
            "backlog",
            "registry",
            "trace",
            "members",
            "context",
            "port",
            "answer",
            "order",
            "held",
            "batch",
            "handshaking",
            "transport",
        ],
    ),
    (2, &["conn", "namesakes", "dispatch", "acceptor", "client"]),
    (3, &["dispatcher", "door", "listener"]),
    (4, &["rpc"]),
    (5, &["portmap", "cluster", "services", "inspect"]),
    (6, &["node"]),
];

/// Arrows that go up all the same, each with its reason. A new one is a change of the design.
const UPWARD: &[(&str, &str, &str)] = &[
    ("registry", "batch", "a name stands for a recipient of batches"),
    ("port", "answer", "a port sends answers, and an answer holds the port it goes back to"),
    ("answer", "batch", "an answer is one of a batch, and a batch gives answers"),
    ("backlog", "held", "a mailbox's count knows where to find what is held back of it"),
    ("held", "batch", "what is held back are batches, and each runs through it"),
];

/// The longest file, in lines.
const FILE_LINES_MAX: usize = 600;
/// The longest function, in lines.
const FUNCTION_LINES_MAX: usize = 70;

#[test]
fn a_module_uses_only_those_below_it() {
    let order: Vec<&str> = LAYERS.iter().flat_map(|(_, modules)| modules.iter().copied()).collect();
    let place = |module: &str| order.iter().position(|known| *known == module);
    let reexports = reexports();
    let mut wrong = BTreeSet::new();
    for source in sources(&crate_folder().join("src")) {
        let Some(module) = source.module() else { continue };
        let own = place(&module).unwrap_or_else(|| panic!("{module} is in no layer: add it to LAYERS"));
        for used in source.used_modules(&reexports) {
            let allowed = used == module
                || UPWARD.iter().any(|(from, to, _)| *from == module && *to == used)
                || place(&used).is_some_and(|used| used < own);
            if !allowed {
                wrong.insert(format!("{module} uses {used}, in {}", source.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_layers_in_lib_are_those_of_the_table() {
    let mut in_lib: BTreeMap<u32, BTreeSet<String>> = BTreeMap::new();
    let mut layer = None;
    for line in lib().lines() {
        if let Some(rest) = line.strip_prefix("// Layer ") {
            layer = Some(rest.split(':').next().unwrap().parse().unwrap());
        }
        let declared =
            line.trim_start_matches("pub ").strip_prefix("mod ").and_then(|rest| rest.strip_suffix(';'));
        if let Some(module) = declared {
            let layer = layer.expect("a module stands under the comment of its layer");
            in_lib.entry(layer).or_default().insert(module.to_owned());
        }
    }
    // What is written and not run has no layer.
    in_lib.values_mut().for_each(|modules| modules.retain(|module| module != "manual"));
    let table = LAYERS
        .iter()
        .map(|(layer, modules)| (*layer, modules.iter().map(|name| (*name).to_owned()).collect()));
    assert_eq!(in_lib, table.collect());
}

#[test]
fn every_exception_is_used() {
    let reexports = reexports();
    let used: BTreeSet<(String, String)> = sources(&crate_folder().join("src"))
        .into_iter()
        .filter_map(|source| source.module().map(|module| (module, source)))
        .flat_map(|(module, source)| {
            source.used_modules(&reexports).into_iter().map(move |used| (module.clone(), used))
        })
        .collect();
    let idle = UPWARD.iter().filter(|(from, to, _)| !used.contains(&((*from).to_owned(), (*to).to_owned())));
    let idle: Vec<_> = idle.collect();
    assert!(idle.is_empty(), "take these out of UPWARD: {idle:?}");
}

#[test]
fn files_and_functions_are_short_enough_to_be_read() {
    let mut long = Vec::new();
    for source in all_sources() {
        let lines = source.text.lines().count();
        if lines > FILE_LINES_MAX {
            long.push(format!("{} has {lines} lines", source.name));
        }
        for (name, lines) in source.functions() {
            if lines > FUNCTION_LINES_MAX {
                long.push(format!("fn {name} in {} has {lines} lines", source.name));
            }
        }
    }
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn every_file_says_first_what_it_is_for() {
    let silent: Vec<_> = all_sources()
        .into_iter()
        .filter(|source| !source.text.starts_with("//! "))
        .map(|source| source.name)
        .collect();
    assert!(silent.is_empty(), "these do not open with //!: {silent:#?}");
}

#[test]
fn nothing_is_left_to_be_done() {
    // Written in two parts, or this file would find itself.
    let words =
        [concat!("to", "do!"), concat!("unimpl", "emented!"), concat!("TO", "DO"), concat!("FIX", "ME")];
    assert_eq!(found(&all_sources(), &words, Source::lines), Vec::<String>::new());
}

#[test]
fn the_core_has_no_clock_no_socket_no_thread_no_randomness_and_no_actor() {
    let words = [
        "Instant::now",
        "SystemTime",
        "std::net",
        "std::thread",
        "std::fs",
        "rand::",
        "getrandom::",
        "tokio",
        "actix",
    ];
    let core = sources(&crate_folder().join("../farcall-proto/src"));
    let shipped: Vec<_> = core.into_iter().filter(|source| !source.is_test()).collect();
    assert_eq!(found(&shipped, &words, Source::code), Vec::<String>::new());
}

#[test]
fn the_ways_to_look_at_a_source_see_what_they_should() {
    let source = Source {
        name: "src/rpc/call.rs".into(),
        text: "//! A call.\n\
               use crate::{compress, error::CallError};\n\
               use crate::Node;\n\
               fn short() {}\n\
               pub async fn long<T>(\n    t: T,\n) -> String\nwhere\n    T: Copy,\n{\n    \
               let x = \"}\"; // crate::listener\n    crate::conn::go(x)\n}\n\
               #[cfg(test)]\nmod tests {\n    use crate::manual;\n}\n"
            .into(),
    };
    assert_eq!(source.module().as_deref(), Some("rpc"));
    let reexports = BTreeMap::from([("Node".to_owned(), "node".to_owned())]);
    let used: Vec<_> = source.used_modules(&reexports).into_iter().collect();
    assert_eq!(used, ["compress", "conn", "error", "node"]);
    assert_eq!(source.functions(), [("short".to_owned(), 1), ("long".to_owned(), 9)]);
    let source = [source];
    let words = ["listener", "manual"];
    assert_eq!(
        found(&source, &words, Source::lines),
        ["src/rpc/call.rs:11: listener", "src/rpc/call.rs:16: manual"]
    );
    assert_eq!(found(&source, &words, Source::code), Vec::<String>::new());
}

/// One file of Rust.
struct Source {
    /// Its path, from the folder of the workspace.
    name: String,
    text: String,
}

impl Source {
    /// The module of this crate it belongs to; none for `lib.rs` and what is not a part of it.
    fn module(&self) -> Option<String> {
        let path = self.name.split_once("src/")?.1;
        let first = path.split('/').next()?.trim_end_matches(".rs");
        (!matches!(first, "lib" | "manual") && !self.is_test()).then(|| first.to_owned())
    }

    fn is_test(&self) -> bool {
        self.name.ends_with("/tests.rs")
    }

    /// Its lines with their numbers.
    fn lines(&self) -> Vec<(usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line)).collect()
    }

    /// What of its lines is neither a comment nor one of the tests at the end of a file, with their numbers.
    fn code(&self) -> Vec<(usize, &str)> {
        let tests = self.text.find("#[cfg(test)]\nmod tests {").unwrap_or(self.text.len());
        let shipped = self.text[..tests].lines().count();
        // A comment may stand behind code; a text with `//` in it, as in an address, loses its end, which does no harm.
        let lines = self.lines().into_iter().take(shipped);
        lines.map(|(number, line)| (number, line.split("//").next().unwrap_or(line))).collect()
    }

    /// The modules of this crate that it names, through `crate::`, also in braces and through a re-export.
    fn used_modules(&self, reexports: &BTreeMap<String, String>) -> BTreeSet<String> {
        let code: String = self.code().into_iter().flat_map(|(_, line)| [line, "\n"]).collect();
        // In a file right below `src`, `super` is the root as well.
        let at_the_root = self.name.split_once("src/").is_some_and(|(_, path)| !path.contains('/'));
        let through_super = code.split("super::").skip(1).filter(|_| at_the_root);
        let mut names = BTreeSet::new();
        for rest in code.split("crate::").skip(1).chain(through_super) {
            match rest.strip_prefix('{') {
                Some(group) => names.extend(first_words(group)),
                None => names.extend(word(rest)),
            }
        }
        let modules: BTreeSet<&str> =
            LAYERS.iter().flat_map(|(_, modules)| modules.iter().copied()).collect();
        let named = names.into_iter().map(|name| reexports.get(&name).cloned().unwrap_or(name));
        named.filter(|name| modules.contains(name.as_str())).collect()
    }

    /// Its functions, each with its length in lines, from the line with `fn` to the brace that closes it, as the
    /// formatter writes them.
    fn functions(&self) -> Vec<(String, usize)> {
        let lines: Vec<&str> = self.text.lines().collect();
        let named = lines.iter().enumerate().filter_map(|(index, line)| Some((index, function_name(line)?)));
        named.map(|(index, name)| (name, function_lines(&lines[index..]))).collect()
    }
}

/// The length of the function that begins in the first of these lines.
fn function_lines(lines: &[&str]) -> usize {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let first = lines[0];
    if first.ends_with('}') {
        return 1;
    }
    let mut has_body = false;
    for (index, line) in lines.iter().enumerate() {
        let closes = indent(line) == indent(first) && line.trim_start().starts_with('}');
        if (has_body && closes) || (!has_body && line.ends_with(';')) {
            return index + 1;
        }
        has_body |= line.ends_with('{');
    }
    lines.len()
}

fn function_name(line: &str) -> Option<String> {
    let mut rest = line.trim_start();
    loop {
        if let Some(name) = rest.strip_prefix("fn ") {
            return word(name);
        }
        rest = ["pub(crate) ", "pub(super) ", "pub ", "const ", "async ", "extern \"C\" "]
            .iter()
            .find_map(|word| rest.strip_prefix(word))?;
    }
}

/// The identifier this text begins with.
fn word(text: &str) -> Option<String> {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    Some(text[..end].to_owned()).filter(|word| !word.is_empty())
}

/// What each path of a group in braces begins with.
fn first_words(group: &str) -> Vec<String> {
    let (mut depth, mut words, mut path) = (0, Vec::new(), String::new());
    for letter in group.chars() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => words.extend(word(std::mem::take(&mut path).trim())),
            _ => path.push(letter),
        }
    }
    words.extend(word(path.trim()));
    words
}

/// What `lib.rs` offers under the root, with the module it comes from.
fn reexports() -> BTreeMap<String, String> {
    let lib = lib();
    let uses = lib.split("\npub use ").skip(1).filter_map(|rest| rest.split_once(';')?.0.split_once("::"));
    let names = uses.flat_map(|(module, names)| {
        let names = names.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|name| !name.is_empty());
        names.map(move |name| (name.to_owned(), module.to_owned()))
    });
    names.collect()
}

/// Where these words stand in these lines of each source, as `file:line: word`.
fn found(sources: &[Source], words: &[&str], lines: fn(&Source) -> Vec<(usize, &str)>) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources {
        for (number, line) in lines(source) {
            let hits = words.iter().filter(|word| line.contains(**word));
            found.extend(hits.map(|word| format!("{}:{number}: {word}", source.name)));
        }
    }
    found
}

fn crate_folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn lib() -> String {
    fs::read_to_string(crate_folder().join("src/lib.rs")).unwrap()
}

/// Everything we write by hand in the workspace.
fn all_sources() -> Vec<Source> {
    let root = crate_folder().join("../..");
    ["crates", "examples"].iter().flat_map(|folder| sources(&root.join(folder))).collect()
}

/// The sources below a folder, without what was built there.
fn sources(folder: &Path) -> Vec<Source> {
    let root = crate_folder().join("../..").canonicalize().unwrap();
    let (mut folders, mut sources) = (vec![folder.canonicalize().unwrap()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                if !path.ends_with("target") {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(&root).unwrap().display().to_string();
                sources.push(Source { name, text: fs::read_to_string(&path).unwrap() });
            }
        }
    }
    assert!(!sources.is_empty(), "there is nothing below {}", folder.display());
    sources.sort_by(|a, b| a.name.cmp(&b.name));
    sources
}
