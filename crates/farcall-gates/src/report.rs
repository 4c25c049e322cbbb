//! The table that `make gates` prints, and whether it passes.

use crate::baseline::{Baseline, Verdict};
use crate::figures::Figure;

/// The table with its last words, and whether the check passes.
pub(crate) fn report(baseline: &Baseline, made_with: &str, figures: &[(&str, Figure)]) -> (String, bool) {
    let judged = baseline.made_with == made_with;
    let mut lines = vec![format!(
        "{:<30} {:>12} {:>12} {:>8} {:>8}  verdict",
        "per call", "baseline", "now", "change", "spread"
    )];
    let mut verdicts = Vec::new();
    for (name, figure) in figures {
        let before = baseline.find(name).map(|(instructions, _)| instructions);
        let verdict = Verdict::on_instructions(before, figure.instructions);
        let spread = format!("{:.2} %", figure.spread * 100.0);
        lines.push(line(&format!("{name} instructions"), before, figure.instructions, 1, &spread, verdict));
        verdicts.push(verdict);
    }
    for (name, figure) in figures {
        let before = baseline.find(name).map(|(_, allocations)| allocations);
        let verdict = Verdict::on_allocations(before, figure.allocations);
        lines.push(line(&format!("{name} allocations"), before, figure.allocations, 4, "", verdict));
        verdicts.push(verdict);
    }
    let counted = |name: &str| figures.iter().any(|(known, _)| *known == name);
    let gone: Vec<_> = baseline.figures.iter().filter(|(name, ..)| !counted(name)).collect();
    lines.extend(gone.iter().map(|(name, ..)| format!("{name} is in the baseline and not counted any more")));
    let fails = !gone.is_empty() || verdicts.iter().any(|verdict| verdict.fails());
    let lower = verdicts.contains(&Verdict::Lower);
    lines.push(String::new());
    lines.push(last_words(judged, fails, lower, &baseline.made_with, made_with));
    (lines.join("\n"), !judged || !fails)
}

fn line(what: &str, before: Option<f64>, now: f64, digits: usize, spread: &str, verdict: Verdict) -> String {
    let baseline = before.map_or_else(|| "-".to_owned(), |before| format!("{before:.digits$}"));
    let change = match before {
        Some(before) if before > 0.0 => format!("{:+.1} %", (now / before - 1.0) * 100.0),
        _ => "-".to_owned(),
    };
    let verdict = match verdict {
        Verdict::Same => "ok",
        Verdict::Lower => "lower",
        Verdict::Raised => "RAISED",
        Verdict::New => "NEW",
    };
    format!("{what:<30} {baseline:>12} {now:>12.digits$} {change:>8} {spread:>8}  {verdict}")
}

fn last_words(judged: bool, fails: bool, lower: bool, accepted: &str, made_with: &str) -> String {
    if !judged {
        return format!(
            "gates: NOT JUDGED. The baseline is of {accepted}; this is {made_with}.\n\
             Two compilers or C libraries give two counts for one source. To judge a change here, run `make gates-accept` \
             on the source before it, then `make gates` with it."
        );
    }
    match (fails, lower) {
        (true, _) => "gates: FAILED. A change that raises a count says why: `make gates-accept`, and the reason goes into the \
                      commit and CHANGELOG.md."
            .to_owned(),
        (false, true) => "gates: ok, and lower than accepted. `make gates-accept` keeps it so.".to_owned(),
        (false, false) => "gates: ok".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn baseline(instructions: f64) -> Baseline {
        Baseline { made_with: "here".to_owned(), figures: vec![("call".to_owned(), instructions, 1.0)] }
    }

    const NOW: [(&str, Figure); 1] =
        [("call", Figure { instructions: 1100.0, allocations: 1.0, spread: 0.0 })];

    #[test]
    fn more_instructions_than_accepted_fail() {
        let (table, passed) = report(&baseline(1000.0), "here", &NOW);
        assert!(!passed && table.contains("+10.0 %") && table.contains("RAISED"), "{table}");
    }

    #[test]
    fn fewer_pass_and_are_to_be_accepted() {
        let (table, passed) = report(&baseline(2000.0), "here", &NOW);
        assert!(passed && table.contains("lower than accepted"), "{table}");
    }

    #[test]
    fn the_counts_of_another_compiler_are_shown_and_not_judged() {
        let (table, passed) = report(&baseline(1000.0), "elsewhere", &NOW);
        assert!(passed && table.contains("NOT JUDGED") && table.contains("+10.0 %"), "{table}");
    }

    #[test]
    fn what_is_new_or_gone_does_not_pass_unnoticed() {
        assert!(!report(&baseline(1100.0), "here", &[]).1);
        let empty = Baseline { made_with: "here".to_owned(), figures: Vec::new() };
        assert!(!report(&empty, "here", &NOW).1);
    }
}
