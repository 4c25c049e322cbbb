//! A log whose levels can be changed while the program runs.

use std::sync::Arc;

use env_filter::Filter;
use log::{LevelFilter, Log, Metadata, Record};
use parking_lot::RwLock;

/// Decides what a program logs, and can be told to change its mind: by the program, or by an operator
/// ([`Order::Log`](crate::inspect::Order)) if the node [has it](crate::NodeBuilder::log_switch).
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // It writes what it is given; the switch decides what that is.
/// let writer = env_logger::Builder::new().filter_level(log::LevelFilter::Trace).build();
/// let switch = farcall::LogSwitch::install(writer, "warn,farcall=info")?;
/// switch.set("farcall", log::LevelFilter::Debug)?;
/// assert!(log::log_enabled!(target: "farcall", log::Level::Debug));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct LogSwitch(Arc<Inner>);

struct Inner {
    writer: Box<dyn Log>,
    rules: RwLock<Rules>,
}

struct Rules {
    /// What it began with, as in `RUST_LOG`.
    first: String,
    /// What was said since, the latest word on each module.
    since: Vec<(String, LevelFilter)>,
    filter: Filter,
}

/// Why the log is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LogSwitchError {
    /// It is no filter.
    #[error("{0:?} is no filter like warn,farcall=debug")]
    NoFilter(String),
    /// The process has a log already.
    #[error("this process has a log already")]
    Taken,
    /// It is no path of a module.
    #[error("that is no path of a module: 255 bytes at most, without = , / and spaces")]
    NoModule,
    /// There are enough already.
    #[error("levels of 64 modules were changed, which is enough")]
    Full,
}

impl std::fmt::Debug for LogSwitch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("LogSwitch").field(&self.0.rules.read().first).finish()
    }
}

impl LogSwitch {
    /// So many modules may be told apart.
    pub const MODULES_MAX: usize = 64;

    /// Makes it the log of this process. `filter` is written as in `RUST_LOG`.
    ///
    /// # Errors
    /// [`LogSwitchError`]: the filter makes no sense, or the process has a log already.
    pub fn install(writer: impl Log + 'static, filter: &str) -> Result<Self, LogSwitchError> {
        let switch = Self::new(writer, filter)?;
        log::set_boxed_logger(Box::new(switch.clone())).map_err(|_| LogSwitchError::Taken)?;
        log::set_max_level(switch.0.rules.read().filter.filter());
        Ok(switch)
    }

    fn new(writer: impl Log + 'static, filter: &str) -> Result<Self, LogSwitchError> {
        let first = filter.to_owned();
        let rules = Rules { filter: filter_of(&first, &[])?, first, since: Vec::new() };
        Ok(Self(Arc::new(Inner { writer: Box::new(writer), rules: RwLock::new(rules) })))
    }

    /// Logs a module and those in it at this level from now on; all of them if it is empty.
    ///
    /// # Errors
    /// [`LogSwitchError`]: nothing has changed.
    pub fn set(&self, module: &str, level: LevelFilter) -> Result<(), LogSwitchError> {
        if module.len() > 255 || module.contains(|c: char| c.is_whitespace() || "=,/".contains(c)) {
            return Err(LogSwitchError::NoModule);
        }
        let mut rules = self.0.rules.write();
        let known = rules.since.iter().position(|(known, _)| known == module);
        if known.is_none() && rules.since.len() >= Self::MODULES_MAX {
            return Err(LogSwitchError::Full);
        }
        if let Some(known) = known {
            rules.since.remove(known);
        }
        rules.since.push((module.to_owned(), level));
        rules.filter = filter_of(&rules.first, &rules.since)?;
        log::set_max_level(rules.filter.filter());
        Ok(())
    }
}

fn filter_of(first: &str, since: &[(String, LevelFilter)]) -> Result<Filter, LogSwitchError> {
    let mut builder = env_filter::Builder::new();
    builder.try_parse(first).map_err(|_| LogSwitchError::NoFilter(first.to_owned()))?;
    for (module, level) in since {
        builder.filter(Some(module.as_str()).filter(|module| !module.is_empty()), *level);
    }
    Ok(builder.build())
}

impl Log for LogSwitch {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.0.rules.read().filter.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if self.0.rules.read().filter.matches(record) {
            self.0.writer.log(record);
        }
    }

    fn flush(&self) {
        self.0.writer.flush();
    }
}

#[cfg(test)]
mod tests {
    use log::Level;

    use super::*;

    struct Nowhere;

    impl Log for Nowhere {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }
        fn log(&self, _: &Record<'_>) {}
        fn flush(&self) {}
    }

    #[test]
    fn the_latest_word_on_a_module_counts_and_the_others_stay() {
        let switch = LogSwitch::new(Nowhere, "warn,farcall=info").unwrap();
        let enabled =
            |target, level| switch.enabled(&Metadata::builder().target(target).level(level).build());
        assert!(enabled("farcall::conn", Level::Info) && !enabled("farcall", Level::Debug));
        switch.set("farcall", LevelFilter::Debug).unwrap();
        assert!(enabled("farcall", Level::Debug) && enabled("app", Level::Warn));
        assert!(!enabled("app", Level::Info));
        switch.set("", LevelFilter::Off).unwrap();
        switch.set("farcall", LevelFilter::Error).unwrap();
        assert!(!enabled("app", Level::Error) && enabled("farcall", Level::Error));
        assert!(!enabled("farcall", Level::Warn));
    }

    #[test]
    fn what_is_no_module_and_what_is_too_much_is_refused() {
        let switch = LogSwitch::new(Nowhere, "").unwrap();
        let nonsense = LogSwitch::new(Nowhere, "a=b=c").map(drop);
        assert_eq!(nonsense, Err(LogSwitchError::NoFilter("a=b=c".to_owned())));
        assert_eq!(switch.set("a=b", LevelFilter::Off), Err(LogSwitchError::NoModule));
        for n in 0..LogSwitch::MODULES_MAX {
            switch.set(&format!("m{n}"), LevelFilter::Info).unwrap();
        }
        assert_eq!(switch.set("one_more", LevelFilter::Info), Err(LogSwitchError::Full));
        switch.set("m7", LevelFilter::Debug).unwrap();
    }
}
