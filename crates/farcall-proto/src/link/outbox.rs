//! Frames out: what waits to be written, and in which order it goes.
//!
//! ```text
//!  control ───────────────► first, always (names, ticks, cancels)
//!  segments ──────────────► small frames, in the order they were appended
//!  lanes ─ round robin ───► large frames, one fragment per lane and turn
//! ```
//!
//! One invariant makes FIFO per actor survive fragmenting: while a large frame of a lane waits, later frames of
//! the same lane, small ones too, queue behind it. A lane is an actor for requests, a request for answers.

use std::collections::VecDeque;

use bytes::Bytes;
use hashbrown::HashMap;

use super::FRAGMENT_BYTES_MIN;
use super::frame::{self, HEAD_BYTES, Head, Kind};
use super::outgoing::Outgoing;

/// What keeps its order when one of its frames is large.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Requests and casts to one actor, by the number the connection gave it.
    Actor(u32),
    /// The answers to one request.
    Answer(u32),
}

/// The bytes of a message: copied when small, shared when large.
#[derive(Debug)]
pub enum Body<'a> {
    /// Copied into the queue.
    Borrowed(&'a [u8]),
    /// Kept as it is when it needs fragments; a multicall hands the same bytes to every link.
    Shared(Bytes),
}

impl Body<'_> {
    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }

    fn into_bytes(self) -> Bytes {
        match self {
            Self::Borrowed(bytes) => Bytes::copy_from_slice(bytes),
            Self::Shared(bytes) => bytes,
        }
    }
}

/// Where a frame was queued: tells later whether any of it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// Among the small frames, at this offset of everything ever appended there.
    Segment(u64),
    /// In a lane, under this number.
    Lane(Lane, u64),
}

/// A queued message that is larger than the peer takes.
#[derive(Debug, Clone, Copy)]
pub struct Oversized {
    /// Where it is.
    pub place: Place,
    /// Its size.
    pub bytes: usize,
    /// For a cast its route, and how many casts of that route wait behind it.
    pub cast: Option<(u32, u64)>,
}

/// What the receiving side said it can put together at a time.
#[derive(Debug, Clone, Copy)]
pub struct Reassembly {
    /// Sum of the announced totals of open streams.
    pub bytes_max: usize,
    /// Open streams.
    pub streams_max: usize,
}

/// The sending half of a link.
#[derive(Debug)]
pub struct Outbox {
    control: Vec<u8>,
    segments: VecDeque<Vec<u8>>,
    spare: Vec<u8>,
    /// Offset of the first byte in `segments`, and of the end.
    taken: u64,
    appended: u64,
    lanes: HashMap<Lane, VecDeque<Entry>, ahash::RandomState>,
    turn: VecDeque<Lane>,
    next_entry: u64,
    next_stream: u32,
    started: usize,
    started_bytes: usize,
    /// Entries in all lanes.
    entries: usize,
    reassembly: Reassembly,
    fragment_bytes: usize,
    /// Bytes queued here, and those of the batch that is being written.
    queued: usize,
    batch: Batch,
}

#[derive(Debug, Default)]
struct Batch {
    bytes: usize,
    control_bytes: usize,
    segment_start: u64,
    /// Entries of lanes begun in this batch, with the offset of their first byte in it.
    begun: Vec<(u64, usize)>,
}

/// What of everything queued had reached the socket when the connection ended.
#[derive(Debug)]
pub struct Written {
    small_end: u64,
    /// Numbers of the entries of lanes of which no byte was, sorted.
    unwritten: Vec<u64>,
}

impl Written {
    /// Whether a byte of the frame queued at this place may have been written.
    pub fn includes(&self, place: Place) -> bool {
        match place {
            Place::Segment(offset) => offset < self.small_end,
            Place::Lane(_, number) => self.unwritten.binary_search(&number).is_err(),
        }
    }
}

#[derive(Debug)]
struct Entry {
    number: u64,
    head: Head,
    body: Bytes,
    /// Bytes of head and body without the `len`.
    total: usize,
    sent: usize,
    stream: u32,
}

impl Entry {
    fn is_large(&self, fragment_bytes: usize) -> bool {
        self.total > fragment_bytes
    }

    /// Leaves the shortest frame in place of this one; gives how many bytes that saves.
    fn make_void(&mut self) -> usize {
        let before = self.total;
        self.head = Head::void();
        self.body = Bytes::new();
        self.total = HEAD_BYTES - 4;
        before - self.total
    }

    /// Appends `count` bytes of the frame from where the last fragment ended.
    fn share_next(&mut self, count: usize, out: &mut Outgoing) {
        let head = self.head.as_bytes().get(4..).unwrap_or_default();
        let from_head = head.get(self.sent..).unwrap_or_default();
        let from_head = from_head.get(..count.min(from_head.len())).unwrap_or_default();
        out.copy(from_head);
        let body_start = (self.sent + from_head.len()).saturating_sub(head.len());
        let rest = count - from_head.len();
        out.share(&self.body, body_start, body_start + rest);
        self.sent += count;
    }
}

/// A segment is closed when it is this long: one write, and the most that control waits behind.
const SEGMENT_BYTES: usize = 128 * 1024;

/// How many bytes of fragments one batch takes.
const LANE_BYTES_PER_BATCH: usize = 128 * 1024;

/// Answers to pings stop when this much control waits: more pings than a table has slots by default.
const PONG_BYTES_MAX: usize = 1 << 20;

/// What an entry of a lane takes besides its bytes.
const ENTRY_COST: usize = 128;

/// A buffer that grew beyond this is not kept.
const SPARE_BYTES_MAX: usize = 2 * SEGMENT_BYTES;

impl Outbox {
    /// An empty outbox that cuts frames above `fragment_bytes`.
    pub fn new(fragment_bytes: usize, reassembly: Reassembly) -> Self {
        let mut outbox = Self {
            control: Vec::new(),
            segments: VecDeque::new(),
            spare: Vec::new(),
            taken: 0,
            appended: 0,
            lanes: HashMap::default(),
            turn: VecDeque::new(),
            next_entry: 0,
            next_stream: 0,
            started: 0,
            started_bytes: 0,
            entries: 0,
            reassembly,
            fragment_bytes,
            queued: 0,
            batch: Batch::default(),
        };
        outbox.limit(fragment_bytes, reassembly);
        outbox
    }

    /// The limits of both sides, known after the handshake.
    pub fn limit(&mut self, fragment_bytes: usize, reassembly: Reassembly) {
        // A fragment that holds nothing, or none at a time, would wait for ever.
        self.fragment_bytes = fragment_bytes.max(FRAGMENT_BYTES_MIN);
        self.reassembly = Reassembly { streams_max: reassembly.streams_max.max(1), ..reassembly };
    }

    /// Queued messages larger than this.
    pub fn oversized(&self, message_bytes_max: usize) -> Vec<Oversized> {
        let mut over = Vec::new();
        let mut casts: HashMap<u32, u64, ahash::RandomState> = HashMap::default();
        for (lane, queue) in &self.lanes {
            casts.clear();
            for entry in queue.iter().rev() {
                let route = entry.head.cast_route();
                if entry.body.len() > message_bytes_max {
                    let cast = route.map(|route| (route, casts.get(&route).copied().unwrap_or_default()));
                    let place = Place::Lane(*lane, entry.number);
                    over.push(Oversized { place, bytes: entry.body.len(), cast });
                }
                if let Some(route) = route {
                    *casts.entry(route).or_default() += 1;
                }
            }
        }
        over
    }

    /// Gives the questions about casts that wait in lanes the numbers that hold now; those without one are taken back.
    pub fn renumber_confirms(&mut self, mut number: impl FnMut(u32, u64) -> Option<u64>) {
        for entry in self.lanes.values_mut().flatten() {
            let Some((route, nth)) = entry.head.confirmed() else { continue };
            match number(route, nth) {
                Some(nth) => entry.head.confirm_another(nth),
                None => self.queued -= entry.make_void(),
            }
        }
    }

    /// Writes another `deadline_ms` into a request that was not handed out yet.
    pub fn restamp(&mut self, place: Place, deadline_ms: u32) {
        match place {
            Place::Segment(offset) => {
                if let Some(frame) = self.queued_frame(offset) {
                    frame::restamp(frame, deadline_ms);
                }
            }
            Place::Lane(lane, number) => {
                let queue = self.lanes.get_mut(&lane);
                let entry = queue.and_then(|queue| {
                    let at = queue.binary_search_by_key(&number, |entry| entry.number).ok()?;
                    queue.get_mut(at)
                });
                if let Some(entry) = entry.filter(|entry| entry.sent == 0) {
                    entry.head.restamp(deadline_ms);
                }
            }
        }
    }

    /// Answers a ping, unless so many answers wait that whoever asks does not read them.
    pub fn pong(&mut self, token: u64) {
        if self.control.len() < PONG_BYTES_MAX {
            self.control(|out| frame::write_pong(token, out));
        }
    }

    /// Bytes not yet written, those of the batch in the writer's hands included. The heads of fragments count from
    /// when they are made.
    pub fn unsent_bytes(&self) -> usize {
        self.queued + self.batch.bytes
    }

    /// What [`Outbox::unsent_bytes`] costs to keep: small frames that wait behind a large one are kept one by one.
    pub fn held_bytes(&self) -> usize {
        self.unsent_bytes() + self.entries * ENTRY_COST
    }

    /// Nothing waits here (a batch may still be in the writer's hands).
    pub fn is_empty(&self) -> bool {
        self.queued == 0
    }

    /// Appends frames that go ahead of everything else.
    pub fn control(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let before = self.control.len();
        write(&mut self.control);
        self.queued += self.control.len() - before;
    }

    /// Appends whole small frames, already encoded.
    pub fn append(&mut self, frames: &[u8]) -> Place {
        let place = Place::Segment(self.appended);
        self.open_segment().extend_from_slice(frames);
        self.note_appended(frames.len());
        place
    }

    /// Queues one frame where its lane and its size put it.
    pub fn push(&mut self, lane: Lane, head: Head, body: Body<'_>) -> Place {
        let bytes = head.as_bytes().len() + body.as_slice().len();
        let large = bytes - 4 > self.fragment_bytes;
        if large || (!self.lanes.is_empty() && self.lanes.contains_key(&lane)) {
            return self.push_lane(lane, head, body.into_bytes());
        }
        let place = Place::Segment(self.appended);
        head.write(body.as_slice(), self.open_segment());
        self.note_appended(bytes);
        place
    }

    /// Queues one frame that is encoded already, behind what its lane still holds.
    pub fn push_encoded(&mut self, lane: Lane, encoded: &[u8]) {
        let small = encoded.len() <= self.fragment_bytes;
        if small && (self.lanes.is_empty() || !self.lanes.contains_key(&lane)) {
            self.append(encoded);
        } else {
            self.push_lane(lane, Head::raw(), Bytes::copy_from_slice(encoded.get(4..).unwrap_or_default()));
        }
    }

    fn push_lane(&mut self, lane: Lane, head: Head, body: Bytes) -> Place {
        let number = self.next_entry;
        self.next_entry += 1;
        let total = head.as_bytes().len() - 4 + body.len();
        let entry = Entry { number, head: head.sealed(body.len()), body, total, sent: 0, stream: 0 };
        self.queued += 4 + total;
        self.entries += 1;
        let queue = self.lanes.entry(lane).or_default();
        if queue.is_empty() {
            self.turn.push_back(lane);
        }
        queue.push_back(entry);
        Place::Lane(lane, number)
    }

    fn open_segment(&mut self) -> &mut Vec<u8> {
        if self.segments.back().is_none_or(|last| last.len() >= SEGMENT_BYTES) {
            self.segments.push_back(std::mem::take(&mut self.spare));
        }
        let last = self.segments.len() - 1;
        #[expect(clippy::indexing_slicing, reason = "a segment was pushed if there was none")]
        &mut self.segments[last]
    }

    fn note_appended(&mut self, bytes: usize) {
        self.appended += bytes as u64;
        self.queued += bytes;
    }

    /// Hands the next bytes to the writer, who has written the last ones in full. Empty: nothing to do.
    pub fn poll_outgoing(&mut self, out: &mut Outgoing) {
        let control_bytes = self.control.len();
        self.batch.control_bytes = control_bytes;
        self.batch.segment_start = self.taken;
        self.batch.begun.clear();
        if control_bytes == 0 && self.lanes.is_empty() {
            // Small frames alone go as they were gathered, without being copied once more.
            let segment = self.segments.pop_front().unwrap_or_default();
            self.taken += segment.len() as u64;
            let old = out.replace(segment);
            self.spare(old);
            self.queued -= out.len();
        } else {
            out.clear();
            out.append(&mut self.control);
            if self.control.capacity() > SPARE_BYTES_MAX {
                self.control = Vec::new();
            }
            if let Some(mut segment) = self.segments.pop_front() {
                self.taken += segment.len() as u64;
                out.append(&mut segment);
                self.spare(segment);
            }
            self.queued -= out.len();
            self.take_fragments(out);
        }
        self.batch.bytes = out.len();
    }

    /// As [`Outbox::poll_outgoing`], in one piece.
    pub fn poll_transmit(&mut self, buffer: &mut Vec<u8>) {
        let mut out = Outgoing::from(std::mem::take(buffer));
        self.poll_outgoing(&mut out);
        *buffer = out.flatten();
    }

    /// Keeps the buffer for the next segment, if it is better than what is there.
    fn spare(&mut self, mut buffer: Vec<u8>) {
        if buffer.capacity() <= SPARE_BYTES_MAX && buffer.capacity() > self.spare.capacity() {
            buffer.clear();
            self.spare = buffer;
        }
    }

    /// One fragment of each lane in turn, until the budget of a batch is used.
    fn take_fragments(&mut self, out: &mut Outgoing) {
        let start = out.len();
        let mut waiting = 0;
        while waiting < self.turn.len() && out.len() - start < LANE_BYTES_PER_BATCH {
            let Some(lane) = self.turn.pop_front() else { break };
            let moved = self.take_from(lane, out);
            if self.lanes.get(&lane).is_none_or(VecDeque::is_empty) {
                self.lanes.remove(&lane);
            } else {
                self.turn.push_back(lane);
            }
            waiting = if moved { 0 } else { waiting + 1 };
        }
    }

    /// Whether anything of the lane could go: not if its next large frame does not fit the peer's reassembly now.
    fn take_from(&mut self, lane: Lane, out: &mut Outgoing) -> bool {
        let fragment_bytes = self.fragment_bytes;
        let Some(queue) = self.lanes.get_mut(&lane) else { return false };
        let Some(entry) = queue.front_mut() else { return false };
        if !entry.is_large(fragment_bytes) && entry.sent == 0 {
            self.batch.begun.push((entry.number, out.len()));
            out.copy(entry.head.as_bytes());
            out.share(&entry.body, 0, entry.body.len());
            self.queued -= 4 + entry.total;
            self.entries -= 1;
            queue.pop_front();
            return true;
        }
        let first = entry.sent == 0;
        if first {
            let fits = self.started < self.reassembly.streams_max
                && self.started_bytes + entry.total <= self.reassembly.bytes_max;
            if !fits {
                return false;
            }
            self.batch.begun.push((entry.number, out.len()));
            self.started += 1;
            self.started_bytes += entry.total;
            entry.stream = self.next_stream;
            self.next_stream = self.next_stream.wrapping_add(1);
        }
        let count = (entry.total - entry.sent).min(fragment_bytes - HEAD_BYTES);
        // Totals are bounded by message_bytes_max, far below 4 GiB.
        let total = first.then(|| u32::try_from(entry.total).unwrap_or(u32::MAX));
        out.copy(Head::fragment(entry.stream, total).sealed(count).as_bytes());
        entry.share_next(count, out);
        self.queued -= count;
        if entry.sent == entry.total {
            self.started -= 1;
            self.started_bytes -= entry.total;
            // Its `len`, which did not travel: each fragment has its own.
            self.queued -= 4;
            self.entries -= 1;
            queue.pop_front();
        }
        true
    }

    /// Withdraws a frame of which nothing was handed out; false if it is too late for that.
    pub fn withdraw(&mut self, place: Place) -> bool {
        match place {
            Place::Segment(offset) => self.void(offset),
            Place::Lane(lane, number) => self.withdraw_lane(lane, number),
        }
    }

    fn void(&mut self, offset: u64) -> bool {
        match self.queued_frame(offset).and_then(|frame| frame.get_mut(4)) {
            Some(kind) => {
                *kind = Kind::Void as u8;
                true
            }
            None => false,
        }
    }

    /// The bytes of a segment from this offset on, if it still waits.
    fn queued_frame(&mut self, offset: u64) -> Option<&mut [u8]> {
        let mut skip = usize::try_from(offset.checked_sub(self.taken)?).ok()?;
        for segment in &mut self.segments {
            if skip < segment.len() {
                return segment.get_mut(skip..);
            }
            skip -= segment.len();
        }
        None
    }

    /// What was not begun leaves a [`Kind::Void`] in its place, so that withdrawing in any order stays cheap.
    fn withdraw_lane(&mut self, lane: Lane, number: u64) -> bool {
        let Some(queue) = self.lanes.get_mut(&lane) else { return false };
        let Ok(at) = queue.binary_search_by_key(&number, |entry| entry.number) else { return false };
        let Some(entry) = queue.get_mut(at) else { return false };
        if entry.sent == 0 {
            self.queued -= entry.make_void();
            return true;
        }
        let (stream, total, rest) = (entry.stream, entry.total, entry.total - entry.sent);
        queue.remove(at);
        if queue.is_empty() {
            self.lanes.remove(&lane);
            self.turn.retain(|waiting| *waiting != lane);
        }
        self.queued -= 4 + rest;
        self.entries -= 1;
        self.started -= 1;
        self.started_bytes -= total;
        self.control(|out| frame::write_abort(stream, out));
        false
    }

    /// The connection ended with `written` bytes of the last batch accepted by the socket; `usize::MAX` when nobody
    /// knows how many, which counts as all. Nothing goes out any more: what waited is freed, and what remains is the answer to which frames had gone.
    pub fn end(&mut self, written: usize) -> Written {
        let small = written.saturating_sub(self.batch.control_bytes) as u64;
        let small_end = self.taken.min(self.batch.segment_start.saturating_add(small));
        let begun = self.batch.begun.iter().filter(|(_, at)| *at >= written).map(|(number, _)| *number);
        let waiting = self.lanes.values().flatten().filter(|entry| entry.sent == 0);
        let mut unwritten: Vec<u64> = begun.chain(waiting.map(|entry| entry.number)).collect();
        unwritten.sort_unstable();
        *self = Self::new(self.fragment_bytes, self.reassembly);
        Written { small_end, unwritten }
    }
}

#[cfg(test)]
mod tests;
