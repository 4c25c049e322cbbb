//! Tables in Markdown that are also aligned for reading as they are.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_lies_between() {
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(vec![9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(Vec::new()), None);
    }
}
