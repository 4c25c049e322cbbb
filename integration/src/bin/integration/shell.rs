//! Running other programs, and the moment in which somebody presses Ctrl-C.

use std::ffi::OsString;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::fault::{Fault, Result, failed};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// From now on, Ctrl-C and SIGTERM end the run in good order.
pub(crate) fn watch_signals() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::spawn(move || {
        runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            let (Ok(mut terminate), Ok(mut interrupt)) =
                (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
            else {
                return;
            };
            tokio::select! {
                _ = terminate.recv() => (),
                _ = interrupt.recv() => (),
            }
            INTERRUPTED.store(true, Ordering::SeqCst);
            eprintln!("\ninterrupted: removing what was made");
            // A second one does not leave anything behind either: the first is being followed.
            loop {
                interrupt.recv().await;
                eprintln!("still removing");
            }
        });
    });
    Ok(())
}

/// Whether the run is to end.
pub(crate) fn check_interrupted() -> Result<()> {
    if INTERRUPTED.load(Ordering::SeqCst) { Err(Fault::Interrupted) } else { Ok(()) }
}

/// Waits so long, or until somebody presses Ctrl-C.
pub(crate) fn pause(time: Duration) -> Result<()> {
    let until = Instant::now() + time;
    loop {
        check_interrupted()?;
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        std::thread::sleep(left.min(Duration::from_millis(20)));
    }
}

/// Asks again and again until it is so. What is told last is in the error.
pub(crate) fn eventually<T>(what: &str, within: Duration, mut so: impl FnMut() -> Result<T>) -> Result<T> {
    let until = Instant::now() + within;
    loop {
        match so() {
            Err(Fault::Failed(why)) if Instant::now() >= until => {
                return failed(format!("{what}: not within {within:?}: {why}"));
            }
            Err(Fault::Failed(_)) => pause(Duration::from_millis(10))?,
            done => return done,
        }
    }
}

/// Runs a program; gives what it printed.
pub(crate) fn run(program: &str, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(program);
    command.args(arguments);
    output(&mut command)
}

/// Runs a program that was prepared; gives what it printed.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let done = command.env("PATH", path()).stdin(Stdio::null()).output();
    let done = done.map_err(|error| Fault::Failed(format!("{program} cannot be run: {error}")))?;
    let text = String::from_utf8_lossy(&done.stdout).trim().to_owned();
    if done.status.success() {
        return Ok(text);
    }
    let arguments: Vec<_> =
        command.get_args().map(|argument| argument.to_string_lossy().into_owned()).collect();
    let errors = String::from_utf8_lossy(&done.stderr).trim().to_owned();
    failed(format!("{program} {}: {}: {errors}", arguments.join(" "), done.status))
}

/// Whether there is such a program.
pub(crate) fn is_there(program: &str) -> bool {
    std::env::split_paths(&path()).any(|folder| folder.join(program).is_file())
}

/// Where programs are looked for: those of the administrator are not on everybody's path.
fn path() -> OsString {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/sbin:/sbin");
    path
}
