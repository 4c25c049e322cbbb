//! What nodes say in their logs, kept so that a test can look for it.

use std::sync::Once;

use log::kv::{Key, Value, VisitSource};
use parking_lot::Mutex;

struct Lines(Mutex<Vec<String>>);

static LINES: Lines = Lines(Mutex::new(Vec::new()));

/// Begins to keep lines of `debug` and above.
pub fn keep() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&LINES).unwrap();
        log::set_max_level(log::LevelFilter::Debug);
    });
}

/// What the node of this whole name has said so far.
pub fn of(name: &str) -> Vec<String> {
    let mark = format!(" node={name} ");
    LINES.0.lock().iter().filter(|line| line.contains(&mark)).cloned().collect()
}

struct Pairs(String);

impl<'kvs> VisitSource<'kvs> for Pairs {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), log::kv::Error> {
        self.0.push_str(&format!(" {key}={value} "));
        Ok(())
    }
}

impl log::Log for Lines {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.target() == "farcall" && metadata.level() <= log::Level::Debug
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            let mut line = Pairs(format!("{} {}", record.level(), record.args()));
            record.key_values().visit(&mut line).unwrap();
            self.0.lock().push(line.0);
        }
    }

    fn flush(&self) {}
}
