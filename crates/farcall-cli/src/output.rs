//! Where everything is printed: answers and listings to standard output, errors to standard error, or, with
//! `--json`, all of it to standard output.

use std::borrow::Cow;
use std::io::{self, BufWriter, ErrorKind, Stdout, Write};
use std::process::ExitCode;

use postcard_schema::schema::owned::OwnedNamedType;
use serde::Serialize;

use crate::dynamic::{self, Look, WriteError};
use crate::report::Report;

/// The output of one command. A reader that has seen enough (`| head -1`) is no error.
#[derive(Debug)]
pub(crate) struct Output {
    json: bool,
    out: BufWriter<Stdout>,
    closed: bool,
    /// The exit code of what failed and was told already.
    failed: u8,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json, out: BufWriter::new(io::stdout()), closed: false, failed: 0 }
    }

    /// Whether programs read it.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Whether programs read what comes next.
    pub(crate) fn set_json(&mut self, json: bool) {
        self.json = json;
    }

    /// Text for whoever reads it.
    pub(crate) fn text(&mut self, text: &str) -> Result<(), Report> {
        if self.json { self.document(&text) } else { self.line(text) }
    }

    /// Text that a program reads as it is, with `--json` or without.
    pub(crate) fn raw(&mut self, text: &str) -> Result<(), Report> {
        let written = self.out.write_all(text.as_bytes());
        self.after(written)
    }

    /// Something failed and was told in its place: the exit code says it, too. 0 for nothing.
    pub(crate) fn note_failed(&mut self, exit: u8) {
        self.failed = if self.failed == 0 { exit } else { self.failed };
    }

    /// The exit code of what failed and was told already, once.
    pub(crate) fn take_failed(&mut self) -> u8 {
        std::mem::take(&mut self.failed)
    }

    /// A line for people beside the output.
    pub(crate) fn warn(&self, text: &str) {
        // Whoever does not see it has the exit code.
        let _ = writeln!(io::stderr(), "{}", plain(text));
    }

    /// Whether nobody reads on.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Text for people. What peers named comes from them: it does not get to steer a terminal.
    pub(crate) fn line(&mut self, text: &str) -> Result<(), Report> {
        let written = writeln!(self.out, "{}", plain(text));
        self.after(written)
    }

    /// A document for programs, on one line.
    pub(crate) fn document(&mut self, document: &impl Serialize) -> Result<(), Report> {
        let written = serde_json::to_writer(&mut self.out, document).map_err(io::Error::from);
        let written = written.and_then(|()| writeln!(self.out));
        self.after(written)
    }

    /// An answer, all of it or none: it is read to its end before the first byte is printed.
    pub(crate) fn answer(
        &mut self,
        layout: &OwnedNamedType,
        payload: &[u8],
        look: Look,
    ) -> Result<(), Report> {
        let unreadable = |why: String| Report::unreadable(format!("the answer cannot be shown: {why}"));
        dynamic::check(layout, payload).map_err(unreadable)?;
        let look = if self.json { Look::Compact } else { look };
        let written = match dynamic::write(layout, payload, look, &mut self.out) {
            Ok(()) => writeln!(self.out),
            Err(WriteError::Output(error)) => Err(error),
            Err(WriteError::Malformed(why)) => return Err(unreadable(why)),
        };
        self.after(written)
    }

    /// What is printed is seen at once, also the items of a stream in a pipe.
    fn after(&mut self, written: io::Result<()>) -> Result<(), Report> {
        match written.and_then(|()| self.out.flush()) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(())
            }
            Err(error) => Err(Report::here("output", format!("cannot print: {error}"), "")),
        }
    }

    /// Prints the error, if there is one, and gives the exit code.
    pub(crate) fn end(mut self, ended: Result<(), Report>) -> ExitCode {
        let Err(report) = ended else { return ExitCode::from(self.failed) };
        self.tell(&report);
        ExitCode::from(report.exit)
    }

    /// Prints an error. If even that cannot be printed, the exit code says it.
    pub(crate) fn tell(&mut self, report: &Report) {
        if self.json {
            let _ = self.document(&Failure { error: report });
        } else {
            let _ = describe(report, &mut io::stderr().lock());
        }
    }
}

#[derive(Serialize)]
struct Failure<'a> {
    error: &'a Report,
}

fn describe(report: &Report, to: &mut impl Write) -> io::Result<()> {
    writeln!(to, "error: {}", plain(&report.message))?;
    if report.class != "other" {
        let ran = if report.may_have_run { "it may have" } else { "surely not" };
        writeln!(to, "  did it run?  {ran}")?;
    }
    if !report.remedy.is_empty() {
        writeln!(to, "  what to do:  {}", plain(&report.remedy))?;
    }
    Ok(())
}

/// Control characters made visible, lines kept.
pub(crate) fn plain(text: &str) -> Cow<'_, str> {
    let steers = |letter: char| letter.is_control() && letter != '\n';
    if !text.contains(steers) {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        match steers(letter) {
            true => shown.extend(letter.escape_default()),
            false => shown.push(letter),
        }
    }
    shown.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_peers_name_does_not_steer_the_terminal() {
        assert_eq!(plain("a\u{1b}[2J\u{9b}b\nc"), "a\\u{1b}[2J\\u{9b}b\nc");
        assert!(matches!(plain("plain ä"), Cow::Borrowed(_)));
    }

    #[test]
    fn an_error_says_whether_it_ran_and_what_to_do() {
        let mut shown = Vec::new();
        describe(&Report::rejected("no_such_actor", "nobody there", "look"), &mut shown).unwrap();
        let shown = String::from_utf8(shown).unwrap();
        assert_eq!(shown, "error: nobody there\n  did it run?  surely not\n  what to do:  look\n");
    }
}
