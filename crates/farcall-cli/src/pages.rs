//! `farcall completions` and `farcall man`: what a shell and a reader of manuals need, made from the arguments.

use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::Args;
use crate::output::Output;
use crate::report::Report;

/// Prints the completions of one shell.
pub(crate) fn completions(shell: Shell, output: &mut Output) -> Result<(), Report> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "farcall", &mut text);
    output.raw(&String::from_utf8_lossy(&text))
}

/// Writes the page of every command into a folder; without one prints that of the command itself.
pub(crate) fn man(out: Option<&Path>, output: &mut Output) -> Result<(), Report> {
    let failed = |error: std::io::Error| {
        let place = out.map_or_else(|| "standard output".to_owned(), |out| out.display().to_string());
        Report::here("output", format!("cannot write to {place}: {error}"), "")
    };
    let Some(out) = out else {
        let mut page = Vec::new();
        clap_mangen::Man::new(Args::command()).render(&mut page).map_err(failed)?;
        return output.raw(&String::from_utf8_lossy(&page));
    };
    std::fs::create_dir_all(out).map_err(failed)?;
    clap_mangen::generate_to(Args::command(), out).map_err(failed)?;
    output.line(&format!("the pages are in {}: man {}", out.display(), out.join("farcall.1").display()))
}
