//! `farcall top`: a live view of one node, in a terminal.
//!
//! ```text
//! mod ── state   what is looked at, and what keys do to it: no terminal, no clock
//!     ── pages   the rows of each page
//!     ── draw    a frame of it
//!     ── screen  the terminal, keys, and a look at the node every second
//! ```

mod draw;
mod pages;
mod screen;
mod state;

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use farcall::inspect::NodeView;
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use crate::args::Top;
use crate::output::Output;
use crate::report::Report;
use crate::session::Session;
pub(crate) use state::Page;
use state::State;

/// Shows it until it is ended, or one frame.
pub(crate) async fn top(args: &Top, output: &mut Output) -> Result<(), Report> {
    if output.is_json() && !args.once {
        let remedy = "`farcall top --once --json` prints what one look tells; `farcall links NODE --json` a part of it";
        return Err(Report { exit: 2, ..Report::here("usage", "--json needs --once here", remedy) });
    }
    let at_terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    if !args.once && !at_terminal {
        let remedy = "`farcall top --once` prints one frame for scripts";
        return Err(Report { exit: 2, ..Report::here("usage", "the live view needs a terminal", remedy) });
    }
    let mut session = Session::open(&args.options, &args.node).await?;
    let done = match args.once {
        true => once(&mut session, args, output).await,
        false => screen::run(&mut session, args).await,
    };
    let done = done.map_err(|report| session.explain(report));
    session.close(done.is_ok()).await;
    done
}

/// Two looks, because a rate needs two, and one frame.
async fn once(session: &mut Session, args: &Top, output: &mut Output) -> Result<(), Report> {
    let first = look(session, 0).await?;
    tokio::time::sleep(args.interval).await;
    session.begin(args.options.timeout);
    let second = look(session, 0).await?;
    if output.is_json() {
        return output.document(&second);
    }
    let mut state = State::new(args.node.as_str(), args.interval);
    state.page = args.page.unwrap_or(Page::Links);
    state.took(first, Instant::now());
    state.took(second, Instant::now());
    let width = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok()).unwrap_or(80);
    for line in frame(&state, width) {
        output.line(&line)?;
    }
    Ok(())
}

pub(crate) async fn look(session: &Session, after: u64) -> Result<NodeView, Report> {
    Ok(session.node.inspect_node_after(&session.target, after).await?)
}

/// A frame as lines of text, so high that every row is in it.
fn frame(state: &State, width: u16) -> Vec<String> {
    let rows = u16::try_from(state.rows().len()).unwrap_or(u16::MAX);
    let height = rows.saturating_add(draw::AROUND).clamp(12, ROWS_MAX);
    let backend = TestBackend::new(width.clamp(40, 400), height);
    // It cannot fail: its error has no value.
    let Ok(mut terminal) = Terminal::new(backend);
    let Ok(_) = terminal.draw(|frame| draw::draw(frame, state, Instant::now()));
    let buffer = terminal.backend().buffer();
    let lines = buffer.content().chunks(usize::from(buffer.area.width.max(1)));
    let text = lines.map(|line| line.iter().map(|cell| cell.symbol()).collect::<String>());
    text.map(|line| line.trim_end().to_owned()).collect()
}

/// No frame for scripts is higher.
const ROWS_MAX: u16 = 5000;

/// Nobody sees more than this, and no node is asked more often.
pub(crate) const INTERVAL_MIN: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests;
