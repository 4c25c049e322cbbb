//! What a node tells of itself, once: `nodes`, `links`, `actors`, `groups`, `services`, `limits`, `events`, `metrics`, `config`;
//! and what it is ordered to do: `log`, `drain`.

pub(crate) mod args;
pub(crate) mod settings;
pub(crate) mod words;

use std::net::SocketAddr;

use farcall::cluster::DEFAULT_SCOPE;
use farcall::inspect::{GroupView, LinkState, LinkView, NodeView, Order, OrderRefused, SERVICES};
use farcall::{Address, NodeName};
use serde::Serialize;
use tokio::net::TcpListener;

use self::args::{Inside, Log, Metrics};
use self::words::{age, bytes, count, events, times};
use crate::output::Output;
use crate::report::Report;
use crate::session::Session;
use crate::table::Table;

pub(crate) async fn run(session: &Session, asked: &Inside, output: &mut Output) -> Result<(), Report> {
    let order = match asked {
        Inside::Log(Log { level, module, .. }) => {
            Some(Order::Log { level: level.clone(), module: module.clone().unwrap_or_default() })
        }
        Inside::Drain(_) => Some(Order::Drain),
        _ => None,
    };
    if let Some(order) = order {
        return operate(session, order, output).await;
    }
    if let Inside::Metrics(Metrics { listen: Some(listen), .. }) = asked {
        return serve(session, *listen, output).await;
    }
    if let Inside::Config(asked) = asked {
        return settings::of_node(session, asked, output).await;
    }
    let view = session.node.inspect_node(&session.target).await?;
    match asked {
        Inside::Nodes(_) => nodes(&view, output),
        Inside::Links(_) => links(&view, output),
        Inside::Actors(_) => actors(&view, output),
        Inside::Groups(_) => groups(&view, false, output),
        Inside::Services(_) => groups(&view, true, output),
        Inside::Limits(_) => limits(&view, output),
        Inside::Events(_) => print_events(&view, output),
        Inside::Metrics(_) => output.raw(&farcall::inspect::prometheus(&view)),
        Inside::Log(_) | Inside::Drain(_) | Inside::Config(_) => Ok(()),
    }
}

/// Answers Prometheus until it is ended.
async fn serve(session: &Session, listen: SocketAddr, output: &mut Output) -> Result<(), Report> {
    let remedy = "choose another address with --listen; port 0 takes any free one";
    let failed =
        |error: std::io::Error| Report::here("listen", format!("cannot listen on {listen}: {error}"), remedy);
    let listener = TcpListener::bind(listen).await.map_err(failed)?;
    let listen = listener.local_addr().map_err(failed)?;
    let node = session.target.node();
    output.line(&format!("http://{listen}/metrics has those of {node}; end it with Ctrl-C"))?;
    let session = session.clone();
    let page = move || {
        let session = session.clone();
        async move {
            // None of its events stands on the page.
            let view = session.node.inspect_node_after(&session.target, u64::MAX).await;
            view.map(|view| farcall::inspect::prometheus(&view)).map_err(|error| error.to_string())
        }
    };
    match farcall::inspect::serve_metrics(listener, page).await {}
}

/// One document for each, or a table; a line if there is nothing.
fn each<T: Serialize, const N: usize>(
    all: &[T],
    heads: [&str; N],
    row: impl Fn(&T) -> [String; N],
    nothing: &str,
    output: &mut Output,
) -> Result<(), Report> {
    if output.is_json() {
        return all.iter().try_for_each(|one| output.document(one));
    }
    let mut table = Table::new(heads);
    all.iter().for_each(|one| table.row(row(one)));
    if table.is_empty() { output.line(nothing) } else { table.print(output) }
}

fn nodes(view: &NodeView, output: &mut Output) -> Result<(), Report> {
    let nothing = format!("{} is connected with no node", view.node);
    let heads = ["NODE", "STATE", "LINKS", "INCARNATION"];
    let row = |node: &farcall::inspect::NodeState| {
        let state = match (node.draining, node.hidden) {
            (true, _) => "draining",
            (false, true) => "up, hidden",
            (false, false) => "up",
        };
        let links = view.links.iter().filter(|link| link.peer == node.node && link.state == LinkState::Up);
        let mut ways: Vec<&str> = links.map(|link| if link.outgoing { "out" } else { "in" }).collect();
        ways.sort_unstable();
        ways.dedup();
        [node.node.clone(), state.to_owned(), ways.join(", "), format!("{:016x}", node.incarnation)]
    };
    each(&view.nodes, heads, row, &nothing, output)
}

fn links(view: &NodeView, output: &mut Output) -> Result<(), Report> {
    let heads = [
        "PEER",
        "WAY",
        "STATE",
        ">AGE",
        ">RTT",
        ">IN",
        ">OUT",
        ">BYTES IN",
        ">BYTES OUT",
        ">UNSENT",
        ">WAITING",
        ">MISSED",
        "AT",
    ];
    let row = |link: &LinkView| {
        [
            link.peer.clone(),
            way(link),
            link.state.word().to_owned(),
            age(link.age_us),
            link.rtt_us.map_or_else(|| "-".to_owned(), words::time),
            count(link.messages_in),
            count(link.messages_out),
            bytes(link.bytes_in),
            bytes(link.bytes_out),
            bytes(link.unsent_bytes),
            count(link.in_flight),
            link.ticks_missed.to_string(),
            link.at.clone(),
        ]
    };
    each(&view.links, heads, row, &format!("{} has no connections", view.node), output)?;
    if output.is_json() {
        return Ok(());
    }
    for link in &view.links {
        match &link.state {
            LinkState::Backoff { left_ms: 0, why } => {
                output.line(&format!("{}: the last attempt failed: {why}", link.peer))?;
            }
            LinkState::Backoff { left_ms, why } => {
                output.line(&format!("{}: not before {left_ms} ms: {why}", link.peer))?;
            }
            LinkState::Closing { why } => output.line(&format!("{}: closing: {why}", link.peer))?,
            LinkState::Idle | LinkState::Connecting | LinkState::Up => {}
        }
    }
    Ok(())
}

/// `out`, `out 3` for the third lane of keys, or `in`.
pub(crate) fn way(link: &LinkView) -> String {
    match (link.outgoing, link.lane) {
        (false, _) => "in".to_owned(),
        (true, 0) => "out".to_owned(),
        (true, lane) => format!("out {lane}"),
    }
}

/// Where a node is, if the one that was looked at asks it.
pub(crate) fn place_of(view: &NodeView, node: &NodeName) -> Option<Address> {
    let mut asked = view.links.iter().filter(|link| link.outgoing && link.peer == node.as_str());
    asked.find_map(|link| link.at.parse().ok())
}

fn actors(view: &NodeView, output: &mut Output) -> Result<(), Report> {
    let heads = ["ACTOR", "VERSION", ">WAITING", ">BYTES", ">HANDLED", ">P50", ">P99", "WENT WRONG"];
    let row = |actor: &farcall::inspect::ActorView| {
        let [p50, p99] = times(&actor.times);
        let troubles: Vec<_> =
            actor.troubles.iter().map(|one| format!("{} {}", one.reason, count(one.count))).collect();
        [
            actor.name.clone(),
            actor.version.clone().unwrap_or_else(|| "-".to_owned()),
            count(actor.waiting),
            bytes(actor.waiting_bytes),
            count(actor.handled),
            p50,
            p99,
            troubles.join(", "),
        ]
    };
    each(&view.actors, heads, row, "no actors", output)
}

fn groups(view: &NodeView, services: bool, output: &mut Output) -> Result<(), Report> {
    let chosen = view.groups.iter().filter(|group| (group.scope == SERVICES) == services);
    let chosen: Vec<_> = chosen.collect();
    let what = if services { "services" } else { "groups" };
    let row = |group: &&GroupView| {
        let members = group.members.iter().map(|member| format!("{} on {}", member.actor, member.node));
        let name = match group.scope.as_str() {
            SERVICES | DEFAULT_SCOPE => group.group.clone(),
            scope => format!("{}, in {scope}", group.group),
        };
        [name, group.members.len().to_string(), members.collect::<Vec<_>>().join(", ")]
    };
    let head = if services { "SERVICE" } else { "GROUP" };
    let nothing = format!("{} knows of no {what}", view.node);
    each(&chosen, [head, ">MEMBERS", "WHO"], row, &nothing, output)
}

fn limits(view: &NodeView, output: &mut Output) -> Result<(), Report> {
    let heads = ["NAME", ">VALUE", ">LIMIT", "SETTING"];
    let row = |metric: &farcall::inspect::MetricView| {
        let limit = metric.limit.as_ref();
        [
            metric.name.clone(),
            metric.value.to_string(),
            limit.map_or_else(|| "-".to_owned(), |limit| limit.value.to_string()),
            limit.map(|limit| limit.name.clone()).unwrap_or_default(),
        ]
    };
    each(&view.metrics, heads, row, "", output)?;
    if output.is_json() {
        return Ok(());
    }
    let mut fullest = Table::new(["", ">", ">", ""]);
    let limit =
        |name: &str| view.limits.iter().find(|limit| limit.name == name).map_or(0, |limit| limit.value);
    for (what, value, setting) in [
        (
            "most unsent bytes of a link",
            view.links.iter().map(|link| link.unsent_bytes).max(),
            "unsent_bytes_max",
        ),
        ("most waiting of a link", view.links.iter().map(|link| link.in_flight).max(), "in_flight_max"),
        ("fullest mailbox", view.actors.iter().map(|actor| actor.waiting).max(), "mailbox_messages_max"),
        (
            "fullest mailbox, bytes",
            view.actors.iter().map(|actor| actor.waiting_bytes).max(),
            "mailbox_bytes_max",
        ),
    ] {
        let value = value.unwrap_or_default().to_string();
        fullest.row([what.to_owned(), value, limit(setting).to_string(), setting.to_owned()]);
    }
    fullest.lines().iter().try_for_each(|line| output.line(line))
}

fn print_events(view: &NodeView, output: &mut Output) -> Result<(), Report> {
    if output.is_json() {
        return view.events.iter().try_for_each(|event| output.document(event));
    }
    let table = events(view, view.events.iter());
    if table.is_empty() { output.line("nothing has happened yet") } else { table.print(output) }
}

async fn operate(session: &Session, order: Order, output: &mut Output) -> Result<(), Report> {
    let done = match &order {
        Order::Log { level, module } if module.is_empty() => format!("logs {level}"),
        Order::Log { level, module } => format!("logs {module} at {level}"),
        Order::Drain => "drains: nothing new, and what was accepted is finished".to_owned(),
        Order::Disconnect { node } => format!("ends its connections to {node}"),
    };
    let node = session.target.node();
    match session.node.operate_node(&session.target, order).await? {
        Ok(()) if output.is_json() => output.document(&"ok"),
        Ok(()) => output.line(&format!("{node} {done}")),
        Err(refused) => {
            let (reason, remedy) = match &refused {
                OrderRefused::NotPermitted { peer } => (
                    "unauthorized",
                    format!(
                        "list this command's name in access.operate of {node}, and give it one that stays: --name \
                         ops@HOST, over TLS a --certificate for that name; this time it was {peer}"
                    ),
                ),
                OrderRefused::NoLogSwitch => (
                    "no_log_switch",
                    "its program has to install a farcall::LogSwitch, and give it to its node".to_owned(),
                ),
                OrderRefused::Invalid { .. } => ("invalid", String::new()),
            };
            Err(Report::rejected(reason, format!("{node} does not: {refused}"), remedy))
        }
    }
}
