//! The scenarios, in the order in which they run.

mod basic;
mod cluster;
mod lifecycle;
mod names;
mod network;
mod processes;
mod resources;

use crate::fault::Result;
use crate::lab::Lab;

/// Something that is done to a cluster, and what has to come of it.
pub(crate) struct Scenario {
    /// What it is called on the command line.
    pub(crate) name: &'static str,
    /// Of gen_rpc's test cases (#) or of the fault catalogue (F).
    pub(crate) cases: &'static str,
    /// What has to be so.
    pub(crate) what: &'static str,
    /// Whether it belongs to the short matrix.
    pub(crate) short: bool,
    /// Gives what was observed.
    pub(crate) run: fn(&mut Lab) -> Result<String>,
}

const fn scenario(
    name: &'static str,
    cases: &'static str,
    what: &'static str,
    run: fn(&mut Lab) -> Result<String>,
) -> Scenario {
    Scenario { name, cases, what, short: false, run }
}

impl Scenario {
    const fn short(mut self) -> Self {
        self.short = true;
        self
    }
}

#[rustfmt::skip] // a table
pub(crate) const ALL: &[Scenario] = &[
    scenario("call", "#151", "every peer answers with its own name, and all are in nodes()", basic::call).short(),
    scenario("multicall", "#152", "a multicall to all is answered by all, and by nobody else", basic::multicall).short(),
    scenario("remote-socket-close", "#153", "acceptors that are stopped take their connections with them within a second", basic::remote_socket_close),
    scenario("operations", "", "every operation works between all nodes", basic::operations).short(),
    scenario("kill", "F01", "callers of a killed node are told within 100 ms, and it serves when it is back", processes::kill).short(),
    scenario("stop-idle", "F02", "an idle node that is stopped costs nobody a call", lifecycle::stop_idle),
    scenario("stop-busy", "F52", "a node that is stopped under load finishes what it has taken", lifecycle::stop_busy),
    scenario("freeze-short", "F05", "a node that stands still for less than its tick loses nothing", processes::freeze_short),
    scenario("freeze-long", "F03 F04", "a frozen node is given up in time, others do not notice, and nothing stale is done when it wakes", processes::freeze_long).short(),
    scenario("freeze-flapping", "F06", "a node that stands still every other half second keeps its connections", processes::freeze_flapping),
    scenario("unplug", "F20", "both sides notice a pulled cable in time, and come back with it", network::unplug),
    scenario("partition", "F30", "halves that do not see each other work on, and find each other again", network::partition).short(),
    scenario("cut-pair", "F31", "two nodes that do not see each other do not hurt a third", network::cut_pair),
    scenario("one-way", "F21", "a network that works in one direction only is noticed by both sides", network::one_way),
    scenario("loss", "F23", "1 and 5 % of lost packets cost time, and no connection", network::loss),
    scenario("heavy-loss", "F24", "20 % of lost packets are got over when they end", network::heavy_loss),
    scenario("reset", "F22", "a reset in the middle of a message ends it at once, and it does not count as an attack", network::reset),
    scenario("black-hole", "F28", "a connect without an answer ends at its deadline, and nobody waits during the pause after it", network::black_hole),
    scenario("slow-link", "F26", "100 MB offered to a slow link are bounded, and the link stays", network::slow_link),
    scenario("flapping-link", "F33", "a link that comes and goes leaves nothing behind", network::flapping_link),
    scenario("new-address", "F36", "a node that comes back at another address is found", network::new_address),
    scenario("restart-unnoticed", "F12", "a successor is believed at once, though its predecessor's connections were never closed", names::restart_unnoticed),
    scenario("two-of-one-name", "F13", "of two nodes with one name the younger is turned away, and both sides say so", names::two_of_one_name),
    scenario("no-files", "F86", "a node without a free file keeps its connections, and takes new ones when it can", resources::no_files),
    scenario("no-cpu", "F88", "nodes that get a quarter of the machine lose no connection", resources::no_cpu),
    scenario("watched", "F01 F02", "a killed node is down within 100 ms, one that stops says so, and each of a thousand monitors is told once", cluster::watched).short(),
    scenario("watched-frozen", "F03", "a frozen node is down in its time, and each monitor is told once", cluster::watched_frozen),
    scenario("groups", "F30", "halves that do not see each other see their own members, and all of them again after the heal", cluster::groups),
    scenario("spawned", "", "actors that a node has started elsewhere stop when it goes, and one that is detached does not", cluster::spawned),
    scenario("services", "F50 F52", "a service whose nodes are restarted one after the other answers every one of 1,000 calls a second", cluster::services).short(),
    scenario("rolling-restart", "F50", "all nodes are restarted one after the other, and no work is lost", lifecycle::rolling_restart).short(),
];
