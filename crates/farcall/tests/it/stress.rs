//! Several threads, every verb, drops, short timeouts and kills at random: what callers are told must be true.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use actix::prelude::*;
use farcall::prelude::*;

use crate::fixture::{PhoneBook, builder, eventually};

/// Writes itself down; the answer comes at once, or from a task.
#[farcall::message(result = u64)]
#[derive(Debug)]
pub struct Note {
    pub sender: u64,
    pub nth: u64,
    pub later_ms: u64,
    pub ballast: Vec<u8>,
}

type Notes = Arc<Mutex<Vec<(u64, u64)>>>;

#[derive(RemoteActor)]
#[remote(Note)]
struct Ledger(Notes);

impl Actor for Ledger {
    type Context = Context<Self>;
}

impl Handler<Note> for Ledger {
    type Result = ResponseFuture<u64>;
    fn handle(&mut self, note: Note, _: &mut Context<Self>) -> Self::Result {
        self.0.lock().unwrap().push((note.sender, note.nth));
        Box::pin(async move {
            if note.later_ms > 0 {
                tokio::time::sleep(Duration::from_millis(note.later_ms)).await;
            }
            note.nth
        })
    }
}

/// xorshift64*: the same run for the same seed, as far as threads allow.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % sides
    }
}

/// What the sender knows of one note.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    /// It ran.
    Once,
    /// It did not run, and never will.
    Never,
    /// It may have run.
    Perhaps,
}

fn told<T>(result: &Result<T, CallError>) -> Told {
    match result {
        Ok(_) => Told::Once,
        Err(error) if matches!(error.class(), Class::NotSent | Class::Rejected) => Told::Never,
        Err(_) => Told::Perhaps,
    }
}

const TIMEOUT: Duration = Duration::from_secs(4);
const SLACK: Duration = Duration::from_secs(2);

/// One sender's life; gives what it was told of each note.
async fn send(node: Node, to: Target, sender: u64, kills: bool, until: Instant) -> Vec<Told> {
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15 ^ (sender + 1));
    let (mut all, mut promises) = (Vec::new(), Vec::new());
    while Instant::now() < until && all.len() < 3000 {
        let nth = all.len() as u64;
        let size = if dice.roll(40) == 0 { 100_000 } else { 16 };
        let ballast = vec![7; usize::try_from(dice.roll(size)).unwrap()];
        let later_ms = if dice.roll(8) == 0 { dice.roll(30) } else { 0 };
        let note = Note { sender, nth, later_ms, ballast };
        let begun = Instant::now();
        all.push(match dice.roll(if kills { 40 } else { 36 }) {
            0..=9 => told(&node.call(&to, "ledger", note).timeout(TIMEOUT).await),
            10..=19 => match node.cast(&to, "ledger", note) {
                Ok(_) if kills => Told::Perhaps,
                sent => told(&sent),
            },
            20..=23 => match node.cast(&to, "ledger", note).acked().await {
                Ok(()) if kills => Told::Perhaps,
                acked => told(&acked),
            },
            24..=31 => {
                promises.push((all.len(), node.async_call(&to, "ledger", note)));
                Told::Perhaps
            }
            32..=33 => {
                drop(node.async_call(&to, "ledger", note));
                Told::Perhaps
            }
            34..=35 => {
                let wait = Duration::from_micros(dice.roll(3000));
                told(&node.call(&to, "ledger", note).timeout(wait).await)
            }
            36 => {
                node.kill_clients(to.node());
                Told::Never
            }
            _ => {
                node.disconnect(to.node());
                Told::Never
            }
        });
        assert!(begun.elapsed() < TIMEOUT + SLACK, "a verb took {:?}", begun.elapsed());
        if promises.len() > 50 {
            for (index, promise) in promises.drain(..) {
                all[index] = told(&promise.await);
            }
        }
    }
    for (index, promise) in promises {
        all[index] = told(&promise.await);
    }
    all
}

/// A node with a ledger, on a system of its own.
fn ledger_node(book: PhoneBook, notes: Notes) -> (Node, tokio::sync::oneshot::Sender<()>) {
    let (started, node) = std::sync::mpsc::channel();
    let (end, ended) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        System::new().block_on(async move {
            let node = builder("beta").discovery(book.clone()).start().await.unwrap();
            book.enter(&node);
            let arbiter = Arbiter::new();
            let ledger = Ledger::start_in_arbiter(&arbiter.handle(), |_| Ledger(notes));
            node.register("ledger", ledger).unwrap().keep();
            started.send(node).unwrap();
            let _ = ended.await;
            arbiter.stop();
        });
    });
    (node.recv().unwrap(), end)
}

async fn stress(kills: bool) {
    let (book, notes) = (PhoneBook::default(), Notes::default());
    let (beta_node, _end) = ledger_node(book.clone(), notes.clone());
    let backoff = |config: &mut Config| {
        (config.backoff_min, config.backoff_max) = (Duration::from_millis(1), Duration::from_millis(2));
    };
    let alpha = builder("alpha").discovery(book).configure(backoff).start().await.unwrap();
    let to = Target::from(beta_node.name());
    let until = Instant::now() + Duration::from_millis(1500);
    let (done, senders) = std::sync::mpsc::channel();
    for sender in 0..3 {
        let (node, to, done) = (alpha.clone(), to.clone(), done.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            done.send((sender, runtime.block_on(send(node, to, sender, kills, until)))).unwrap();
        });
    }
    drop(done);
    let mut told_all: Vec<(u64, Vec<Told>)> = Vec::new();
    while told_all.len() < 3 {
        match senders.try_recv() {
            Ok(told) => told_all.push(told),
            Err(std::sync::mpsc::TryRecvError::Disconnected) => panic!("a sender failed"),
            Err(std::sync::mpsc::TryRecvError::Empty) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
        assert!(Instant::now() < until + TIMEOUT + SLACK, "a sender hangs");
    }
    eventually("nothing is in flight", || alpha.load(to.node()) == (0, 0)).await;
    alpha.disconnect(to.node());
    eventually("all connections are closed", || beta_node.inbound().is_empty()).await;
    eventually("every mailbox is empty", || beta_node.backlogs().values().all(|count| *count == 0)).await;
    check(&told_all, &notes.lock().unwrap(), kills);
    // Its end is seen here a moment after it is seen there.
    eventually("no connection is up", || alpha.metrics().clients_up == 0).await;
    assert!(alpha.shutdown().await && beta_node.shutdown().await);
}

fn check(told_all: &[(u64, Vec<Told>)], notes: &[(u64, u64)], kills: bool) {
    let mut counts: HashMap<(u64, u64), u32> = HashMap::new();
    for note in notes {
        *counts.entry(*note).or_default() += 1;
    }
    for (sender, told) in told_all {
        assert!(told.contains(&Told::Once), "sender {sender} had no success at all");
        for (nth, told) in (0..).zip(told) {
            let count = counts.get(&(*sender, nth)).copied().unwrap_or_default();
            let true_ = match told {
                Told::Once => count == 1,
                Told::Never => count == 0,
                Told::Perhaps => count <= 1,
            };
            assert!(true_, "note {nth} of {sender}: told {told:?}, ran {count} times");
        }
        if !kills {
            // One connection, one actor: in the order they were sent.
            let order: Vec<u64> =
                notes.iter().filter(|(from, _)| from == sender).map(|(_, nth)| *nth).collect();
            assert!(order.is_sorted(), "the notes of sender {sender} came out of order");
        }
    }
}

#[actix::test]
async fn what_callers_are_told_is_true_and_order_is_kept() {
    stress(false).await;
}

#[actix::test]
async fn what_callers_are_told_is_true_while_connections_are_killed() {
    stress(true).await;
}
