//! The two ends of a session, while it lasts: what is said and heard.

use std::sync::Arc;
use std::time::{Duration, Instant};

use farcall_proto::cluster::members::LinkId;
use farcall_proto::cluster::sessions::Pauses;
use farcall_proto::cluster::signals::{ChannelId, DownReason};
use farcall_proto::peer::{NodeName, Target};
use futures::StreamExt;
use tokio::sync::Notify;

use super::sessions::Cluster;
use super::wire::{Attend, Tell, Tidings, Told};
use crate::items::Items;
use crate::members::Linked;
use crate::registry::RESERVED;
use crate::rpc::{Call, OpenStream, RemoteStream};

/// Begins a session with a node, and keeps it up until its connection ends.
pub(super) async fn ask(cluster: Arc<Cluster>, channel: ChannelId, node: NodeName, speak: Arc<Notify>) {
    let (target, begun) = (Target::from(&node), Instant::now());
    let (caller, actor, message) = (&cluster.caller, RESERVED.into(), Attend { session: channel.0 });
    let opened = OpenStream { caller, target: &target, actor, message, timeout: None }.await;
    let epoch = opened.as_ref().ok().map(|items| items.epoch());
    match opened {
        Err(error) => log::debug!(
            target: "farcall", node:% = caller.context.name, peer:% = node; "no session with it: {error}"
        ),
        Ok(mut items) => {
            let epoch = items.epoch();
            cluster.attending(channel, LinkId::Out(epoch), &node);
            let heard = hear(&cluster, channel, &node, &mut items);
            let said = say(&cluster, channel, &target, epoch, &speak);
            futures::pin_mut!(heard, said);
            futures::future::select(heard, said).await;
        }
    }
    cluster.channel_down(channel, reason_of(&cluster, &node));
    // Where there is still something to share and a connection to share it over, there is another session.
    tokio::time::sleep(pause_behind(&cluster, &node, begun, epoch)).await;
    cluster.share_with(&node);
}

/// How long to wait behind a session that was lost; `epoch` is its connection, if it had one.
fn pause_behind(cluster: &Cluster, node: &NodeName, begun: Instant, epoch: Option<u64>) -> Duration {
    let pause = cluster.inner.lock().pauses.lost(node, begun, Instant::now());
    let clients = &cluster.caller.clients;
    let is_replaced = epoch.is_some_and(|epoch| clients.epoch(&Target::from(node)) != Some(epoch));
    // Asked behind it: whoever ends the connection from now on finds what was noted.
    if is_replaced || !clients.nodes().contains(node) {
        // It went with its connection, which says nothing about the next one.
        cluster.inner.lock().pauses.gone(node);
        return Pauses::MIN;
    }
    pause
}

/// Nothing more is heard when this resolves.
async fn hear(cluster: &Cluster, channel: ChannelId, node: &NodeName, items: &mut RemoteStream<Told>) {
    while let Some(Ok(told)) = items.next().await {
        match told.notices() {
            Ok(notices) => cluster.handle(channel, notices),
            Err(error) => {
                return cluster.caller.context.log_limited(log::Level::Error, "session", node, error);
            }
        }
    }
}

/// Nothing more can be said when this resolves.
async fn say(cluster: &Cluster, channel: ChannelId, target: &Target, epoch: u64, speak: &Notify) {
    while let Some(told) = next(cluster, channel, speak).await {
        // On the connection of the session, or not at all.
        if cluster.caller.clients.epoch(target) != Some(epoch) {
            return;
        }
        let message = Tell { session: channel.0, told };
        let (caller, actor) = (&*cluster.caller, RESERVED.into());
        let call = Call { caller, target, actor, message, timeout: None, send_timeout: None };
        if !matches!(call.await, Ok(true)) {
            return;
        }
    }
}

/// What is to be said next; none when the session has ended.
async fn next(cluster: &Cluster, channel: ChannelId, speak: &Notify) -> Option<Told> {
    loop {
        if !cluster.is_up(channel) {
            return None;
        }
        let notices = cluster.unsaid(channel);
        if !notices.is_empty() {
            return Told::new(&notices);
        }
        speak.notified().await;
    }
}

fn reason_of(cluster: &Cluster, node: &NodeName) -> DownReason {
    match cluster.caller.context.members.is_draining(node) {
        true => DownReason::NodeShutdown,
        false => DownReason::NoConnection,
    }
}

/// A session that a peer has begun on this connection; dropped, it has ended.
struct Attended {
    cluster: Arc<Cluster>,
    channel: ChannelId,
    node: NodeName,
    speak: Arc<Notify>,
}

impl Drop for Attended {
    fn drop(&mut self) {
        self.cluster.channel_down(self.channel, reason_of(&self.cluster, &self.node));
    }
}

/// A peer begins a session on this connection: what it is told. Nothing without a peer, or twice.
pub(crate) fn answer(cluster: &Arc<Cluster>, linked: Option<&Linked>, message: &Attend) -> Tidings {
    let begun = linked.and_then(|linked| {
        let (channel, speak) = cluster.attended(linked.peer(), linked.id(), message.session)?;
        let (cluster, node) = (cluster.clone(), linked.peer().name.clone());
        let attended = Attended { cluster, channel, node, speak };
        // What a connection brought may be read after its end was told, and then nobody would tell the end of this. Asked
        // behind the beginning: whoever ends it from now on finds it there.
        let members = &attended.cluster.caller.context.members;
        members.behind(linked.id(), &attended.node).is_some().then_some(attended)
    });
    let Some(attended) = begun else { return Items::new(futures::stream::empty()) };
    Items::new(futures::stream::unfold(attended, |attended| async {
        let told = next(&attended.cluster, attended.channel, &attended.speak).await?;
        Some((told, attended))
    }))
}

/// A peer says something in a session of this connection. False if there is none.
pub(crate) fn told(cluster: &Cluster, linked: Option<&Linked>, message: &Tell) -> bool {
    let Some(linked) = linked else { return false };
    match (cluster.session_of(linked.id(), message.session), message.told.notices()) {
        (Some(channel), Ok(notices)) => {
            cluster.handle(channel, notices);
            true
        }
        (_, Err(error)) => {
            let context = &cluster.caller.context;
            context.log_limited(log::Level::Error, "session", &linked.peer().name, error);
            false
        }
        (None, Ok(_)) => false,
    }
}
