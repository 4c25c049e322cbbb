//! Which node a certificate speaks for.
//!
//! A certificate names nodes in its subject alternative names, in one of two ways. A URI
//! `farcall://<cluster>/<name>` names one node of one cluster. Without any such URI, a DNS name or an IP address
//! vouches for every node on that host. Nothing else of a certificate counts, and there are no wildcards: a name that
//! fits many hosts would let each of them act as the others.

use core::net::IpAddr;
use std::fmt;

use crate::peer::NodeName;

/// The names in a certificate, as its issuer wrote them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CertificateNames {
    /// Uniform resource identifiers; those of other schemes mean nothing here.
    pub uris: Vec<String>,
    /// Host names.
    pub dns: Vec<String>,
    /// Addresses.
    pub ips: Vec<IpAddr>,
}

impl CertificateNames {
    /// Whether the certificate speaks for this node of this cluster.
    pub fn vouches_for(&self, cluster: &str, node: &NodeName) -> bool {
        if self.uris.iter().any(|uri| has_scheme(uri)) {
            return self.nodes().any(|(of, name)| of == cluster && name == *node);
        }
        let host = host_without_port(node);
        match host.parse::<IpAddr>() {
            Ok(ip) => self.ips.contains(&ip),
            Err(_) => self.dns.iter().any(|name| name.eq_ignore_ascii_case(host)),
        }
    }

    /// The nodes that it names, each with its cluster; none if it names hosts.
    pub fn nodes(&self) -> impl Iterator<Item = (String, NodeName)> {
        self.uris.iter().filter_map(|uri| parse_uri(uri))
    }
}

impl fmt::Display for CertificateNames {
    /// Escaped, because it may be a stranger's text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let uris = self.uris.iter().map(|uri| uri.escape_debug().to_string());
        let dns = self.dns.iter().map(|name| format!("DNS:{}", name.escape_debug()));
        let ips = self.ips.iter().map(|ip| format!("IP:{ip}"));
        let all: Vec<_> = uris.chain(dns).chain(ips).collect();
        match all.as_slice() {
            [] => f.write_str("nobody"),
            all => f.write_str(&all.join(", ")),
        }
    }
}

const SCHEME: &str = "farcall://";

/// The URI that names a node of a cluster in its certificate: `farcall://<cluster>/<name>`, with whatever a URI may not
/// hold percent-encoded.
pub fn uri(cluster: &str, node: &NodeName) -> String {
    let mut uri = SCHEME.to_owned();
    encode(cluster, b"", &mut uri);
    uri.push('/');
    encode(node.as_str(), b"@:", &mut uri);
    uri
}

/// The cluster and the node that a URI names; nothing if it is no such URI.
pub fn parse_uri(uri: &str) -> Option<(String, NodeName)> {
    let rest = has_scheme(uri).then(|| uri.get(SCHEME.len()..))??;
    let (cluster, node) = rest.split_once('/')?;
    Some((decode(cluster)?, decode(node)?.parse().ok()?))
}

/// Schemes are compared without regard to case (RFC 3986, 3.1).
fn has_scheme(uri: &str) -> bool {
    uri.get(..SCHEME.len()).is_some_and(|scheme| scheme.eq_ignore_ascii_case(SCHEME))
}

/// What stands behind the `@`, without the port it may end in and without brackets.
///
/// All of it if it has another form: whoever is believed on one host could otherwise put anything behind that, and pass
/// for a node of `*.example` as `web@its.own.host:.example`.
pub fn host_without_port(node: &NodeName) -> &str {
    let host = node.host();
    if let Some((inner, behind)) = host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return if behind.is_empty() || behind.strip_prefix(':').is_some_and(is_port) { inner } else { host };
    }
    match host.split_once(':') {
        // A second colon makes it an IPv6 address, which has no port without brackets.
        Some((name, port)) if is_port(port) => name,
        _ => host,
    }
}

/// Digits, as many as a port may have.
fn is_port(text: &str) -> bool {
    (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Percent-encodes what is neither unreserved in a URI (RFC 3986, 2.3) nor allowed here besides.
fn encode(text: &str, besides: &[u8], out: &mut String) {
    for byte in text.bytes() {
        match byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || besides.contains(&byte) {
            true => out.push(char::from(byte)),
            false => out.push_str(&format!("%{byte:02X}")),
        }
    }
}

fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => hex(rest.next()?)? << 4 | hex(rest.next()?)?,
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> NodeName {
        name.parse().unwrap()
    }

    fn with_uri(uri: &str) -> CertificateNames {
        CertificateNames { uris: vec![uri.to_owned()], ..Default::default() }
    }

    fn with_hosts(dns: &[&str], ips: &[&str]) -> CertificateNames {
        CertificateNames {
            uris: Vec::new(),
            dns: dns.iter().map(|&name| name.to_owned()).collect(),
            ips: ips.iter().map(|ip| ip.parse().unwrap()).collect(),
        }
    }

    #[test]
    fn a_uri_names_one_node_of_one_cluster_and_reads_back_whatever_the_names_are() {
        for (cluster, name) in [
            ("farcall", "beta@10.0.0.2"),
            ("farcall", "beta@[::1]:5370"),
            ("a/b %", "größe@host-1.example"),
            ("über", "a%2F@h"),
        ] {
            let text = uri(cluster, &node(name));
            assert!(text.is_ascii() && !text.contains(' '), "{text}");
            assert_eq!(parse_uri(&text), Some((cluster.to_owned(), node(name))), "{text}");
            assert!(with_uri(&text).vouches_for(cluster, &node(name)));
            assert!(!with_uri(&text).vouches_for("other", &node(name)));
            assert!(!with_uri(&text).vouches_for(cluster, &node("eve@10.0.0.2")));
        }
        assert_eq!(uri("farcall", &node("beta@10.0.0.2")), "farcall://farcall/beta@10.0.0.2");
    }

    #[test]
    fn what_is_no_such_uri_names_nobody() {
        for text in [
            "",
            "farcall:",
            "farcall://",
            "farcall://c",
            "farcall://c/",
            "farcall://c/beta",
            "farcall://c/a%4@h",
        ] {
            assert_eq!(parse_uri(text), None, "{text}");
            assert!(!with_uri(text).vouches_for("c", &node("beta@h")), "{text}");
        }
        for text in ["https://farcall/a@h", "xfarcall://c/a@h", "farcall://c/%FF@h", "farcall://c/a%zz@h"] {
            assert_eq!(parse_uri(text), None, "{text}");
        }
    }

    #[test]
    fn a_host_vouches_for_every_node_on_it_and_for_no_other_host() {
        let names = with_hosts(&["web.example", "WEB2.example"], &["10.0.0.2", "::1"]);
        for name in ["a@web.example", "b@WEB.EXAMPLE:5370", "c@web2.example", "d@10.0.0.2", "e@10.0.0.2:7000"]
        {
            assert!(names.vouches_for("any", &node(name)), "{name}");
        }
        for name in ["f@::1", "g@[::1]:5370", "h@0:0:0:0:0:0:0:1"] {
            assert!(names.vouches_for("any", &node(name)), "{name}");
        }
        for name in ["a@sub.web.example", "a@example", "a@10.0.0.3", "a@::2", "a@web.example.evil"] {
            assert!(!names.vouches_for("any", &node(name)), "{name}");
        }
        assert!(!with_hosts(&["*.example"], &[]).vouches_for("any", &node("a@web.example")), "no wildcards");
        assert!(
            !with_hosts(&["10.0.0.2"], &[]).vouches_for("any", &node("a@10.0.0.2")),
            "an address is no name"
        );
    }

    #[test]
    fn nothing_but_a_port_may_stand_behind_a_host() {
        let names = with_hosts(&["web.example"], &["10.0.0.2", "::1"]);
        for host in ["web.example:5370", "10.0.0.2:1", "[::1]", "[::1]:65535"] {
            assert!(names.vouches_for("any", &node(&format!("a@{host}"))), "{host}");
        }
        for host in [
            "web.example:",
            "web.example:.other",
            "web.example:5370.other",
            "web.example:123456",
            "10.0.0.2:.other",
            "[::1].other",
            "[::1]:.other",
            "[web.example].other",
        ] {
            assert!(!names.vouches_for("any", &node(&format!("a@{host}"))), "{host}");
        }
    }

    #[test]
    fn a_certificate_that_names_a_node_does_not_vouch_for_its_neighbours_on_the_host() {
        let mut names = with_hosts(&["web.example"], &[]);
        assert!(names.vouches_for("farcall", &node("beta@web.example")));
        names.uris.push("farcall://farcall/alpha@web.example".to_owned());
        assert!(names.vouches_for("farcall", &node("alpha@web.example")));
        assert!(!names.vouches_for("farcall", &node("beta@web.example")));
        // A broken one is meant to restrict too.
        names.uris = vec!["farcall://".to_owned()];
        assert!(!names.vouches_for("farcall", &node("alpha@web.example")));
        names.uris = vec!["spiffe://other/alpha".to_owned()];
        assert!(names.vouches_for("farcall", &node("beta@web.example")), "other schemes say nothing here");
    }

    #[test]
    fn it_is_shown_escaped() {
        let names = CertificateNames { uris: vec!["x\ny".into()], ..with_hosts(&["h"], &["::1"]) };
        assert_eq!(names.to_string(), "x\\ny, DNS:h, IP:::1");
        assert_eq!(CertificateNames::default().to_string(), "nobody");
    }
}
