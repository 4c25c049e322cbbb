//! Keeps the name registered, whoever serves: carries out what [`TakeOver`] says, step by step.

use std::fmt::Display;
use std::sync::Arc;
use std::time::{Duration, Instant};

use farcall_proto::portmap::{Event, GiveUp, Mapper, Step, TakeOver, Wanted};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;

use super::register::{self, Asked};
use super::serve::Bound;
use super::{Duplex, NotRegistered};
use crate::context::{Context, random};
use crate::logging::limited;

pub(super) struct Keeper {
    context: Arc<Context>,
    wanted: Wanted,
    /// Between a bind and serving.
    bound: Option<Bound>,
    /// The connection of the registration, if somebody else serves.
    held: Option<Box<dyn Duplex>>,
    /// What went wrong last.
    trouble: String,
}

impl Keeper {
    pub(super) fn new(context: Arc<Context>, wanted: Wanted) -> Self {
        Self { context, wanted, bound: None, held: None, trouble: String::new() }
    }

    /// Tells once whether the name is in, and goes on until it is dropped; ends by itself only if the name is not in.
    pub(super) async fn keep(&mut self, tell: oneshot::Sender<Result<(), NotRegistered>>) {
        let mut tell = Some(tell);
        let (mut decide, mut step) = TakeOver::begin(Instant::now());
        loop {
            if let Step::GiveUp(why) = step {
                if let Some(tell) = tell.take() {
                    // Nobody waits any more if the start was cancelled.
                    let _ = tell.send(Err(self.not_registered(why)));
                }
                return;
            }
            if let Some(tell) = tell.take_if(|_| decide.is_in()) {
                let _ = tell.send(Ok(()));
            }
            let event = self.carry_out(step).await;
            if tell.is_none() {
                self.complain(event);
            }
            step = decide.handle(event, Instant::now(), jitter());
        }
    }

    async fn carry_out(&mut self, step: Step) -> Event {
        match step {
            Step::Bind => self.bind(),
            Step::Ask => self.ask().await,
            Step::Wait(pause) => {
                tokio::time::sleep(pause).await;
                Event::Waited
            }
            Step::Serve => self.serve().await,
            Step::Hold => self.hold().await,
            Step::GiveUp(_) => Event::Lost,
        }
    }

    fn bind(&mut self) -> Event {
        match Bound::bind(&self.context) {
            Ok(bound) => {
                self.bound = Some(bound);
                Event::Bound
            }
            Err((_, error)) if error.kind() == std::io::ErrorKind::AddrInUse => Event::InUse,
            Err((address, error)) => self.failed(
                Event::Refused,
                format!(
                    "cannot serve the port mapper on {address}: {error}; set mapper.listen and mapper.port"
                ),
            ),
        }
    }

    async fn ask(&mut self) -> Event {
        match register::ask(&self.context, &self.wanted).await {
            Asked::Held(stream, by) => {
                self.held = Some(stream);
                self.say(match by {
                    Mapper::Farcall => "registered at the port mapper, which another node serves",
                    Mapper::Epmd => "registered at the port mapper, which is epmd",
                });
                Event::Registered(by)
            }
            Asked::Taken(holder) => {
                let name = &self.wanted.name;
                self.failed(
                    Event::Taken,
                    format!("the name {name} is in use on this host: {holder}; stop that process, or take another name"),
                )
            }
            Asked::Refused(why) => self.failed(Event::Refused, why),
            Asked::Nobody(why) => self.failed(Event::Nobody, why),
        }
    }

    async fn serve(&mut self) -> Event {
        let Some(bound) = self.bound.take() else { return Event::Lost };
        self.say("serves the port mapper of this host");
        bound.serve(&self.context, &self.wanted).await;
        Event::Lost
    }

    /// Nothing comes on this connection but its end.
    async fn hold(&mut self) -> Event {
        if let Some(held) = &mut self.held {
            while held.read(&mut [0; 64]).await.is_ok_and(|read| read > 0) {}
        }
        self.held = None;
        log::warn!(target: "farcall", node:% = self.context.name; "the port mapper ended; looking for another");
        Event::Lost
    }

    /// Frees the name. A mapper hangs up when it has taken it out, which is waited for: a successor may come at once.
    pub(super) async fn release(&mut self) {
        let Some(mut held) = self.held.take() else { return };
        let freed = async {
            if held.shutdown().await.is_ok() {
                while held.read(&mut [0; 64]).await.is_ok_and(|read| read > 0) {}
            }
        };
        // A mapper that does not answer is left alone; it learns of the end from the system.
        let _ = tokio::time::timeout(RELEASE_WITHIN, freed).await;
    }

    fn failed(&mut self, event: Event, why: String) -> Event {
        self.trouble = why;
        event
    }

    fn say(&self, what: impl Display) {
        let (name, port) = (&self.wanted.name, self.wanted.presence.port);
        log::info!(target: "farcall", node:% = self.context.name, name:% = name, port = port; "{what}");
    }

    /// What keeps a running node from being found.
    fn complain(&self, event: Event) {
        if matches!(event, Event::Taken | Event::Refused | Event::Nobody) {
            limited!(
                self.context.logs, Instant::now(), "mapper", log::Level::Warn, node:% = self.context.name;
                "not registered at the port mapper, and trying again: {}", self.trouble
            );
        }
    }

    fn not_registered(&mut self, why: GiveUp) -> NotRegistered {
        let trouble = std::mem::take(&mut self.trouble);
        match why {
            GiveUp::Taken => NotRegistered::NameInUse(trouble),
            GiveUp::Refused | GiveUp::Nobody => NotRegistered::Refused(trouble),
        }
    }
}

/// How long a shutdown waits until the mapper has taken the name out.
const RELEASE_WITHIN: Duration = Duration::from_millis(500);

/// From 0 to 1. Without random numbers nodes come in step, and the port still decides between them.
fn jitter() -> f64 {
    random().map_or(1.0, |bytes| f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX))
}
