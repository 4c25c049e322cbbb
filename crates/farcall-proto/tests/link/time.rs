//! Ticks, silence, stalls: all of it in virtual time.

use std::time::Duration;

use farcall_proto::link::frame::Frame;
use farcall_proto::link::{Limits, LossCause};

use crate::support::{Pair, frames};

const TICK: Duration = Duration::from_secs(10);

fn ticks(wire: &[u8]) -> usize {
    frames(wire).iter().filter(|frame| **frame == Frame::Ping { token: 0 }).count()
}

#[test]
fn an_idle_connection_ticks_four_times_per_tick_on_both_sides_and_lives() {
    let mut pair = Pair::small();
    pair.advance(TICK * 10);
    assert_eq!(pair.ended, None);
    assert_eq!((ticks(&pair.up.wire), ticks(&pair.down.wire)), (40, 40));
}

#[test]
fn traffic_takes_the_place_of_ticks() {
    let mut pair = Pair::small();
    for _ in 0..100 {
        pair.call("a", "echo", b"");
        pair.run();
        pair.advance(TICK / 5);
    }
    assert_eq!((ticks(&pair.up.wire), ticks(&pair.down.wire)), (0, 0));
}

#[test]
fn a_peer_silent_for_its_whole_tick_is_gone_not_sooner_and_not_later() {
    let mut pair = Pair::small();
    let ticket = pair.call("a", "never", b"");
    pair.run();
    pair.down.stalled = true;
    pair.advance(TICK - Duration::from_millis(1));
    assert_eq!(pair.ended, None);
    pair.advance(Duration::from_millis(1));
    assert_eq!(pair.ended, Some(LossCause::Silent { for_ms: 10_000 }));
    assert!(pair.outcome(ticket).is_none(), "ending the link is its owner's part");
}

#[test]
fn each_side_is_judged_by_the_tick_it_announced() {
    let slow = Limits { tick: TICK * 6, ..Limits::default() };
    let mut pair = Pair::opening(Limits::default(), slow);
    pair.connect();
    pair.advance(TICK * 30);
    assert_eq!(pair.ended, None);
    pair.down.stalled = true;
    pair.advance(TICK * 4);
    assert_eq!(pair.ended, None, "the write stall is not yet over, nor is the slow peer's tick");
}

#[test]
fn a_peer_that_ticks_and_takes_nothing_is_gone_after_the_write_stall() {
    let mut pair = Pair::small();
    pair.up.stalled = true;
    pair.call("a", "echo", b"");
    pair.run();
    // Its own silence is not what ends it: it is not told that nothing comes.
    pair.acceptor.received(pair.now + TICK * 100);
    pair.advance(Duration::from_secs(30) - Duration::from_millis(1));
    assert_eq!(pair.ended, None);
    pair.advance(Duration::from_millis(1));
    assert_eq!(pair.ended, Some(LossCause::WriteStall { for_ms: 30_000 }));
}

#[test]
fn a_reader_that_pauses_itself_judges_nobody_and_still_ticks() {
    let mut pair = Pair::small();
    pair.up.paused = true;
    pair.advance(TICK * 5);
    assert_eq!(pair.ended, None);
    assert_eq!(ticks(&pair.down.wire), 20, "the paused side must not look dead");
    pair.up.paused = false;
    pair.run();
    pair.advance(TICK * 5);
    assert_eq!(pair.ended, None);
}

#[test]
fn ticks_that_nobody_takes_do_not_pile_up_for_longer_than_the_stall_may_last() {
    let mut pair = Pair::small();
    pair.up.stalled = true;
    pair.call("a", "echo", b"");
    pair.acceptor.received(pair.now + TICK * 100);
    pair.advance(Duration::from_secs(29));
    assert!(pair.client.unsent_bytes() < 500);
}

#[test]
fn ticks_go_ahead_of_data() {
    let mut pair = Pair::small();
    pair.up.stalled = true;
    pair.call("a", "echo", &[0; 900_000]);
    pair.run();
    pair.advance(TICK / 2);
    pair.up.stalled = false;
    let in_hand = pair.up.in_hand();
    pair.run();
    let mut at = 0;
    for frame in frames(&pair.up.wire) {
        if frame == (Frame::Ping { token: 0 }) {
            break;
        }
        at += 4 + u32::from_le_bytes(pair.up.wire[at..at + 4].try_into().unwrap()) as usize;
    }
    assert_eq!(at, in_hand, "only what the writer already held is in front of it");
}
