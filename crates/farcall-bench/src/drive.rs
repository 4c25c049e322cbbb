//! Keeps up a workload's traffic through any client that can make single calls: a task for each outstanding call.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail, ensure};
use tokio::sync::Notify;
use tokio::task::spawn_local;

use crate::meter::{ClientSample, Meter};
use crate::workload::{BLOB_BYTES, Blob, Echo, Message, Record, Traffic, Workload};

/// A client of some implementation. Each method is one call that is answered, encoding and decoding included.
pub trait Client: Clone + 'static {
    /// A small call.
    fn echo(&self, echo: Echo) -> impl Future<Output = Result<Echo>>;

    /// A call with a message as applications have them.
    fn record(&self, _record: Record) -> impl Future<Output = Result<Record>> {
        async { bail!("records are not supported") }
    }

    /// A small call to a handler that is asynchronous.
    fn later(&self, _echo: Echo) -> impl Future<Output = Result<Echo>> {
        async { bail!("asynchronous handlers are not supported") }
    }

    /// A call with bytes and as many back; what came may be sent on.
    fn bytes(&self, _bytes: Vec<u8>) -> impl Future<Output = Result<Vec<u8>>> {
        async { bail!("bytes are not supported") }
    }
}

/// Runs until the window is over. To be called where tasks of this thread can be spawned.
///
/// # Errors
/// The first call that fails, and traffic that this cannot drive.
pub async fn run<C: Client>(client: C, workload: &Workload, meter: Rc<Meter>) -> Result<ClientSample> {
    match workload.traffic {
        Traffic::Calls { message, outstanding } => {
            for number in 0..outstanding {
                spawn(calls(client.clone(), message, meter.clone(), number, false));
            }
        }
        Traffic::Mixed { small, large } => {
            for number in 0..small {
                spawn(calls(client.clone(), Message::Echo, meter.clone(), number, false));
            }
            for number in 0..large {
                spawn(calls(client.clone(), Message::Bytes(BLOB_BYTES), meter.clone(), number, true));
            }
        }
        Traffic::Offered { percent } => offer(client, percent, &meter).await?,
        other => bail!("{other:?} needs a client of its own"),
    }
    meter.phases().await
}

/// A task that never ends well: a benchmark whose calls fail measures nothing.
pub fn spawn(calls: impl Future<Output = Result<()>> + 'static) {
    spawn_local(async move {
        if let Err(error) = calls.await {
            eprintln!("farcall-bench: {error:#}");
            std::process::exit(1);
        }
    });
}

async fn calls<C: Client>(
    client: C,
    message: Message,
    meter: Rc<Meter>,
    mut number: u32,
    beside: bool,
) -> Result<()> {
    // What an answer brings goes out with the next call: the bare program does not copy its payload either.
    let mut blob = match message {
        Message::Bytes(bytes) => Blob::of(bytes),
        _ => Blob(Vec::new()),
    };
    let sent = Blob(blob.0.clone());
    loop {
        number = number.wrapping_add(1024);
        let begun = if beside { None } else { meter.begin() };
        match message {
            Message::Echo => check_echo(client.echo(Echo::numbered(number)).await?, number)?,
            Message::Later => check_echo(client.later(Echo::numbered(number)).await?, number)?,
            Message::Record => {
                let record = Record::numbered(number);
                let answer = client.record(record.clone()).await?;
                ensure!(answer == record, "a wrong answer: {answer:?}");
            }
            Message::Bytes(_) => {
                blob = Blob(client.bytes(std::mem::take(&mut blob.0)).await?);
                ensure!(blob.answers(&sent), "a wrong answer of {} bytes", blob.0.len());
            }
        }
        if beside { meter.finish_bulk() } else { meter.finish(begun) }
    }
}

fn check_echo(answer: Echo, number: u32) -> Result<()> {
    ensure!(answer == Echo::numbered(number), "a wrong answer: {answer:?}");
    Ok(())
}

/// Calls that are due, the oldest first.
#[derive(Default)]
struct Schedule {
    due: RefCell<VecDeque<Instant>>,
    added: Notify,
}

impl Schedule {
    async fn next(&self) -> Instant {
        loop {
            let due = self.due.borrow_mut().pop_front();
            match due {
                Some(due) => return due,
                None => self.added.notified().await,
            }
        }
    }
}

/// Finds out what the client can do, then offers a part of that.
async fn offer<C: Client>(client: C, percent: u32, meter: &Rc<Meter>) -> Result<()> {
    let per_s = maximum(&client).await? * f64::from(percent) / 100.0;
    ensure!(per_s > 0.0, "not a single call was answered");
    let schedule = Rc::new(Schedule::default());
    for number in 0..CALLERS {
        let (client, schedule, meter) = (client.clone(), schedule.clone(), meter.clone());
        spawn(async move {
            let mut number = number;
            loop {
                let due = schedule.next().await;
                number = number.wrapping_add(CALLERS);
                check_echo(client.echo(Echo::numbered(number)).await?, number)?;
                meter.finish(Some(due));
            }
        });
    }
    let start = Instant::now();
    spawn_local(async move {
        let mut offered = 0u64;
        loop {
            // Sleeping would be late by a millisecond; this looks at the clock all the time instead.
            tokio::task::yield_now().await;
            let due = start.elapsed().as_secs_f64() * per_s;
            while (offered as f64) < due {
                schedule.due.borrow_mut().push_back(start + Duration::from_secs_f64(offered as f64 / per_s));
                schedule.added.notify_one();
                offered += 1;
            }
        }
    });
    Ok(())
}

/// Calls a second with [`CALLERS`] outstanding.
async fn maximum<C: Client>(client: &C) -> Result<f64> {
    let (answered, stop) = (Rc::new(Cell::new(0u64)), Rc::new(Cell::new(false)));
    let callers: Vec<_> = (0..CALLERS)
        .map(|number| {
            let (client, answered, stop) = (client.clone(), answered.clone(), stop.clone());
            spawn_local(async move {
                while !stop.get() {
                    check_echo(client.echo(Echo::numbered(number)).await?, number)?;
                    answered.set(answered.get() + 1);
                }
                anyhow::Ok(())
            })
        })
        .collect();
    tokio::time::sleep(CALIBRATION / 3).await;
    let (before, start) = (answered.get(), Instant::now());
    tokio::time::sleep(CALIBRATION).await;
    let per_s = (answered.get() - before) as f64 / start.elapsed().as_secs_f64();
    stop.set(true);
    for caller in callers {
        caller.await.map_err(|error| anyhow!("{error}"))??;
    }
    Ok(per_s)
}

const CALLERS: u32 = 1024;
const CALIBRATION: Duration = Duration::from_millis(600);
