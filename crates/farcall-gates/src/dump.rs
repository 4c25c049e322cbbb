//! One file that callgrind wrote: what one thread did in one segment.
//!
//! ```text
//! fn=(7) farcall::conn::Conn::submit      a function; its name only where its number stands first
//! 12 40                                   a position and what it cost itself
//! cfn=(9) malloc
//! calls=64 0                              how often it called that one,
//! 12 6400                                 and what that cost: not its own
//! totals: 2834520
//! ```

use std::collections::HashMap;

/// What a thread did in a segment.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Dump {
    pub(crate) instructions: u64,
    pub(crate) allocations: u64,
    /// The instructions of each function itself.
    pub(crate) own: HashMap<String, u64>,
}

/// Functions of the allocator that give memory. What they call of each other is not counted again.
const ALLOCATING: [&str; 6] = ["malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc", "memalign"];

impl Dump {
    /// Reads a file. None: it is none of callgrind's, or it is cut off.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut dump = Self::default();
        let mut names = HashMap::new();
        let (mut function, mut callee) = (String::new(), String::new());
        let mut inclusive = false;
        let mut complete = false;
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("fn=") {
                function = name(rest, &mut names)?;
            } else if let Some(rest) = line.strip_prefix("cfn=") {
                callee = name(rest, &mut names)?;
            } else if let Some(rest) = line.strip_prefix("calls=") {
                let count: u64 = rest.split(' ').next()?.parse().ok()?;
                if allocates(&callee) && !allocates(&function) {
                    dump.allocations += count;
                }
                inclusive = true;
            } else if let Some(rest) = line.strip_prefix("totals:") {
                dump.instructions = rest.trim().parse().ok()?;
                complete = true;
            } else if line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first)) {
                if std::mem::take(&mut inclusive) {
                    continue;
                }
                let cost: u64 = line.split(' ').nth(1).unwrap_or("0").parse().ok()?;
                *dump.own.entry(function.clone()).or_default() += cost;
            }
        }
        complete.then_some(dump)
    }
}

/// The name behind a number: given with it the first time.
fn name(text: &str, names: &mut HashMap<String, String>) -> Option<String> {
    match text.split_once(' ') {
        Some((number, name)) => {
            names.insert(number.to_owned(), name.to_owned());
            Some(name.to_owned())
        }
        None => names.get(text).cloned(),
    }
}

/// The library has more than one name for the same function, and callgrind takes any of them.
fn allocates(function: &str) -> bool {
    let plain = function.split('@').next().unwrap_or(function);
    ALLOCATING.contains(&plain.strip_prefix("__libc_").unwrap_or(plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "events: Ir\nsummary: 190\n\nob=(1) x\nfn=(1) work\n1 20\n+3 5\ncfi=(9) malloc.c\ncfn=(2) malloc\n\
                        calls=3 0\n1 100\ncfn=(3) realloc\ncalls=1 0\n* 65\n\nfn=(3)\n0 40\ncfn=(2)\ncalls=1 0\n0 25\n\n\
                        fn=(2)\n9 125\n\ntotals: 190\n";

    #[test]
    fn what_a_function_calls_is_not_its_own_cost() {
        let dump = Dump::parse(TEXT).unwrap();
        assert_eq!(dump.instructions, 190);
        let own = [("work", 25), ("realloc", 40), ("malloc", 125)];
        assert_eq!(dump.own, own.map(|(name, cost)| (name.to_owned(), cost)).into());
    }

    #[test]
    fn an_allocation_is_counted_once_whatever_the_allocator_calls_of_itself() {
        assert_eq!(Dump::parse(TEXT).unwrap().allocations, 4);
        let other = TEXT.replace("(2) malloc", "(2) __libc_malloc@GLIBC_2.2.5");
        assert_eq!(Dump::parse(&other).unwrap().allocations, 4);
    }

    #[test]
    fn a_file_that_is_cut_off_is_none() {
        assert_eq!(Dump::parse(TEXT.strip_suffix("totals: 190\n").unwrap()), None);
    }
}
