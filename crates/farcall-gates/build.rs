//! Tells the program which compiler built it: counts of two compilers are not compared.

use std::env;
use std::process::Command;

fn main() {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(rustc).arg("--version").output();
    let version = version.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let target = env::var("TARGET").unwrap_or_default();
    // Whoever compiles for one CPU, or with coverage, has other counts, too.
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default().replace('\u{1f}', " ");
    let compiler = format!("{} for {target} {flags}", version.unwrap_or_default());
    println!("cargo::rustc-env=GATES_COMPILER={}", compiler.trim_end());
    println!("cargo::rerun-if-changed=build.rs");
}
