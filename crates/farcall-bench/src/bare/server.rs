//! The answering process: takes a slice of frames, answers it, sends, and goes on.
//!
//! Answering everything at hand before sending anything would let both processes take turns instead of working
//! at the same time.

use std::convert::Infallible;
use std::io;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use tokio::net::TcpListener;

use super::wire::{Kind, Wire};
use crate::child::ServerSeat;
use crate::workload::{Blob, Echo, Record};

/// Answers until the process ends.
pub fn run(seat: &ServerSeat) -> Result<Infallible> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        seat.listening([listener.local_addr()?])?;
        loop {
            let (stream, _) = listener.accept().await?;
            let wire = Wire::new(stream)?;
            let handled = seat.counter();
            // Ends with its connection; a client that has seen enough just goes.
            tokio::spawn(async move {
                if let Err(error) = answer(wire, &handled).await
                    && !error.is::<io::Error>()
                {
                    eprintln!("bare server: {error:#}");
                }
            });
        }
    })
}

async fn answer(mut wire: Wire, handled: &AtomicU64) -> Result<Infallible> {
    loop {
        match slice(&mut wire)? {
            0 => wire.fill().await?,
            frames => {
                handled.fetch_add(frames, Ordering::Relaxed);
                wire.flush(WAITING_BYTES_MAX).await?;
            }
        }
    }
}

/// Answers some of the frames at hand and says how many.
fn slice(wire: &mut Wire) -> Result<u64> {
    let (mut frames, mut bytes) = (0, 0);
    while frames < SLICE_FRAMES
        && bytes < SLICE_BYTES
        && let Some((header, payload)) = wire.input.next()?
    {
        frames += 1;
        bytes += payload.len();
        match header.kind {
            Kind::Echo => wire.output.push(header, &postcard::from_bytes::<Echo>(payload)?)?,
            Kind::Record => wire.output.push(header, &postcard::from_bytes::<Record>(payload)?)?,
            Kind::Blob => wire.output.push(header, &postcard::from_bytes::<Blob>(payload)?)?,
        }
    }
    Ok(frames)
}

const SLICE_FRAMES: u64 = 128;
const SLICE_BYTES: usize = 64 << 10;
/// No further frame is answered while more than this waits for a client that does not read.
const WAITING_BYTES_MAX: usize = 1 << 20;
