//! Memory, files and threads of this process, and whether it stood still.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use farcall_integration::journal::{Journal, Line, now_us};

/// How often this process looks at the clock.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Looking so much later than that, in microseconds, it stood still, or its thread was given no time.
const LATE_US: u64 = 40_000;

/// Writes down every pause of this thread, so that nobody is blamed for what the machine did.
pub(crate) fn watch(journal: Arc<Journal>) {
    actix_rt::spawn(async move {
        let mut last = now_us();
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let now = now_us();
            if now.saturating_sub(last) > LATE_US {
                journal.note(&Line::Gap { from: last, to: now });
            }
            last = now;
        }
    });
}

/// Memory in use, in bytes.
pub(crate) fn resident_bytes() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm.split_whitespace().nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages * 4096
}

/// Open files and sockets.
pub(crate) fn files() -> u64 {
    // The listing itself has one open.
    fs::read_dir("/proc/self/fd").map_or(0, |entries| (entries.count() as u64).saturating_sub(1))
}

/// Threads.
pub(crate) fn threads() -> u64 {
    fs::read_dir("/proc/self/task").map_or(0, |entries| entries.count() as u64)
}

/// Keeps cores busy.
pub(crate) fn burn(threads: u32, time: Duration) {
    for _ in 0..threads {
        std::thread::spawn(move || {
            let begun = Instant::now();
            while begun.elapsed() < time {
                std::hint::spin_loop();
            }
        });
    }
}

/// Lets this process have no more open files than it has, for so long: not even for the harness.
pub(crate) fn hold_files(time: Duration) -> Result<(), String> {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(|error| error.to_string())?;
    // The limit is one on numbers, and there may be gaps below: they are filled, also those that others leave.
    let top = files() + 8;
    setrlimit(Resource::RLIMIT_NOFILE, top.min(hard), hard).map_err(|error| error.to_string())?;
    actix_rt::spawn(async move {
        let (begun, mut held) = (Instant::now(), Vec::new());
        while begun.elapsed() < time {
            while let Ok(file) = fs::File::open("/proc/self/stat") {
                held.push(file);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        drop(held);
        if let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, soft, hard) {
            log::error!("the limit of open files stays: {error}");
        }
    });
    Ok(())
}
