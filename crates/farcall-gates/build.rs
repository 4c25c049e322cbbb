//! Tells the program which compiler built it: counts of two compilers are not compared.

use std::env;
use std::process::Command;

fn main() {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(rustc).arg("--version").output();
    let version = version.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let target = env::var("TARGET").unwrap_or_default();
    println!("cargo::rustc-env=GATES_COMPILER={} for {target}", version.unwrap_or_default());
    println!("cargo::rerun-if-changed=build.rs");
}
