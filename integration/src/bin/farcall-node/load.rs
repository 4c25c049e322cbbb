//! Calls, casts and work without a pause, each written down.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use farcall::prelude::*;
use farcall_integration::control::Load;
use farcall_integration::journal::{Call, Line, now_us};

use crate::Here;
use crate::actors::{Note, Run};

/// How often it looks what is due.
const STEP: Duration = Duration::from_millis(5);

/// One call in so many is answered late.
const HELD_EVERY: u64 = 4;

/// How late.
const HELD_MS: u64 = 50;

/// How long a piece of work goes from peer to peer.
const WORK_LIMIT: Duration = Duration::from_secs(10);

/// After all peers refused a piece of work, before they are asked again.
const WORK_PAUSE: Duration = Duration::from_millis(20);

/// What calls and casts.
pub(crate) struct Loader {
    here: Rc<Here>,
    load: Cell<Load>,
    calls: Cell<u64>,
    works: Cell<u64>,
    pending: Cell<u64>,
    seqs: Vec<Cell<u64>>,
}

impl Loader {
    /// Starts it; it does nothing until it is told to.
    pub(crate) fn start(here: Rc<Here>) -> Rc<Self> {
        let seqs = here.peers.iter().map(|_| Cell::new(0)).collect();
        let loader = Rc::new(Self {
            here,
            load: Cell::default(),
            calls: Cell::new(0),
            works: Cell::new(0),
            pending: Cell::new(0),
            seqs,
        });
        actix_rt::spawn(loader.clone().go_on());
        loader
    }

    pub(crate) fn set(&self, load: Load) {
        self.load.set(load);
    }

    /// Calls and pieces of work that have not ended.
    pub(crate) fn pending(&self) -> u64 {
        self.pending.get()
    }

    async fn go_on(self: Rc<Self>) {
        let mut due = Due::default();
        let mut load = Load::default();
        loop {
            tokio::time::sleep(STEP).await;
            if load != self.load.get() {
                load = self.load.get();
                due = Due::default();
            }
            for _ in 0..due.calls.take(load.calls_per_s) {
                for peer in &self.here.peers {
                    actix_rt::spawn(self.clone().call(peer.clone(), load.limit_ms));
                }
            }
            for _ in 0..due.casts.take(load.casts_per_s) {
                for (peer, seq) in self.here.peers.iter().zip(&self.seqs) {
                    self.cast(peer, seq);
                }
            }
            // A node that is about to end takes on nothing more.
            for _ in 0..due.work.take(if self.here.node.is_draining() { 0 } else { load.work_per_s }) {
                actix_rt::spawn(self.clone().work());
            }
        }
    }

    fn run(&self) -> Run {
        let id = self.calls.get() + 1;
        self.calls.set(id);
        let hold_ms = if id.is_multiple_of(HELD_EVERY) { HELD_MS } else { 0 };
        Run { from: self.here.who.clone(), id, hold_ms, filler: vec![0x5a; 64] }
    }

    async fn call(self: Rc<Self>, peer: Target, limit_ms: u64) {
        let run = self.run();
        // Its outcome is in the journal.
        let _ = self.write_down(&peer, run, limit_ms).await;
    }

    /// Calls, and writes down what came of it.
    pub(crate) async fn write_down(&self, peer: &Target, run: Run, limit_ms: u64) -> Result<u64, CallError> {
        self.pending.set(self.pending.get() + 1);
        let (id, began, node) = (run.id, now_us(), &self.here.node);
        let mut call = Box::pin(std::future::IntoFuture::into_future(
            node.call(peer, "ledger", run).timeout(Duration::from_millis(limit_ms)),
        ));
        // Polled once, it is with its connection, whose number is asked for before anything else can happen.
        let at_once = futures::poll!(&mut call);
        let epoch = node.epoch(peer).unwrap_or(0);
        let outcome = match at_once {
            std::task::Poll::Ready(outcome) => outcome,
            std::task::Poll::Pending => call.await,
        };
        let (class, reason) = words(outcome.as_ref().err());
        let limit = limit_ms * 1000;
        let peer = peer.node().to_string();
        let reason = reason.to_owned();
        self.here.journal.note(&Line::Call(Call {
            peer,
            epoch,
            id,
            began,
            ended: now_us(),
            limit,
            class,
            reason,
        }));
        self.pending.set(self.pending.get() - 1);
        outcome
    }

    /// A call of this size that is written down.
    pub(crate) async fn large(&self, peer: &Target, bytes: usize, limit_ms: u64) -> Result<u64, CallError> {
        let run = Run { filler: vec![0x5a; bytes], ..self.run() };
        self.write_down(peer, run, limit_ms).await
    }

    fn cast(&self, peer: &Target, seq: &Cell<u64>) {
        let next = seq.get() + 1;
        let note = Note { from: self.here.who.clone(), seq: next };
        if self.here.node.cast(peer, "ledger", note).is_ok() {
            seq.set(next);
            let epoch = self.here.node.epoch(peer).unwrap_or(0);
            self.here.journal.note(&Line::Sent { peer: peer.node().to_string(), epoch, seq: next });
        }
    }

    /// What surely did not run is tried at the next peer, as a service does; what may have run is not tried again.
    async fn work(self: Rc<Self>) {
        let id = self.works.get() + 1;
        self.works.set(id);
        self.pending.set(self.pending.get() + 1);
        let (began, mut tries) = (Instant::now(), 0);
        let first = usize::try_from(id).unwrap_or(0);
        let peers = &self.here.peers;
        let class = loop {
            let Some(peer) = peers.get((first + tries) % peers.len().max(1)) else {
                break "not_sent".to_owned();
            };
            tries += 1;
            let run = self.run();
            let left = WORK_LIMIT.saturating_sub(began.elapsed());
            let limit_ms = u64::try_from(left.as_millis()).unwrap_or(0).clamp(1, 3000);
            let Err(error) = self.write_down(peer, run, limit_ms).await else { break "ok".to_owned() };
            if error.may_have_run() || began.elapsed() >= WORK_LIMIT {
                break words(Some(&error)).0;
            }
            if tries.is_multiple_of(peers.len()) {
                tokio::time::sleep(WORK_PAUSE).await;
            }
        };
        let tries = u32::try_from(tries).unwrap_or(u32::MAX);
        self.here.journal.note(&Line::Work { id, ended: now_us(), class, tries });
        self.pending.set(self.pending.get() - 1);
    }
}

/// What follows from a rate, a piece at a time.
#[derive(Default)]
struct Rate {
    begun: Option<Instant>,
    taken: u64,
}

impl Rate {
    /// How many are due now.
    fn take(&mut self, per_s: u32) -> u64 {
        let begun = *self.begun.get_or_insert_with(Instant::now);
        let all = u64::try_from(begun.elapsed().as_millis() * u128::from(per_s) / 1000).unwrap_or(u64::MAX);
        // After a pause of the whole process, what was missed is not made up for in one go.
        let due = all.saturating_sub(self.taken).min(u64::from(per_s) / 5 + 1);
        self.taken = all;
        due
    }
}

#[derive(Default)]
struct Due {
    calls: Rate,
    casts: Rate,
    work: Rate,
}

/// `ok`, or the class and the reason of an error, as words.
pub(crate) fn words(error: Option<&CallError>) -> (String, &'static str) {
    let Some(error) = error else { return ("ok".to_owned(), "-") };
    let class = match error.class() {
        Class::NotSent => "not_sent",
        Class::Rejected => "rejected",
        Class::Failed => "failed",
        Class::Unknown => "unknown",
    };
    (class.to_owned(), error.reason())
}
