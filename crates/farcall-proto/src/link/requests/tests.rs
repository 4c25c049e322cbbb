//! Slots are taken, answered, withdrawn and taken again, and no stale name ever reaches a new request.

use super::*;

const FRAME: Origin = Origin::Frame(Place::Segment(0));

fn answered(bytes: &[u8]) -> Outcome {
    Outcome::Answered { answer: Answer::copy(bytes), compressed: false }
}

/// What came in, as a value.
fn taken<T>(table: &mut Requests<T>, ticket: Ticket) -> Option<Outcome> {
    let mut arrival = Arrival::EMPTY;
    table.poll(ticket, &mut arrival, |_| ()).then(|| arrival.into_outcome())
}

#[test]
fn a_late_reply_never_reaches_the_next_user_of_its_slot() {
    let now = Instant::now();
    let mut table = Requests::new(10);
    let first = table.insert(FRAME, None, "first");
    assert!(table.cancel(Ticket(first)).is_some());
    let second = table.insert(FRAME, None, "second");
    assert_eq!(first.slot, second.slot);
    assert_eq!(table.complete(first, answered(b"late"), now), None);
    assert_eq!(table.complete(second, answered(b"own"), now), Some("second"));
    let Some(Outcome::Answered { answer, .. }) = taken(&mut table, Ticket(second)) else { panic!() };
    assert_eq!(answer.as_slice(), b"own");
    assert_eq!(table.live(), 0);
}

#[test]
fn a_token_comes_back_exactly_once() {
    let now = Instant::now();
    let mut table = Requests::new(10);
    let id = table.insert(FRAME, None, 7);
    assert_eq!((table.live(), table.unanswered()), (1, 1));
    assert_eq!(table.complete(id, answered(b""), now), Some(7));
    assert_eq!((table.live(), table.unanswered()), (1, 0), "an answer nobody took needs no connection");
    assert_eq!(table.complete(id, answered(b""), now), None);
    assert!(taken(&mut table, Ticket(id)).is_some());
    assert!(!table.knows(Ticket(id)));
}

#[test]
fn only_the_requests_whose_deadline_passed_expire() {
    let start = Instant::now();
    let at = |ms| start + Duration::from_millis(ms);
    let mut table = Requests::new(10);
    let soon = table.insert(FRAME, Some(at(10)), ());
    table.insert(FRAME, Some(at(50)), ());
    table.insert(FRAME, None, ());
    let mut expired = Vec::new();
    table.expired(at(9), &mut expired);
    assert!(expired.is_empty());
    table.expired(at(10), &mut expired);
    assert_eq!(expired, [Pending { id: soon, origin: FRAME, deadline: Some(at(10)) }]);
    assert_eq!(table.poll_timeout(), Some(at(50)));
}

#[test]
fn an_answer_nobody_takes_is_dropped_after_its_time() {
    let start = Instant::now();
    let mut table = Requests::new(1);
    let id = table.insert(FRAME, None, ());
    table.complete(id, answered(b"x"), start);
    assert!(table.is_full());
    let ttl = Duration::from_secs(1);
    table.drop_unclaimed(start + ttl / 2, ttl);
    assert!(table.is_full());
    table.drop_unclaimed(start + ttl, ttl);
    assert!(!table.is_full() && !table.knows(Ticket(id)));
}

#[test]
fn an_item_without_credit_is_an_error_and_taking_items_gives_credit_back() {
    let mut table = Requests::new(1);
    let id = table.insert_items(FRAME, None, 128, ());
    let item = || Answer::copy(&[0; 64]);
    assert_eq!(table.item(id, item(), false), Ok(Some(())));
    assert_eq!(table.item(id, item(), false), Err(OverCredit));
    let Some(NextItem::Item { credit, .. }) = table.next_item(Ticket(id), || ()) else { panic!() };
    assert_eq!(credit, 128);
    assert_eq!(table.item(id, item(), false), Ok(None));
}

#[test]
fn ever_new_deadlines_do_not_make_a_full_table_look_at_itself_all_the_time() {
    let start = Instant::now();
    let mut table = Requests::new(65_536);
    for n in 0..65_536 {
        table.insert(FRAME, Some(start + Duration::from_micros(n)), ());
    }
    let (mut now, mut looks, mut expired) = (start, 0, Vec::new());
    while let Some(next) = table.poll_timeout() {
        now = now.max(next);
        table.expired(now, &mut expired);
        looks += 1;
    }
    assert_eq!(expired.len(), 65_536);
    assert!(looks <= 5, "{looks} looks at 65,536 slots");
    assert!(now - start < Duration::from_millis(65 + 27), "a deadline may be noticed late, but not much");
}

#[test]
fn slots_above_the_peers_limit_are_not_used_again() {
    let now = Instant::now();
    let mut table = Requests::new(100);
    let queued: Vec<RequestId> = (0..10).map(|_| table.insert(FRAME, None, ())).collect();
    table.cancel(Ticket(queued[8]));
    table.cancel(Ticket(queued[1]));
    table.limit(4);
    for id in &queued {
        table.complete(*id, answered(b""), now);
        taken(&mut table, Ticket(*id));
    }
    assert_eq!(table.live(), 0);
    let mut slots: Vec<u32> = (0..4).map(|_| table.insert(FRAME, None, ()).slot).collect();
    slots.sort_unstable();
    assert_eq!(slots, [0, 1, 2, 3]);
    assert!(table.is_full());
}

#[test]
fn items_behind_the_end_of_a_stream_are_dropped() {
    let mut table = Requests::new(1);
    let id = table.insert_items(FRAME, None, 1000, ());
    table.complete(id, answered(b""), Instant::now());
    assert_eq!(table.item(id, Answer::copy(b"late"), false), Ok(None));
    assert!(matches!(table.next_item(Ticket(id), || ()), Some(NextItem::End(_))));
}

#[test]
fn a_small_answer_and_a_large_one_come_out_as_they_came_in() {
    let now = Instant::now();
    let mut table = Requests::new(10);
    for len in [0, 1, INLINE_BYTES - 1, INLINE_BYTES, INLINE_BYTES + 1, 5000] {
        for compressed in [false, true] {
            let payload: Vec<u8> = (0..=250).cycle().take(len).collect();
            let id = table.insert(FRAME, None, len);
            assert_eq!(table.answer(id, &payload, compressed, now), Some(len));
            assert_eq!(table.answer(id, b"a second one", false, now), None);
            let Some(Outcome::Answered { answer, compressed: was }) = taken(&mut table, Ticket(id)) else {
                panic!()
            };
            assert_eq!((answer.as_slice(), was), (&payload[..], compressed));
            assert_eq!(table.answer(id, b"too late", false, now), None);
        }
    }
    assert_eq!(table.live(), 0);
}
