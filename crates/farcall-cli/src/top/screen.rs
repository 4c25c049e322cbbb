//! The terminal: frames out, keys in, and a look at the node at every interval.

use std::io;
use std::time::{Duration, Instant};

use farcall::NodeName;
use farcall::inspect::NodeView;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyEvent, KeyEventKind};
use tokio::sync::mpsc;

use super::state::{Ask, State};
use super::{draw, look};
use crate::args::{Options, Top};
use crate::inside::place_of;
use crate::report::Report;
use crate::session::Session;

/// What a key reader waits for before it looks whether it is still wanted.
const KEYS_EVERY: Duration = Duration::from_millis(100);

/// Shows the node until somebody ends it. The terminal is as before, however it ends.
pub(super) async fn run(session: &mut Session, args: &Top) -> Result<(), Report> {
    let failed =
        |error: io::Error| Report::here("terminal", format!("the terminal cannot be used: {error}"), "");
    let terminal = ratatui::try_init().map_err(failed)?;
    let shown = show(terminal, session, args).await;
    ratatui::restore();
    shown.map_err(failed)
}

async fn show(mut terminal: DefaultTerminal, session: &mut Session, args: &Top) -> io::Result<()> {
    let mut state = State::new(args.node.as_str(), args.interval);
    if let Some(page) = args.page {
        state.page = page;
    }
    let mut keys = read_keys();
    // Another node than the first, when one was chosen from the list.
    let mut other: Option<Session> = None;
    let mut ticker = tokio::time::interval(args.interval);
    ticker.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        terminal.draw(|frame| draw::draw(frame, &state, Instant::now()))?;
        let current = other.as_ref().unwrap_or(&*session);
        let asked = tokio::select! {
            key = keys.recv() => match key {
                Some(Some(key)) => state.key(key),
                // Resized: drawn anew.
                Some(None) => None,
                None => Some(Ask::Quit),
            },
            _ = ticker.tick(), if !state.paused => {
                wait(current, &mut state, &mut terminal, &mut keys).await?
            }
        };
        match asked {
            Some(Ask::Quit) => break,
            Some(Ask::Node(node)) => {
                let opened = open(&node, &state, &args.options).await;
                state.turn_to(&node);
                match opened {
                    Ok(opened) => {
                        if let Some(before) = other.replace(opened) {
                            before.close(false).await;
                        }
                    }
                    Err(report) => state.failed(report.message),
                }
                ticker.reset_immediately();
            }
            None => {}
        }
    }
    if let Some(other) = other {
        other.close(true).await;
    }
    Ok(())
}

/// One look; while it takes, keys are followed and frames drawn.
async fn wait(
    session: &Session,
    state: &mut State,
    terminal: &mut DefaultTerminal,
    keys: &mut mpsc::Receiver<Option<KeyEvent>>,
) -> io::Result<Option<Ask>> {
    let looking = look(session, state.last_event());
    tokio::pin!(looking);
    loop {
        tokio::select! {
            seen = &mut looking => {
                took(state, seen, session);
                return Ok(None);
            }
            key = keys.recv() => match key {
                Some(Some(key)) => {
                    if let Some(ask) = state.key(key) {
                        return Ok(Some(ask));
                    }
                }
                Some(None) => {}
                None => return Ok(Some(Ask::Quit)),
            },
            // How long there was no answer is shown as it grows.
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
        terminal.draw(|frame| draw::draw(frame, state, Instant::now()))?;
    }
}

fn took(state: &mut State, seen: Result<NodeView, Report>, session: &Session) {
    match seen {
        Ok(view) => state.took(view, Instant::now()),
        Err(report) => state.failed(session.explain(report).message),
    }
}

/// A node that was chosen from the list: where it is, the node knows that asks it, or its name or the configuration says.
async fn open(node: &str, state: &State, options: &Options) -> Result<Session, Report> {
    let name: NodeName =
        node.parse().map_err(|error| Report::here("usage", format!("{node}: {error}"), ""))?;
    let at = state.seen.as_ref().and_then(|(view, _)| place_of(view, &name));
    Session::open(&Options { at, ..options.clone() }, &name).await
}

/// Keys, from a thread of their own; nothing where the terminal was resized. It ends when nobody listens.
fn read_keys() -> mpsc::Receiver<Option<KeyEvent>> {
    let (tell, keys) = mpsc::channel(64);
    std::thread::spawn(move || {
        while !tell.is_closed() {
            let told = match event::poll(KEYS_EVERY).and_then(|any| any.then(event::read).transpose()) {
                Ok(Some(Event::Key(key))) if key.kind == KeyEventKind::Press => tell.blocking_send(Some(key)),
                Ok(Some(Event::Resize(..))) => tell.blocking_send(None),
                Ok(_) => Ok(()),
                // The terminal is gone.
                Err(_) => return,
            };
            if told.is_err() {
                return;
            }
        }
    });
    keys
}
