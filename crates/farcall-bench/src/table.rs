//! Tables in Markdown that are also aligned for reading as they are, and how what stands in them is written.

use std::fmt::{self, Formatter};

/// Writes a table.
pub(crate) fn table(f: &mut Formatter<'_>, headings: &[&str], rows: &[Vec<String>]) -> fmt::Result {
    let headings: Vec<String> = headings.iter().map(|&heading| heading.to_owned()).collect();
    let width = |column: usize| {
        let cells = rows.iter().chain([&headings]).filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let rule: Vec<String> = widths.iter().map(|&width| "-".repeat(width)).collect();
    for row in [headings.clone(), rule].iter().chain(rows) {
        for (cell, &width) in row.iter().zip(&widths) {
            write!(f, "| {cell:<width$} ")?;
        }
        writeln!(f, "|")?;
    }
    Ok(())
}

/// A number a second as people say it.
pub(crate) fn rate(per_s: f64) -> String {
    match per_s {
        _ if per_s >= 1e6 => format!("{:.2} M", per_s / 1e6),
        _ if per_s >= 1e4 => format!("{:.1} k", per_s / 1e3),
        _ => format!("{per_s:.0}"),
    }
}

/// A value, or a dash.
pub(crate) fn show(value: Option<f64>, how: impl Fn(f64) -> String) -> String {
    value.map_or("–".to_owned(), how)
}

/// The value in the middle.
pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = values.get(values.len() / 2)?;
    let lower = values.get((values.len() - 1) / 2)?;
    Some((lower + upper) / 2.0)
}

/// The day of a time, in UTC (Howard Hinnant's `civil_from_days`).
pub(crate) fn day(unix_time_s: u64) -> String {
    let days = unix_time_s / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let (day, month) =
        (day_of_year - (153 * shifted + 2) / 5 + 1, if shifted < 10 { shifted + 3 } else { shifted - 9 });
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_written_as_the_calendar_has_it() {
        assert_eq!(day(0), "1970-01-01");
        assert_eq!(day(951_782_400), "2000-02-29");
        assert_eq!(day(1_795_651_200), "2026-11-26");
    }

    #[test]
    fn the_median_of_an_even_number_lies_between() {
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(vec![9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(Vec::new()), None);
    }
}
