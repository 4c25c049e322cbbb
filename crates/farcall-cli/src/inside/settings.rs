//! `config`: what a node is set to, and what can be set at all.

use farcall::config::{KeyDoc, keys};
use farcall::inspect::{ConfigView, SettingView};
use serde::Serialize;

use super::args::Settings;
use super::each;
use crate::output::Output;
use crate::report::Report;
use crate::session::Session;

/// Asks the node, and lists what it says.
pub(super) async fn of_node(session: &Session, asked: &Settings, output: &mut Output) -> Result<(), Report> {
    let view = session.node.inspect_node_config(&session.target).await;
    let view = view.map_err(|error| of_older(Report::from(error)))?;
    list(&view, asked, output)
}

/// The error, with what to do about a node that does not know the question.
fn of_older(report: Report) -> Report {
    if report.reason != "no_such_message" {
        return report;
    }
    let remedy = "that node has a version of farcall that does not tell its configuration: look into its farcall.toml \
                  and its FARCALL_* variables, or update it";
    Report { remedy: remedy.to_owned(), ..report }
}

fn list(view: &ConfigView, asked: &Settings, output: &mut Output) -> Result<(), Report> {
    let chosen = |setting: &&SettingView| asked.key().is_none_or(|key| setting.is_of(key));
    let mut settings: Vec<&SettingView> = view.keys.iter().filter(chosen).collect();
    if let (true, Some(key)) = (settings.is_empty(), asked.key()) {
        return Err(no_key(key));
    }
    settings.retain(|setting| setting.changed || !asked.changed);
    let row = |setting: &&SettingView| {
        let default = if setting.changed { shown(setting.default.as_deref(), 0) } else { String::new() };
        [setting.key.clone(), shown(setting.value.as_deref(), setting.left_out), default]
    };
    let nothing = format!("{} has the default everywhere", view.node);
    each(&settings, ["KEY", "VALUE", "DEFAULT"], row, &nothing, output)
}

fn shown(value: Option<&str>, left_out: u64) -> String {
    match (value, left_out) {
        (None, _) => "unset".to_owned(),
        (Some(""), 0) => "nothing".to_owned(),
        (Some(value), 0) => value.to_owned(),
        (Some(value), more) => format!("{value} and {more} more"),
    }
}

/// A key that can be set.
#[derive(Serialize)]
struct Known {
    key: &'static str,
    /// How it is written.
    unit: String,
    default: Option<&'static str>,
    meaning: &'static str,
    variable: String,
}

impl From<&KeyDoc> for Known {
    fn from(key: &KeyDoc) -> Self {
        let default = Some(key.default).filter(|default| *default != "unset");
        Self { key: key.key, unit: key.unit.to_string(), default, meaning: key.doc, variable: key.variable() }
    }
}

/// Lists what can be set, by the version of this command.
pub(crate) fn all(asked: &Settings, output: &mut Output) -> Result<(), Report> {
    let is_asked = |known: &&KeyDoc| asked.key().is_none_or(|key| known.is_of(key));
    let known: Vec<Known> = keys().iter().filter(is_asked).map(Known::from).collect();
    if let (true, Some(key)) = (known.is_empty(), asked.key()) {
        return Err(no_key(key));
    }
    let row = |known: &Known| {
        let default = known.default.unwrap_or("unset").to_owned();
        [known.key.to_owned(), known.unit.clone(), default, known.meaning.to_owned()]
    };
    each(&known, ["KEY", "UNIT", "DEFAULT", "MEANING"], row, "", output)
}

fn no_key(key: &str) -> Report {
    let what = format!("there is no key {key}, and no table of that name");
    let remedy = "`farcall config --keys` lists them; a table is named without its dot, as tcp";
    Report { exit: 2, ..Report::here("usage", what, remedy) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_does_not_know_the_question_is_said_to_be_older() {
        let told = of_older(Report::rejected("no_such_message", "no farcall.Configuration", "describe it"));
        assert!(told.remedy.contains("update it") && told.message.contains("farcall.Configuration"));
        assert_eq!((told.class, told.exit), ("rejected", 4));
        assert_eq!(of_older(Report::rejected("busy", "busy", "wait")).remedy, "wait");
    }
}
