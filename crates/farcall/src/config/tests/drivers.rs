//! Which driver listens where, what each needs, and who may call what.

use super::*;
use crate::driver::Driver;

fn config(text: &str) -> Config {
    Config::from_toml(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// What this configuration listens on, first without TLS and then with it.
fn listens(text: &str, name: &str) -> [String; 2] {
    let (config, name) = (config(text), name.parse().unwrap());
    let show = |place: &ListenOn| match place {
        ListenOn::Host(address) => format!("host {address}"),
        ListenOn::Socket(socket) => socket.to_string(),
    };
    [Driver::Tcp, Driver::Tls].map(|driver| {
        let places = config.listen_on(driver, &name).unwrap();
        places.iter().map(show).collect::<Vec<_>>().join(" ")
    })
}

#[test]
fn the_driver_a_node_dials_with_listens_by_itself_and_the_other_one_only_where_it_is_told() {
    for (text, tcp, tls) in [
        ("", "host 10.0.0.1:5369", ""),
        ("driver = \"tls\"", "", "host 10.0.0.1:5370"),
        ("tcp.port = 7\ntls.port = 8", "host 10.0.0.1:7", ""),
        ("driver = \"tls\"\ntls.port = 8", "", "host 10.0.0.1:8"),
        ("tcp.listen = \"off\"", "", ""),
        ("driver = \"tls\"\ntls.listen = \"off\"", "", ""),
        ("tls.listen = [\"0.0.0.0:5370\"]", "host 10.0.0.1:5369", "0.0.0.0:5370"),
        ("driver = \"tls\"\ntcp.listen = [\"127.0.0.1:0\"]", "127.0.0.1:0", "host 10.0.0.1:5370"),
        ("tcp.listen = false\ntls.listen = [\"[::]:1\", \"0.0.0.0:2\"]", "", "[::]:1 0.0.0.0:2"),
    ] {
        assert_eq!(listens(text, "alpha@10.0.0.1"), [tcp, tls], "{text}");
    }
}

#[test]
fn a_port_in_the_name_is_that_of_the_driver_a_node_dials_with() {
    assert_eq!(listens("", "alpha@10.0.0.1:7001"), ["host 10.0.0.1:7001", ""]);
    assert_eq!(listens("driver = \"tls\"", "alpha@[::1]:7001"), ["", "host [::1]:7001"]);
    let both = "driver = \"tls\"\ntcp.listen = [\"127.0.0.1:1\"]";
    assert_eq!(listens(both, "alpha@h:7001"), ["127.0.0.1:1", "host h:7001"]);
    let broken = "alpha@a/b".parse().unwrap();
    assert!(config("").listen_on(Driver::Tcp, &broken).is_err());
    assert!(config("").listen_on(Driver::Tls, &broken).is_ok(), "the name is not needed for it");
}

#[test]
fn nodes_without_an_address_are_at_the_port_of_the_driver() {
    for (text, wanted) in [
        ("", "x:5369"),
        ("driver = \"tls\"", "x:5370"),
        ("driver = \"tls\"\ntls.port = 8", "x:8"),
        ("tls.port = 8", "x:5369"),
    ] {
        let addresses = config(text).discovery();
        let found = futures::executor::block_on(addresses.addresses(&"b@x".parse().unwrap())).unwrap();
        assert_eq!(found.first().unwrap().to_string(), wanted, "{text}");
        assert_eq!(found.first().unwrap().driver(), None, "the configuration's");
    }
}

#[test]
fn an_address_may_name_its_driver() {
    let text = "[nodes]\n\"b@x\" = \"tls://h:1\"\n\"c@x\" = \"tcp://[::1]:2\"\n\"d@x\" = \"h:3\"";
    let from_file = config(text);
    let drivers = from_file.nodes.values().map(Address::driver).collect::<Vec<_>>();
    assert_eq!(drivers, [Some(Driver::Tls), Some(Driver::Tcp), None]);
    let from_env = from_env(&[("FARCALL_NODES", "b@x=tls://h:1, c@x=tcp://[::1]:2, d@x=h:3")]).unwrap();
    assert_eq!(from_file, from_env);
}

#[test]
fn tls_is_used_by_whoever_dials_accepts_or_could_be_asked_for_it() {
    for text in [
        "driver = \"tls\"",
        "tls.listen = [\"127.0.0.1:0\"]",
        "tls.certificate = \"node.pem\"",
        "tls.ca = [\"ca.pem\"]",
        "nodes = { \"b@x\" = \"tls://h:1\" }",
    ] {
        assert!(config(text).uses_tls(), "{text}");
    }
    for text in ["", "tls.listen = \"off\"", "tls.auth = \"cookie\"", "nodes = { \"b@x\" = \"tcp://h:1\" }"] {
        assert!(!config(text).uses_tls(), "{text}");
    }
}

#[test]
fn a_cookie_is_needed_unless_certificates_alone_count_and_nothing_is_plain() {
    let alone = "driver = \"tls\"\ntls.auth = \"certificate\"\n";
    for text in ["", "tls.listen = \"auto\"", "tls.listen = [\"127.0.0.1:0\"]", "tcp.listen = \"off\""] {
        assert!(!config(&format!("{alone}{text}")).needs_cookie(), "{text}");
    }
    for text in ["tcp.listen = [\"127.0.0.1:0\"]", "nodes = { \"b@x\" = \"tcp://h:1\" }"] {
        assert!(config(&format!("{alone}{text}")).needs_cookie(), "{text}");
    }
    for text in
        ["", "driver = \"tls\"", "driver = \"tls\"\ntls.auth = \"cookie\"", "tls.auth = \"certificate\""]
    {
        assert!(config(text).needs_cookie(), "{text}");
    }
}

#[test]
fn rules_for_peers_come_from_the_file_or_from_the_environment_as_a_whole() {
    let node = |name: &str| name.parse::<NodeName>().unwrap();
    let file = Scratch::new(
        "[access]\ndeny = [\"admin.*\"]\n[access.peers]\n\"web*@*\" = [\"math.*\", \"clock\"]\n\"ops@x\" = \"*\"\n",
    );
    let access = Config::from_file(&file.0).unwrap().access;
    for (peer, actor, may) in [
        ("web1@h", "math.add", true),
        ("web1@h", "clock", true),
        ("web1@h", "billing", false),
        ("ops@x", "billing", true),
        ("ops@x", "admin.stop", false),
        ("other@x", "clock", false),
    ] {
        assert_eq!(access.permits_peer(&node(peer), actor), may, "{peer} {actor}");
    }
    // The list of the file stays, its rules are replaced.
    let variables = [("FARCALL_ACCESS_PEERS", "other@x=clock  math.add, a=b@x=*")];
    let access = Config::load_from(variables, &file.0).unwrap().access;
    assert!(access.permits_peer(&node("other@x"), "math.add"));
    assert!(
        access.permits_peer(&node("a=b@x"), "anything") && !access.permits_peer(&node("a=b@x"), "admin.x")
    );
    assert!(!access.permits_peer(&node("web1@h"), "clock"));
    let nobody = config("[access.peers]").access;
    assert!(!nobody.permits_peer(&node("web1@h"), "clock") && nobody.permits("clock"));
    let nobody = from_env(&[("FARCALL_ACCESS_PEERS", "")]).unwrap().access;
    assert!(!nobody.permits_peer(&node("web1@h"), "clock"));
}

#[test]
fn what_is_not_allowed_of_tls_is_refused_with_key_value_and_range() {
    let error = |text: &str| Config::from_toml(text).unwrap_err().to_string();
    assert!(error("tls.port = 0").starts_with("tls.port = 0 is not allowed: 1 to 65535"));
    let seventeen = format!("tls.crl = [{}]", "\"x\", ".repeat(17));
    for (text, expected) in [
        ("tls.listen = []", "tls.listen = a list of 0 is not allowed: 1 to 16 addresses, or off for none"),
        (
            "tls.listen = [\"1.1.1.1:1\", \"1.1.1.1:1\"]",
            "tls.listen = 1.1.1.1:1 is not allowed: each address once",
        ),
        (
            "tcp.listen = [\"1.1.1.1:1\"]\ntls.listen = [\"2.2.2.2:1\", \"1.1.1.1:1\"]",
            "tls.listen = 1.1.1.1:1 is not allowed: other addresses than those of tcp.listen",
        ),
        ("tls.certificate = \"\"", "tls.certificate = \"\" is not allowed: the path of a PEM file"),
        ("tls.key = \"\"", "tls.key = \"\" is not allowed: the path of a PEM file"),
        ("tls.ca = [\"\"]", "tls.ca = a list of 1 is not allowed: at most 16 paths of PEM files"),
        (&seventeen, "tls.crl = a list of 17 is not allowed: at most 16 paths of PEM files"),
        ("tls.expiry_warning = \"1ms\"", "tls.expiry_warning = 1ms is not allowed: 1s to 87600h"),
        ("tls.expiry_warning = \"100000h\"", "tls.expiry_warning = 100000h is not allowed: 1s to 87600h"),
    ] {
        assert_eq!(error(text), expected);
    }
    config("tcp.listen = [\"127.0.0.1:0\"]\ntls.listen = [\"127.0.0.1:0\"]"); // two free ports
}

#[test]
fn what_is_not_allowed_of_strangers_is_refused_with_key_value_and_range() {
    for (text, error) in [
        ("half_open_per_source_max = 0", "half_open_per_source_max = 0 is not allowed: 1 to 65536"),
        ("accept_rate = 0", "accept_rate = 0 is not allowed: 1 to 1048576"),
        ("accept_rate_per_source = 1048577", "accept_rate_per_source = 1048577 is not allowed: 1 to 1048576"),
        ("sources_max = 0", "sources_max = 0 is not allowed: 1 to 1048576"),
        ("accept_rate = 127", "accept_rate = 127 is not allowed: at least half_open_max, which is 128"),
        (
            "accept_rate_per_source = 7",
            "accept_rate_per_source = 7 is not allowed: at least strangers.half_open_per_source_max, which is 8",
        ),
        ("sources_max = 127", "sources_max = 127 is not allowed: at least half_open_max, which is 128"),
        ("delay_min = \"0s\"", "delay_min = 0s is not allowed: 1ms to 1h"),
        ("delay_max = \"50ms\"", "delay_max = 50ms is not allowed: 100ms to 24h"),
        ("frame_bytes_max = \"2KiB\"", "frame_bytes_max = 2KiB is not allowed: 2724B to 4KiB"),
        ("frame_bytes_max = \"5KiB\"", "frame_bytes_max = 5KiB is not allowed: 2724B to 4KiB"),
        ("bytes_max = \"2KiB\"", "bytes_max = 2KiB is not allowed: 4KiB to 256KiB"),
        ("tls_bytes_max = \"4KiB\"", "tls_bytes_max = 4KiB is not allowed: 8KiB to 1MiB"),
    ] {
        let told = Config::from_toml(&format!("[strangers]\n{text}")).unwrap_err().to_string();
        assert_eq!(told, format!("strangers.{error}"));
    }
    let raised = Config::from_toml("half_open_max = 1000").unwrap_err().to_string();
    assert_eq!(raised, "strangers.accept_rate = 200 is not allowed: at least half_open_max, which is 1000");
    config("[strangers]\nframe_bytes_max = 2724\nbytes_max = 2802");
}
