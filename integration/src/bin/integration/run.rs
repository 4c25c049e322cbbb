//! Running scenarios, one after the other on one cluster, and the table of what came of them.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use farcall_integration::control::Status;
use farcall_integration::journal::now_us;

use crate::check;
use crate::fault::{Fault, Result};
use crate::lab::Lab;
use crate::scenarios::Scenario;

/// What came of a scenario.
pub(crate) struct Row {
    pub(crate) scenario: &'static Scenario,
    pub(crate) outcome: Result<String>,
    pub(crate) took: Duration,
}

/// Runs them; the rows of those that were begun.
pub(crate) fn all(lab: &mut Lab, scenarios: &[&'static Scenario]) -> Result<Vec<Row>> {
    lab.ready()?;
    // What a node has when it has worked once.
    lab.load_all()?;
    lab.wait(Duration::from_secs(1))?;
    lab.quiet()?;
    let baseline: Vec<_> = (0..lab.count()).map(|node| lab.status(node)).collect::<Result<_>>()?;
    let (mut rows, mut casts) = (Vec::new(), (0, 0));
    for scenario in scenarios {
        print!("{:<18} {:<8} ", scenario.name, scenario.cases);
        // Whoever waits sees what for.
        std::io::stdout().flush()?;
        let begun = Instant::now();
        lab.since = now_us();
        let outcome = one(lab, scenario, &baseline, &mut casts);
        let row = Row { scenario, outcome, took: begun.elapsed() };
        println!("{}", row.short());
        let end = matches!(row.outcome, Err(Fault::Interrupted));
        rows.push(row);
        if end {
            break;
        }
    }
    Ok(rows)
}

fn one(
    lab: &mut Lab,
    scenario: &'static Scenario,
    baseline: &[Status],
    casts: &mut (u64, u64),
) -> Result<String> {
    let observed = (scenario.run)(lab);
    if matches!(observed, Err(Fault::Interrupted)) {
        return observed;
    }
    // Also what failed has to leave the cluster whole, and the checkers judge it.
    let healed = lab.heal();
    let quiet = lab.quiet();
    let observed = observed?;
    healed.map_err(|fault| Fault::Failed(format!("it did not recover: {fault}")))?;
    quiet?;
    let mut sums = check::journals(&lab.journals()?, lab.since)?;
    // Of all scenarios until now: what came before is taken off.
    let all = (sums.sent, sums.got);
    (sums.sent, sums.got) = (all.0 - casts.0, all.1 - casts.1);
    *casts = all;
    check::baseline(lab, baseline)?;
    check::secrets(lab)?;
    Ok(format!("{observed} [{sums}]"))
}

impl Row {
    fn verdict(&self) -> &'static str {
        match self.outcome {
            Ok(_) => "passed",
            Err(Fault::Skipped(_)) => "skipped",
            Err(Fault::Failed(_)) => "FAILED",
            Err(Fault::Interrupted) => "interrupted",
        }
    }

    fn text(&self) -> String {
        match &self.outcome {
            Ok(observed) => observed.clone(),
            Err(Fault::Skipped(why) | Fault::Failed(why)) => why.clone(),
            Err(Fault::Interrupted) => String::new(),
        }
    }

    fn short(&self) -> String {
        format!("{:<8} {:>5.1} s  {}", self.verdict(), self.took.as_secs_f64(), self.text())
    }
}

/// The table in Markdown, with a head that says where it was made.
pub(crate) fn table(head: &str, rows: &[Row]) -> String {
    let mut text = format!(
        "{head}\n\n| scenario | cases | result | what was observed | time |\n|---|---|---|---|---|\n"
    );
    for row in rows {
        let (name, cases, what) = (row.scenario.name, row.scenario.cases, row.scenario.what);
        let (verdict, seen) = (row.verdict(), row.text().replace('|', "\\|").replace('\n', " "));
        text.push_str(&format!(
            "| **{name}**: {what} | {cases} | {verdict} | {seen} | {:.0} s |\n",
            row.took.as_secs_f64()
        ));
    }
    text
}

/// How many passed, failed, were skipped.
pub(crate) fn summary(rows: &[Row]) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for row in rows {
        *counts.entry(row.verdict()).or_default() += 1;
    }
    counts
}

/// Whether nothing failed, and nothing was left out by Ctrl-C.
pub(crate) fn well(rows: &[Row]) -> bool {
    rows.iter().all(|row| matches!(row.outcome, Ok(_) | Err(Fault::Skipped(_))))
}

/// Keeps logs and journals of all nodes; for after a failure.
pub(crate) fn keep(lab: &Lab, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    for node in 0..=lab.count() {
        let host = lab.hosts.plan().host(node);
        fs::write(folder.join(format!("{host}.log")), lab.hosts.log(node).unwrap_or_default())?;
        for entry in fs::read_dir(lab.hosts.plan().node_folder(node))?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with("journal-") {
                fs::copy(entry.path(), folder.join(format!("{host}-{name}")))?;
            }
        }
    }
    Ok(())
}
