//! The pump: moves bytes between one socket and one link. It decides nothing.
//!
//! One task per connection reads and writes. It writes whatever has gathered in one call, reads large chunks and
//! lets the link handle every whole frame before it sleeps. Two rules make it fast (both measured): it yields
//! once before it flushes, so that all callers that are awake get into the same write (unless there is only one); and the answering side takes
//! in a slice at a time, so that both ends of a connection work at once instead of in turns.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use bytes::{BufMut, BytesMut};
use farcall_proto::link::liveness::IoState;
use farcall_proto::link::{Loan, LossCause, Outgoing, Spin};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Sleep;
use tokio_util::io::poll_read_buf;

use crate::heartbeat::Pulse;
use crate::spare;

/// What a pump drives: the asking or the answering half of a connection.
pub(crate) trait Side {
    /// Takes bytes in; whole frames are removed from `buffer`.
    fn handle_data(&mut self, buffer: &mut BytesMut, now: Instant) -> Result<(), LossCause>;

    /// The socket gave so many bytes.
    fn came(&mut self, _bytes: usize) {}

    /// The socket took so many bytes.
    fn went(&mut self, _bytes: usize) {}

    /// Goes on with frames taken in earlier, and with whole ones left in `buffer`.
    fn advance(&mut self, buffer: &mut BytesMut, now: Instant, pump: &Waker) -> Result<Progress, LossCause>;

    /// Lends the place of what is missing of a large frame that begins `buffer`, which is empty then.
    fn lend(&mut self, buffer: &mut BytesMut) -> Result<Option<Loan>, LossCause>;

    /// Takes back what was lent, complete.
    fn settle(&mut self, loan: Loan);

    /// Fills `out` with what is to be written next; if it stays empty, `pump` is woken when there is something.
    fn transmit(&mut self, out: &mut Outgoing, now: Instant, pump: &Waker);

    /// What waits to be written; if nothing does, `pump` is woken when there is something.
    fn fresh(&mut self, pump: &Waker) -> Fresh;

    /// When to call [`Side::handle_timeout`].
    fn poll_timeout(&mut self, io: &IoState) -> Instant;

    /// Time has passed.
    fn handle_timeout(&mut self, now: Instant, io: &IoState) -> Result<(), LossCause>;

    /// Everything is done and this side wants to close.
    fn wants_close(&mut self) -> Option<&'static str>;

    /// How long this node stood still, if so long that what it reads now is stale.
    fn suspended(&mut self, now: Instant) -> Option<Duration>;
}

/// What waits to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fresh {
    /// Nothing.
    Nothing,
    /// One request, or the last answer: nobody else is about to add to it.
    Lone,
    /// More, and more may come while others have their turn.
    Several,
}

/// What is left of the bytes taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// No whole frame: read on.
    Drained,
    /// Whole frames are left: come back after others had their turn.
    More,
    /// Something is full: do not read; the pump is woken, at the latest at this instant.
    Paused(Option<Instant>),
}

/// Why a pump ended, and how many bytes of its last batch the socket took.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) cause: LossCause,
    pub(crate) written: usize,
}

/// Moves the bytes of one connection until it ends.
pub(crate) struct Pump<I, S> {
    io: I,
    side: S,
    read: BytesMut,
    read_bytes: usize,
    /// The last read filled its buffer.
    read_full: bool,
    /// Where the rest of a large frame is read to.
    loan: Option<Loan>,
    write: Outgoing,
    yielded: bool,
    /// What came behind the handshake has not been looked at.
    unseen: bool,
    eof: bool,
    paused: Option<Option<Instant>>,
    stalled_since: Option<Instant>,
    /// Bytes moved since the last look.
    moved: bool,
    spin: Spin,
    timer: Pin<Box<Sleep>>,
    /// Whom the timer wakes, once it was polled since it was set.
    watching: Option<Waker>,
    armed: Instant,
    closing: Option<Closing>,
    /// Who ticks while the arbiter is busy; none for a connection that is no socket.
    pulse: Option<Arc<Pulse>>,
    /// Whether the pulse knows that a frame may be half-written.
    writing: bool,
    /// What the pulse could not write of a tick: goes first.
    late_tick: Vec<u8>,
}

struct Closing {
    why: &'static str,
    shut: bool,
    until: Instant,
}

/// Reads start small and grow with traffic; where only ticks come they are smaller still, so that a thousand idle
/// connections cost little.
const READ_BYTES_IDLE: usize = 256;
const READ_BYTES_MIN: usize = 4 * 1024;
const READ_BYTES_MAX: usize = 64 * 1024;

/// A pump gives way to others on its arbiter after so many bytes or rounds.
const TURN_BYTES: usize = 256 * 1024;
const TURN_ROUNDS: usize = 8;

/// So many pieces of a batch go into one system call: two large fragments with their heads, and what is small before them.
const SLICES_MAX: usize = 8;

/// How long an orderly close waits for the peer's.
const LINGER: Duration = Duration::from_secs(2);

impl<I, S> Pump<I, S>
where
    I: AsyncRead + AsyncWrite + Unpin,
    S: Side + Unpin,
{
    /// A pump over a connection whose handshake is done; `read` holds what came behind it.
    pub(crate) fn new(io: I, side: S, read: BytesMut, pulse: Option<Arc<Pulse>>) -> Self {
        let now = Instant::now();
        Self {
            io,
            side,
            unseen: !read.is_empty(),
            read,
            read_bytes: READ_BYTES_IDLE,
            read_full: false,
            loan: None,
            write: Outgoing::default(),
            yielded: false,
            eof: false,
            paused: None,
            stalled_since: None,
            moved: false,
            spin: Spin::new(Duration::ZERO),
            timer: Box::pin(tokio::time::sleep_until(now.into())),
            watching: None,
            armed: now,
            closing: None,
            pulse,
            writing: false,
            late_tick: Vec::new(),
        }
    }

    /// With nothing to do it looks again for so long before it sleeps.
    pub(crate) fn spinning(mut self, longest: Option<Duration>) -> Self {
        self.spin = Spin::new(longest.unwrap_or_default());
        self
    }

    /// Nothing is left to do for now: sleeps, or looks again.
    fn rest(&mut self, cx: &Context<'_>, now: Instant) {
        if std::mem::take(&mut self.moved) {
            self.spin.busy(now);
        }
        if self.paused.is_none() && self.closing.is_none() && self.spin.idle(now) {
            cx.waker().wake_by_ref();
        }
    }

    fn io_state(&self) -> IoState {
        IoState {
            written: self.write.written(),
            stalled_since: self.stalled_since,
            reading_paused: self.paused.is_some(),
            // A timer fires when the reactor has looked at the socket, and what it found was read before this.
            looked_at: Some(self.armed),
        }
    }

    /// Whether this side is quiet because its process was suspended, and not because its arbiter was busy.
    fn stood_still(&self, now: Instant) -> bool {
        self.pulse.as_ref().is_some_and(|pulse| pulse.stood_still(self.armed, now))
    }

    /// What waits to be written, when the socket has taken all that it was given before.
    fn fresh(&mut self, cx: &Context<'_>) -> Fresh {
        if self.write.is_written() { self.side.fresh(cx.waker()) } else { Fresh::Nothing }
    }

    /// Writes until nothing is left or the socket takes no more.
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        budget: &mut usize,
    ) -> Poll<Result<(), LossCause>> {
        loop {
            if self.write.is_written() {
                self.side.transmit(&mut self.write, now, cx.waker());
                self.tell_pulse(now);
                if self.write.is_empty() {
                    self.stalled_since = None;
                    return Poll::Ready(Ok(()));
                }
            }
            let late = !self.late_tick.is_empty();
            let io = Pin::new(&mut self.io);
            let result = if late {
                io.poll_write(cx, &self.late_tick)
            } else if self.write.is_scattered() {
                let mut slices = [IoSlice::new(&[]); SLICES_MAX];
                let count = self.write.pieces(&mut slices);
                io.poll_write_vectored(cx, slices.get(..count).unwrap_or_default())
            } else {
                io.poll_write(cx, self.write.piece())
            };
            match result {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(LossCause::Closed)),
                Poll::Ready(Ok(bytes)) if late => drop(self.late_tick.drain(..bytes)),
                Poll::Ready(Ok(bytes)) => {
                    self.write.advance(bytes);
                    self.moved = true;
                    self.side.went(bytes);
                    self.stalled_since = None;
                    *budget = budget.saturating_sub(bytes);
                    if *budget == 0 {
                        return Poll::Ready(Ok(()));
                    }
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(io_cause(&error))),
                Poll::Pending => {
                    self.stalled_since.get_or_insert(now);
                    return Poll::Pending;
                }
            }
        }
    }

    /// Nothing that was read or waits in the socket reaches an actor when this node stood still for so long that the
    /// senders gave it up.
    fn check_awake(&mut self, now: Instant) -> Result<(), LossCause> {
        // The timer runs with each tick at the latest: only one that is overdue can be far behind.
        if now <= self.armed || self.closing.is_some() {
            return Ok(());
        }
        match self.side.suspended(now).filter(|_| self.stood_still(now)) {
            Some(quiet) => Err(LossCause::Suspended { for_ms: quiet.as_millis() }),
            None => Ok(()),
        }
    }

    /// Tells the pulse when writing begins and when everything is written.
    fn tell_pulse(&mut self, now: Instant) {
        let writing = !self.write.is_empty();
        if let Some(pulse) = &self.pulse
            && writing != self.writing
        {
            self.writing = writing;
            if writing {
                self.late_tick = pulse.begin();
            } else {
                pulse.end(now);
            }
        }
    }

    /// Goes on with what was read, then reads once. Ready: something happened, there may be more.
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        budget: &mut usize,
    ) -> Poll<Result<Progress, LossCause>> {
        let progress = self.side.advance(&mut self.read, now, cx.waker())?;
        self.paused = match progress {
            Progress::Paused(until) => Some(until),
            Progress::Drained | Progress::More => None,
        };
        if progress != Progress::Drained {
            return Poll::Ready(Ok(progress));
        }
        if self.eof {
            return Poll::Ready(Err(LossCause::Closed));
        }
        self.borrow()?;
        let bytes = match ready!(self.poll_read_io(cx)) {
            Ok(bytes) => bytes,
            Err(error) => return Poll::Ready(Err(io_cause(&error))),
        };
        if bytes == 0 {
            self.eof = true;
            return Poll::Ready(Ok(Progress::Drained));
        }
        *budget = budget.saturating_sub(bytes);
        self.moved = true;
        self.side.came(bytes);
        // A process may be stopped at any point, also just before it reads.
        let now = Instant::now();
        self.check_awake(now)?;
        if let Some(loan) = self.loan.take_if(|loan| loan.missing() == 0) {
            self.side.settle(loan);
        }
        self.side.handle_data(&mut self.read, now)?;
        Poll::Ready(Ok(Progress::Drained))
    }

    /// Borrows the place of the rest of a large frame, of which the beginning was read.
    fn borrow(&mut self) -> Result<(), LossCause> {
        if self.loan.is_none() && Loan::is_worth_asking(&self.read) {
            self.loan = self.side.lend(&mut self.read)?;
        }
        if self.loan.is_some() {
            // What comes behind it probably begins with the head of the next: nothing much is read there.
            (self.read_bytes, self.read_full) = (READ_BYTES_MIN, false);
        } else if std::mem::take(&mut self.read_full) {
            self.read_bytes = (self.read_bytes * 4).min(READ_BYTES_MAX);
        }
        Ok(())
    }

    /// Reads once: the rest of a large frame where that belongs, everything else into the common buffer.
    fn poll_read_io(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let io = Pin::new(&mut self.io);
        if let Some(loan) = &mut self.loan {
            let missing = loan.missing();
            let bytes = ready!(poll_read_buf(io, cx, &mut loan.data().limit(missing)))?;
            loan.received(bytes);
            return Poll::Ready(Ok(bytes));
        }
        if self.read.capacity() - self.read.len() < self.read_bytes {
            self.read.reserve(self.read_bytes);
        }
        let bytes = ready!(poll_read_buf(io, cx, &mut (&mut self.read).limit(self.read_bytes)))?;
        self.read_full = bytes >= self.read_bytes;
        Poll::Ready(Ok(bytes))
    }

    fn next_timeout(&mut self) -> Instant {
        let mut next = self.side.poll_timeout(&self.io_state());
        if let Some(Some(until)) = self.paused {
            next = next.min(until);
        }
        if let Some(closing) = &self.closing {
            next = next.min(closing.until);
        }
        next
    }

    /// Does what is due. A timer that fired tells more than the clock: the reactor has looked at the socket at that
    /// time, so what had come until then was read before this. It may have fired long ago, before a handler kept the
    /// arbiter busy; a busy arbiter must not take its own silence for the peer's.
    fn poll_timer(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<Result<(), LossCause>> {
        let next = self.next_timeout();
        if next < self.armed {
            self.armed = next;
            self.timer.as_mut().reset(next.into());
            self.watching = None;
        }
        if now < self.armed && self.watching.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            // It runs and knows whom to wake.
            return Poll::Pending;
        }
        if self.timer.as_mut().poll(cx).is_pending() {
            self.watching = Some(cx.waker().clone());
            return Poll::Pending;
        }
        self.watching = None;
        if next <= now {
            let io = self.io_state();
            self.side.handle_timeout(now, &io)?;
            if self.side.fresh(cx.waker()) != Fresh::Nothing {
                cx.waker().wake_by_ref();
            }
            if self.read.is_empty() && self.read_bytes > READ_BYTES_IDLE {
                // Nothing much happens: give the large buffer back, and keep room for a tick.
                self.read_bytes = READ_BYTES_IDLE;
                self.read = BytesMut::new();
                self.write.shrink();
                spare::clear();
            }
        }
        self.armed = self.next_timeout().max(now + TIMER_MIN);
        self.timer.as_mut().reset(self.armed.into());
        if self.timer.as_mut().poll(cx).is_ready() {
            // Due again while we looked.
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Ends an orderly close: our half is shut, the peer's bytes are read and dropped until its end or the limit.
    fn poll_close(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<LossCause> {
        let Some(closing) = &mut self.closing else { return Poll::Pending };
        if now >= closing.until {
            return Poll::Ready(LossCause::Ended(closing.why));
        }
        if !closing.shut {
            match Pin::new(&mut self.io).poll_shutdown(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(_)) => return Poll::Ready(LossCause::Ended(closing.why)),
                Poll::Ready(Ok(())) => closing.shut = true,
            }
        }
        loop {
            self.read.clear();
            self.read.reserve(READ_BYTES_MIN);
            match ready!(poll_read_buf(Pin::new(&mut self.io), cx, &mut self.read)) {
                Ok(0) | Err(_) => return Poll::Ready(LossCause::Ended(closing.why)),
                Ok(_) => {}
            }
        }
    }

    fn turn(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<LossCause> {
        if self.closing.is_none() {
            match self.turn_open(cx, now) {
                Poll::Ready(Err(cause)) => return Poll::Ready(cause),
                Poll::Ready(Ok(())) => {}
                Poll::Pending => return Poll::Pending,
            }
            if self.write.is_written()
                && let Some(why) = self.side.wants_close()
            {
                self.closing = Some(Closing { why, shut: false, until: now + LINGER });
            }
        }
        if let Poll::Ready(cause) = self.poll_close(cx, now) {
            return Poll::Ready(cause);
        }
        match self.poll_timer(cx, now) {
            Poll::Ready(Err(cause)) => Poll::Ready(cause),
            _ => Poll::Pending,
        }
    }

    /// Reads and writes in turn until neither goes on, or the budget is used (then it wakes itself).
    fn turn_open(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<Result<(), LossCause>> {
        if std::mem::take(&mut self.unseen) {
            self.side.handle_data(&mut self.read, now)?;
        }
        let fresh = self.fresh(cx);
        if !self.yielded && fresh == Fresh::Several {
            self.yielded = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.yielded = false;
        let mut budget = TURN_BYTES;
        // A batch stays in the link's account until the next one is asked for, also when that is empty.
        let mut write = fresh != Fresh::Nothing || !self.write.is_empty();
        for _ in 0..TURN_ROUNDS {
            if write && let Poll::Ready(Err(cause)) = self.poll_write(cx, now, &mut budget) {
                return Poll::Ready(Err(cause));
            }
            write = false;
            match self.poll_read(cx, now, &mut budget) {
                Poll::Ready(Err(cause)) => return Poll::Ready(Err(cause)),
                Poll::Ready(Ok(Progress::More)) => break,
                // What was read may have been answered on the spot: that is written before this pump sleeps.
                Poll::Ready(Ok(Progress::Paused(_))) | Poll::Pending if self.fresh(cx) != Fresh::Nothing => {
                    write = true;
                }
                // A budget used up by writing leaves nobody to wake this pump: it does so itself, below.
                Poll::Ready(Ok(Progress::Paused(_))) | Poll::Pending if budget > 0 => {
                    return Poll::Ready(Ok(()));
                }
                _ if budget == 0 => break,
                _ => {}
            }
        }
        cx.waker().wake_by_ref();
        Poll::Ready(Ok(()))
    }
}

/// The timer is never armed closer than this: deadlines are kept to a few milliseconds.
const TIMER_MIN: Duration = Duration::from_millis(1);

impl<I, S> Future for Pump<I, S>
where
    I: AsyncRead + AsyncWrite + Unpin,
    S: Side + Unpin,
{
    type Output = Ended;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Ended> {
        let this = &mut *self;
        let now = Instant::now();
        let cause = match this.check_awake(now) {
            Err(cause) => cause,
            Ok(()) => match this.turn(cx, now) {
                Poll::Ready(cause) => cause,
                Poll::Pending => {
                    this.rest(cx, now);
                    return Poll::Pending;
                }
            },
        };
        Poll::Ready(Ended { cause, written: this.write.written() })
    }
}

fn io_cause(error: &std::io::Error) -> LossCause {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => LossCause::Closed,
        _ => LossCause::Io(Arc::from(error.to_string())),
    }
}

#[cfg(test)]
mod tests;
