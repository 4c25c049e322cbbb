//! actix-telepathy: actix actors that send each other messages between nodes.
//!
//! It has no answers, so an answer here is a message of our own with the number of its question. One connection,
//! its own format (flexbuffers), one arbiter on both sides. Nagle's delay cannot be turned off from outside.

use std::cell::RefCell;
use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use actix::prelude::*;
use actix_broker::BrokerSubscribe;
use actix_telepathy::prelude::*;
use anyhow::{Context as _, Result, bail};
use farcall_bench::child::ServerSeat;
use farcall_bench::drive;
use farcall_bench::meter::{ClientSample, Meter};
use farcall_bench::side::Side;
use farcall_bench::workload::{Blob, Echo, Record, Traffic, Workload};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::{calls_and_casts, free_port};

/// The entry in the table of implementations.
pub(crate) const SIDE: Side = Side {
    name: "telepathy",
    about: "actix-telepathy over TCP, flexbuffers; answers are messages of our own, because it has none",
    version: env!("VERSION_actix_telepathy"),
    supports: calls_and_casts,
    server: |seat, _| serve(seat),
    client: call,
};

/// What can be asked, and is answered with the same.
#[derive(Clone, Serialize, Deserialize)]
enum Body {
    Small(Echo),
    Later(Echo),
    Entry(Record),
    Large(Blob),
}

#[derive(Serialize, Deserialize, RemoteMessage)]
#[with_source(source)]
struct Question {
    source: RemoteAddr,
    number: u64,
    body: Body,
}

#[derive(Serialize, Deserialize, RemoteMessage)]
struct Answer {
    number: u64,
    body: Body,
}

#[derive(Serialize, Deserialize, RemoteMessage)]
struct Tell {
    echo: Echo,
}

/// Answers with what it gets.
#[derive(RemoteActor)]
#[remote_messages(Question, Tell)]
struct Answerer {
    told: Arc<AtomicU64>,
}

impl Actor for Answerer {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        self.register(context.address().recipient());
    }
}

impl Handler<Question> for Answerer {
    type Result = ();

    fn handle(&mut self, question: Question, _: &mut Context<Self>) {
        let Question { mut source, number, body } = question;
        source.change_id(Asker::ACTOR_ID.to_owned());
        if matches!(body, Body::Later(_)) {
            actix::spawn(async move {
                tokio::task::yield_now().await;
                source.do_send(Answer { number, body });
            });
        } else {
            source.do_send(Answer { number, body });
        }
    }
}

impl Handler<Tell> for Answerer {
    type Result = ();

    fn handle(&mut self, _: Tell, _: &mut Context<Self>) {
        self.told.fetch_add(1, Ordering::Relaxed);
    }
}

/// Who waits for which answer.
type Waiting = Rc<RefCell<HashMap<u64, oneshot::Sender<Body>>>>;

/// Hands out the answers.
#[derive(RemoteActor)]
#[remote_messages(Answer)]
struct Asker {
    waiting: Waiting,
    joined: Option<oneshot::Sender<Addr<NetworkInterface>>>,
}

impl Actor for Asker {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        self.register(context.address().recipient());
        self.subscribe_system_async::<ClusterLog>(context);
    }
}

impl Handler<Answer> for Asker {
    type Result = ();

    fn handle(&mut self, answer: Answer, _: &mut Context<Self>) {
        if let Some(waiting) = self.waiting.borrow_mut().remove(&answer.number) {
            // Whoever does not wait any more needs no answer.
            let _ = waiting.send(answer.body);
        }
    }
}

impl Handler<ClusterLog> for Asker {
    type Result = ();

    fn handle(&mut self, log: ClusterLog, _: &mut Context<Self>) {
        if let ClusterLog::NewMember(node) = log
            && let (Some(interface), Some(joined)) = (node.network_interface, self.joined.take())
        {
            let _ = joined.send(interface);
        }
    }
}

impl ClusterListener for Asker {}
impl Supervised for Asker {}

fn own_address() -> Result<SocketAddr> {
    Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?)))
}

fn serve(seat: &ServerSeat) -> Result<Infallible> {
    System::new().block_on(async {
        let own = own_address()?;
        let _answerer = Answerer { told: seat.counter() }.start();
        let _cluster = Cluster::new(own, Vec::new());
        // The cluster listens in its first turn, before anything that is asked of it later.
        tokio::task::yield_now().await;
        while std::net::TcpStream::connect(own).is_err() {
            tokio::task::yield_now().await;
        }
        seat.listening([own])?;
        std::future::pending().await
    })
}

fn call(addresses: &[SocketAddr], workload: &Workload, meter: Rc<Meter>) -> Result<ClientSample> {
    System::new().block_on(async {
        let server = *addresses.first().context("no server")?;
        let own = own_address()?;
        let waiting = Waiting::default();
        let (joined, interface) = oneshot::channel();
        let _asker = Asker { waiting: waiting.clone(), joined: Some(joined) }.start();
        let _cluster = Cluster::new(own, vec![server]);
        let interface = interface.await.context("telepathy has not joined")?;
        let caller = Caller(Rc::new(Inner {
            answerer: RemoteAddr::new_from_key(server, interface, Answerer::ACTOR_ID),
            own: RemoteAddr::new_from_id(own, Asker::ACTOR_ID),
            waiting,
            asked: RefCell::new(0),
        }));
        if workload.traffic == Traffic::Casts {
            drive::spawn(tell(caller));
            return meter.phases().await;
        }
        drive::run(caller, workload, meter).await
    })
}

/// Nothing holds back who sends, so every so often it asks and waits.
async fn tell(caller: Caller) -> Result<()> {
    let mut number = 0u32;
    loop {
        for _ in 0..UNANSWERED {
            number = number.wrapping_add(1);
            caller.0.answerer.do_send(Tell { echo: Echo::numbered(number) });
        }
        drive::Client::echo(&caller, Echo::numbered(number)).await?;
    }
}

const UNANSWERED: u32 = 1024;

struct Inner {
    answerer: RemoteAddr,
    own: RemoteAddr,
    waiting: Waiting,
    asked: RefCell<u64>,
}

#[derive(Clone)]
struct Caller(Rc<Inner>);

impl Caller {
    async fn ask(&self, body: Body) -> Result<Body> {
        let number = self.0.asked.replace_with(|asked| *asked + 1);
        let (sender, answer) = oneshot::channel();
        self.0.waiting.borrow_mut().insert(number, sender);
        self.0.answerer.do_send(Question { source: self.0.own.clone(), number, body });
        answer.await.context("the answer was dropped")
    }
}

impl drive::Client for Caller {
    async fn echo(&self, echo: Echo) -> Result<Echo> {
        match self.ask(Body::Small(echo)).await? {
            Body::Small(echo) => Ok(echo),
            _ => bail!("an answer of another kind"),
        }
    }

    async fn record(&self, record: Record) -> Result<Record> {
        match self.ask(Body::Entry(record)).await? {
            Body::Entry(record) => Ok(record),
            _ => bail!("an answer of another kind"),
        }
    }

    async fn later(&self, echo: Echo) -> Result<Echo> {
        match self.ask(Body::Later(echo)).await? {
            Body::Later(echo) => Ok(echo),
            _ => bail!("an answer of another kind"),
        }
    }

    async fn bytes(&self, bytes: Vec<u8>) -> Result<Vec<u8>> {
        match self.ask(Body::Large(Blob(bytes))).await? {
            Body::Large(blob) => Ok(blob.0),
            _ => bail!("an answer of another kind"),
        }
    }
}
