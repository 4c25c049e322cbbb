//! Tables for people: a line of heads, and columns as wide as what is in them.

use crate::output::Output;
use crate::report::Report;

/// A table that is filled row by row.
#[derive(Debug)]
pub(crate) struct Table<const N: usize> {
    rows: Vec<[String; N]>,
    /// Columns of numbers, which stand to the right.
    right: [bool; N],
}

impl<const N: usize> Table<N> {
    /// A head that begins with `>` stands over a column of numbers.
    pub(crate) fn new(heads: [&str; N]) -> Self {
        let right = heads.map(|head| head.starts_with('>'));
        Self { rows: vec![heads.map(|head| head.trim_start_matches('>').to_owned())], right }
    }

    pub(crate) fn row(&mut self, row: [String; N]) {
        self.rows.push(row);
    }

    /// Whether it has no row below its heads.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.len() == 1
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        let mut widths = [0; N];
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        let line = |row: &[String; N]| {
            let cells = row.iter().zip(widths).zip(self.right).map(|((cell, width), right)| match right {
                true => format!("{cell:>width$}"),
                false => format!("{cell:width$}"),
            });
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        self.rows.iter().map(line).collect()
    }

    /// Prints it.
    pub(crate) fn print(&self, output: &mut Output) -> Result<(), Report> {
        self.lines().iter().try_for_each(|line| output.line(line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_is_in_them_and_numbers_stand_to_the_right() {
        let mut table = Table::new(["NAME", ">COUNT", "TEXT"]);
        table.row(["ä longer name", "7", ""].map(str::to_owned));
        table.row(["short", "1234567", "what"].map(str::to_owned));
        assert_eq!(
            table.lines(),
            ["NAME             COUNT  TEXT", "ä longer name        7", "short          1234567  what"]
        );
    }
}
