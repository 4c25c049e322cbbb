//! Runs a workload under callgrind and collects what it wrote.
//!
//! Everything that differs between two machines and is no matter of this code is fixed here: the environment is empty,
//! and the C library copies bytes with the instructions that every x86-64 has.

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::dump::Dump;
use crate::meter::BOUNDARY;
use crate::scenario::Scenario;

/// Copies by SSE2 alone, and the same way for every length that occurs here. A name that a version of the library does
/// not know is passed over by it.
const TUNABLES: &str = "glibc.cpu.hwcaps=-AVX2,-AVX2_Usable,-AVX_Fast_Unaligned_Load,-AVX512F,-AVX512VL,-ERMS,-FSRM,-SSSE3\
                        :glibc.cpu.x86_non_temporal_threshold=0x400000";

/// What each thread did, segment by segment, from its first boundary on.
pub(crate) fn count(scenario: &Scenario) -> Result<Vec<Vec<Dump>>, Box<dyn Error>> {
    let folder = folder(scenario)?;
    let program = std::env::current_exe()?;
    let mut valgrind = Command::new("valgrind");
    valgrind
        .args(["--tool=callgrind", "--separate-threads=yes", "--dump-line=no", "--fair-sched=yes"])
        .arg(format!("--dump-before={BOUNDARY}"))
        .arg(format!("--callgrind-out-file={}", folder.join("out").display()))
        .arg(program)
        .args(["run", scenario.name])
        .env_clear()
        .env("GLIBC_TUNABLES", TUNABLES);
    if let Some(path) = std::env::var_os("PATH") {
        valgrind.env("PATH", path);
    }
    let output = valgrind.output().map_err(|error| format!("valgrind does not start: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{} failed under valgrind:\n{said}", scenario.name).into());
    }
    (1..=scenario.threads.len()).map(|thread| dumps(scenario, &folder, thread)).collect()
}

/// An empty folder beside the program, where the files stay until the next time.
fn folder(scenario: &Scenario) -> Result<PathBuf, Box<dyn Error>> {
    let program = std::env::current_exe()?;
    let folder = program.with_file_name("counted").join(scenario.name);
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// The files of one thread: `out.<part>-<thread>`, the parts counted over all threads.
fn dumps(scenario: &Scenario, folder: &PathBuf, thread: usize) -> Result<Vec<Dump>, Box<dyn Error>> {
    let mut parts = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let of_thread = name.strip_prefix("out.").and_then(|rest| rest.split_once('-'));
        let Some((part, of)) = of_thread else { continue };
        if of.parse() == Ok(thread) {
            parts.push((part.parse::<u32>()?, path));
        }
    }
    parts.sort();
    let mut dumps = Vec::new();
    // The first one holds everything up to the end of the warm-up.
    for (_, path) in parts.into_iter().skip(1) {
        let dump = Dump::parse(&fs::read_to_string(&path)?);
        dumps.push(dump.ok_or_else(|| format!("{} is no file of callgrind's", path.display()))?);
    }
    if dumps.is_empty() {
        return Err(format!("{}: thread {thread} never came to a boundary", scenario.name).into());
    }
    Ok(dumps)
}
