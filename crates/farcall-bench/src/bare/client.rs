//! The calling process: one loop that replaces every answered call by the next one.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;

use anyhow::{Result, bail, ensure};
use tokio::net::TcpStream;

use super::wire::{Header, Kind, Output, Wire};
use crate::meter::{ClientSample, Meter};
use crate::workload::{BLOB_BYTES, Blob, Echo, Message, Record, Traffic, Workload};

/// Calls until the window is over.
pub fn run(addresses: &[SocketAddr], workload: &Workload, meter: Rc<Meter>) -> Result<ClientSample> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let wire = Wire::new(TcpStream::connect(addresses).await?)?;
        let calls = Calls::new(workload.traffic, &meter)?;
        tokio::select! {
            biased;
            ended = drive(wire, calls) => ended.map(|never| match never {}),
            sample = meter.phases() => sample,
        }
    })
}

async fn drive(mut wire: Wire, mut calls: Calls<'_>) -> Result<Infallible> {
    for slot in 0..calls.slots.len() {
        calls.issue(u32::try_from(slot)?, &mut wire.output)?;
    }
    loop {
        wire.fill().await?;
        while let Some((header, payload)) = wire.input.next()? {
            calls.answered(header, payload)?;
            calls.issue(header.slot, &mut wire.output)?;
        }
    }
}

/// The calls that are outstanding, one to a slot.
struct Calls<'a> {
    slots: Vec<Slot>,
    blob: Blob,
    /// Large calls are not timed where small ones are.
    mixed: bool,
    next: u32,
    meter: &'a Meter,
}

struct Slot {
    kind: Kind,
    generation: u16,
    number: u32,
    begun: Option<Instant>,
}

impl<'a> Calls<'a> {
    fn new(traffic: Traffic, meter: &'a Meter) -> Result<Self> {
        let (kinds, bytes): (Vec<(Kind, u32)>, _) = match traffic {
            Traffic::Calls { message, outstanding } => {
                let (kind, bytes) = match message {
                    Message::Echo => (Kind::Echo, 0),
                    Message::Record => (Kind::Record, 0),
                    Message::Bytes(bytes) => (Kind::Blob, bytes),
                    Message::Later => bail!("the bare program has no handlers"),
                };
                (vec![(kind, outstanding)], bytes)
            }
            Traffic::Mixed { small, large } => (vec![(Kind::Echo, small), (Kind::Blob, large)], BLOB_BYTES),
            other => bail!("the bare program has no {other:?}"),
        };
        let mixed = kinds.len() > 1;
        let kinds = kinds.into_iter().flat_map(|(kind, count)| (0..count).map(move |_| kind));
        let slots = kinds.map(|kind| Slot { kind, generation: 0, number: 0, begun: None }).collect();
        Ok(Self { slots, blob: Blob::of(bytes), mixed, next: 0, meter })
    }

    fn issue(&mut self, index: u32, output: &mut Output) -> Result<()> {
        let Some(slot) = self.slots.get_mut(index as usize) else { bail!("no slot {index}") };
        slot.generation = slot.generation.wrapping_add(1);
        let header = Header { kind: slot.kind, generation: slot.generation, slot: index };
        match slot.kind {
            Kind::Echo => {
                self.next = self.next.wrapping_add(1);
                slot.number = self.next;
                slot.begun = self.meter.begin();
                output.push(header, &Echo::numbered(slot.number))
            }
            Kind::Record => {
                self.next = self.next.wrapping_add(1);
                slot.number = self.next;
                slot.begun = self.meter.begin();
                output.push(header, &Record::numbered(slot.number))
            }
            Kind::Blob => {
                slot.begun = if self.mixed { None } else { self.meter.begin() };
                output.push(header, &self.blob)
            }
        }
    }

    fn answered(&mut self, header: Header, payload: &[u8]) -> Result<()> {
        let Some(slot) = self.slots.get_mut(header.slot as usize) else { bail!("no slot {}", header.slot) };
        ensure!(slot.generation == header.generation && slot.kind == header.kind, "an answer to no call");
        match slot.kind {
            Kind::Echo => {
                let echo: Echo = postcard::from_bytes(payload)?;
                ensure!(echo == Echo::numbered(slot.number), "a wrong answer: {echo:?}");
                self.meter.finish(slot.begun.take());
            }
            Kind::Record => {
                let record: Record = postcard::from_bytes(payload)?;
                ensure!(record == Record::numbered(slot.number), "a wrong answer: {record:?}");
                self.meter.finish(slot.begun.take());
            }
            Kind::Blob => {
                let blob: Blob = postcard::from_bytes(payload)?;
                ensure!(blob.answers(&self.blob), "a wrong answer of {} bytes", blob.0.len());
                if self.mixed { self.meter.finish_bulk() } else { self.meter.finish(slot.begun.take()) }
            }
        }
        Ok(())
    }
}
