//! Counts and times of services for statsd.

use std::net::{ToSocketAddrs, UdpSocket};
use std::time::Duration;

use cadence::{Counted, StatsdClient, Timed, UdpMetricSink};
use farcall_proto::peer::NodeName;

use super::callbacks::{CallbackFailure, ServiceCallbacks};

/// Sends what happens with services to a statsd server, one datagram each, without waiting for anything.
///
/// | name, behind the prefix | kind | is |
/// |---|---|---|
/// | `SERVICE.MESSAGE.time` | timer, milliseconds | how long a call took |
/// | `SERVICE.MESSAGE.success` | counter | calls that were answered |
/// | `SERVICE.MESSAGE.failure.transport`, `.application`, `.no_node` | counter | calls that failed |
/// | `SERVICE.new_resource`, `SERVICE.lost_resource` | counter | nodes that came and went |
///
/// What is no letter, digit, `-` or `_` in a name becomes `_`.
#[derive(Debug)]
pub struct Statsd(StatsdClient);

impl Statsd {
    /// To the server at this address: `Statsd::new("shop.services", "127.0.0.1:8125")?`.
    ///
    /// # Errors
    /// [`std::io::Error`]: the address is none, or there is no socket.
    pub fn new(prefix: &str, server: impl ToSocketAddrs) -> std::io::Result<Self> {
        let socket = UdpSocket::bind(("0.0.0.0", 0))?;
        socket.set_nonblocking(true)?;
        let sink = UdpMetricSink::from(server, socket).map_err(std::io::Error::other)?;
        // A datagram that cannot be sent is lost, like one that is lost on its way.
        Ok(Self(StatsdClient::builder(prefix, sink).with_error_handler(|_| {}).build()))
    }

    fn count(&self, name: &str) {
        self.0.count_with_tags(name, 1).send();
    }
}

/// Only what statsd takes for one part of a name.
fn part(name: &str) -> String {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
    name.chars().map(|letter| if allowed(letter) { letter } else { '_' }).collect()
}

impl ServiceCallbacks for Statsd {
    fn new_resource(&self, service: &str, _: &NodeName) {
        self.count(&format!("{}.new_resource", part(service)));
    }

    fn lost_resource(&self, service: &str, _: &NodeName) {
        self.count(&format!("{}.lost_resource", part(service)));
    }

    fn measure(&self, service: &str, message: &str, took: Duration) {
        self.0.time_with_tags(&format!("{}.{}.time", part(service), part(message)), took).send();
    }

    fn success(&self, service: &str, message: &str) {
        self.count(&format!("{}.{}.success", part(service), part(message)));
    }

    fn failure(&self, service: &str, message: &str, why: CallbackFailure<'_>) {
        let why = match why {
            CallbackFailure::Transport(_) => "transport",
            CallbackFailure::Application => "application",
            CallbackFailure::NoNode => "no_node",
        };
        self.count(&format!("{}.{}.failure.{why}", part(service), part(message)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_is_sent_in_the_words_of_statsd() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        server.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let statsd = Statsd::new("shop", server.local_addr().unwrap()).unwrap();
        let received = || {
            let mut bytes = [0; 256];
            let count = server.recv(&mut bytes).unwrap();
            String::from_utf8(bytes[..count].to_vec()).unwrap()
        };
        statsd.new_resource("head er", &"a@h".parse().unwrap());
        assert_eq!(received(), "shop.head_er.new_resource:1|c");
        statsd.measure("header", "demo.Get", Duration::from_millis(12));
        assert_eq!(received(), "shop.header.demo_Get.time:12|ms");
        statsd.success("header", "demo.Get");
        assert_eq!(received(), "shop.header.demo_Get.success:1|c");
        statsd.failure("header", "demo.Get", CallbackFailure::NoNode);
        assert_eq!(received(), "shop.header.demo_Get.failure.no_node:1|c");
    }
}
