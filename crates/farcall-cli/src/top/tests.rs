//! What keys do, and what a frame of 80 by 24 shows.

use std::time::{Duration, Instant};

use farcall::inspect::{
    ActorView, Bucket, EventView, LinkState, LinkView, NodeState, NodeView, Times, TroubleView,
};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::state::{Ask, State};
use super::*;

fn link(peer: &str, state: LinkState, in_flight: u64) -> LinkView {
    LinkView {
        peer: peer.to_owned(),
        outgoing: true,
        lane: 0,
        state,
        epoch: 1,
        at: "tls://10.0.0.2:5370".to_owned(),
        age_us: 61_000_000,
        rtt_us: Some(140),
        messages_in: 10,
        messages_out: 10,
        bytes_in: 1000,
        bytes_out: 1000,
        unsent_bytes: 0,
        in_flight,
        ticks_missed: 0,
    }
}

fn actor(name: &str, waiting: u64, handled: u64) -> ActorView {
    let troubles = vec![TroubleView { reason: "busy".to_owned(), count: 1 }];
    let times = Times { buckets: vec![Bucket { below_us: 96, count: handled }] };
    ActorView { name: name.to_owned(), version: None, waiting, waiting_bytes: 0, handled, troubles, times }
}

fn event(nth: u64) -> EventView {
    EventView {
        nth,
        at_us: nth,
        level: "WARN".to_owned(),
        reason: "busy".to_owned(),
        peer: "beta@h".to_owned(),
        text: format!("event \u{1b}[2J {nth}"),
    }
}

fn view(seconds: u64, handled: u64) -> NodeView {
    let why = "connection refused".to_owned();
    NodeView {
        node: "alpha@h".to_owned(),
        incarnation: 1,
        farcall: "0.1.0".to_owned(),
        pid: 7,
        at_us: seconds * 1_000_000,
        draining: false,
        listening: Vec::new(),
        metrics: Vec::new(),
        limits: Vec::new(),
        nodes: vec![NodeState { node: "beta@h".to_owned(), incarnation: 2, hidden: false, draining: false }],
        links: vec![
            link("beta@h", LinkState::Up, 3),
            link("delta@h", LinkState::Up, 9),
            link("gamma@h", LinkState::Backoff { left_ms: 900, why }, 0),
        ],
        actors: vec![actor("counter", 0, handled), actor("mail", 70_000, 5)],
        groups: Vec::new(),
        events: vec![event(seconds)],
        left_out: 0,
    }
}

fn seen() -> State {
    let mut state = State::new("alpha@h", Duration::from_secs(1));
    state.took(view(10, 100), Instant::now());
    state.took(view(12, 300), Instant::now());
    state
}

fn press(state: &mut State, keys: &[KeyCode]) -> Option<Ask> {
    keys.iter().filter_map(|key| state.key(KeyEvent::new(*key, KeyModifiers::NONE))).last()
}

fn screen(state: &State, now: Instant) -> Vec<String> {
    let Ok(mut terminal) = Terminal::new(TestBackend::new(80, 24));
    let Ok(_) = terminal.draw(|frame| draw::draw(frame, state, now));
    let cells = terminal.backend().buffer().content();
    cells.chunks(80).map(|line| line.iter().map(|cell| cell.symbol()).collect::<String>()).collect()
}

fn firsts(state: &State) -> Vec<String> {
    state.rows().into_iter().map(|row| row.cells[0].clone()).collect()
}

#[test]
fn a_frame_of_80_by_24_has_the_node_its_links_and_the_keys() {
    let lines = screen(&seen(), Instant::now());
    assert!(lines[0].starts_with("alpha@h  up 12s  farcall 0.1.0  pid 7"), "{lines:#?}");
    assert!(lines[1].starts_with("calls/s 100 "), "{lines:#?}");
    assert!(lines[4].starts_with("beta@h") && lines[4].contains("140µs"), "{lines:#?}");
    assert!(lines[3].contains(" MISS "), "{lines:#?}");
    assert!(lines[23].contains("q quit"), "{lines:#?}");
}

#[test]
fn rates_and_times_are_those_since_the_look_before() {
    let mut state = seen();
    press(&mut state, &[KeyCode::Char('2')]);
    let counter = &state.rows()[0];
    assert_eq!(counter.cells[..4], ["counter", "0", "100", "96µs"]);
}

#[test]
fn rows_are_sorted_by_the_column_that_was_chosen_and_the_other_way_round() {
    let mut state = seen();
    assert_eq!(firsts(&state), ["beta@h", "delta@h", "gamma@h"]);
    press(&mut state, &[KeyCode::Char('s'); 8]);
    assert_eq!(
        (state.sorted_by(), firsts(&state)),
        (Some(7), vec!["delta@h".into(), "beta@h".into(), "gamma@h".into()])
    );
    press(&mut state, &[KeyCode::Char('r')]);
    assert_eq!(firsts(&state), ["gamma@h", "beta@h", "delta@h"]);
    press(&mut state, &[KeyCode::Char('s'); 5]);
    assert_eq!(state.sorted_by(), None, "behind the last column");
}

#[test]
fn a_filter_is_typed_and_ended_and_keys_mean_letters_meanwhile() {
    let mut state = seen();
    assert_eq!(press(&mut state, &[KeyCode::Char('/'), KeyCode::Char('q'), KeyCode::Backspace]), None);
    press(&mut state, &[KeyCode::Char('D'), KeyCode::Char('E'), KeyCode::Char('l'), KeyCode::Enter]);
    assert_eq!(firsts(&state), ["delta@h"]);
    assert_eq!(press(&mut state, &[KeyCode::Esc]), None, "it ends the filter");
    assert_eq!(state.rows().len(), 3);
    assert_eq!(press(&mut state, &[KeyCode::Esc]), Some(Ask::Quit));
}

#[test]
fn enter_shows_all_of_a_row_and_in_the_list_of_nodes_looks_at_that_node() {
    let mut state = seen();
    press(&mut state, &[KeyCode::Down, KeyCode::Down, KeyCode::Down, KeyCode::Enter]);
    let lines = screen(&state, Instant::now());
    assert!(
        lines.iter().any(|line| line.contains("not dialled for 900 ms: connection refused")),
        "{lines:#?}"
    );
    press(&mut state, &[KeyCode::Enter, KeyCode::Char('3')]);
    assert_eq!(press(&mut state, &[KeyCode::Enter]), Some(Ask::Node("beta@h".to_owned())));
    state.turn_to("beta@h");
    assert!(state.seen.is_none() && screen(&state, Instant::now())[0].starts_with("beta@h  connecting"));
}

#[test]
fn a_node_that_does_not_answer_is_seen_to_be_silent() {
    let mut state = seen();
    let later = Instant::now() + Duration::from_secs(9);
    assert!(screen(&state, later)[0].contains("no answer for 9s"));
    state.paused = true;
    assert!(!screen(&state, later)[0].contains("no answer"), "nobody asks");
    state.failed("connection refused".to_owned());
    assert!(screen(&state, later)[0].contains("NO ANSWER: connection refused"));
    state.took(view(20, 400), later);
    assert!(!screen(&state, later)[0].contains("NO ANSWER"));
}

#[test]
fn events_gather_the_latest_first_and_none_of_them_steers_the_terminal() {
    let mut state = seen();
    press(&mut state, &[KeyCode::Char('6')]);
    let texts: Vec<_> = state.rows().iter().map(|row| row.cells[4].clone()).collect();
    assert_eq!(texts, ["event \u{1b}[2J 12", "event \u{1b}[2J 10"]);
    assert_eq!(state.last_event(), 12);
    assert!(screen(&state, Instant::now()).iter().all(|line| !line.contains('\u{1b}')));
}

#[test]
fn an_actor_whose_mailbox_is_full_and_a_link_that_is_not_dialled_stand_out() {
    let mut state = seen();
    let full = farcall::inspect::LimitView { name: "mailbox_messages_max".to_owned(), value: 65_536 };
    if let Some((view, _)) = &mut state.seen {
        view.limits = vec![full];
    }
    assert_eq!(state.rows()[2].health, pages::Health::Ill);
    press(&mut state, &[KeyCode::Char('2')]);
    assert_eq!([state.rows()[0].health, state.rows()[1].health], [pages::Health::Well, pages::Health::Ill]);
}
