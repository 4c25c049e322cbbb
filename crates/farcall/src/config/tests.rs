//! The configuration as a whole: every key in every layer, every error, and the texts that describe it.

mod drivers;
mod reference;
mod written;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::access::AccessMode;
use crate::discovery::Discovery;

const MANUAL: &str = include_str!("../manual/configuration.md");

/// A file of its own that is gone with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(text: impl AsRef<[u8]>) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let unique =
            format!("farcall-config-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(unique);
        fs::write(&path, text).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0); // a test may have removed it
    }
}

fn from_env(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    Config::load_from(variables.iter().copied(), "/nonexistent/farcall.toml")
}

/// A value other than the default for every key, and the same in both ways of writing it.
fn sample(key: &KeyDoc) -> (String, &'static str) {
    let env = match (key.key, key.unit) {
        ("name", _) => "alpha@10.0.0.1",
        ("cluster", _) => "blue",
        ("cookie_file", _) => "/etc/farcall/cookie",
        ("discovery_file", _) => "/etc/farcall/nodes",
        ("ports", _) => "25100..=25120",
        ("mapper.use", _) => "auto",
        ("mapper.listen", _) => "127.0.0.1,::1",
        ("services.rules", _) => "^web[0-9]+$ -> header nav,db -> rows",
        ("services.hosts_file", _) => "/etc/farcall/hosts",
        ("services.policy", _) => "least_busy",
        ("tcp.listen", _) => "0.0.0.0:1,[::]:2",
        ("compress", _) => "zstd:9",
        ("driver", _) => "tls",
        ("tls.listen", _) => "0.0.0.0:3,[::]:4",
        ("tls.certificate", _) => "/etc/farcall/tls/node.pem",
        ("tls.key", _) => "/etc/farcall/tls/node-key.pem",
        ("tls.auth", _) => "certificate",
        ("tls.version_min", _) => "1.2",
        ("tls.expiry_warning", _) => "168h",
        ("tcp.nodelay" | "tls.reload_on_sighup", _) => "false",
        ("hidden" | "tcp.v6_only" | "allow_plaintext" | "strangers.limit_loopback", _) => "true",
        ("nodes", _) => "b@x=h:1,c@::1=[::1]:2,d@x=tls://h:3",
        ("access.peers", _) => "web*@*=math.* clock,ops@x=*",
        ("strangers.accept_rate", _) => "777",
        ("strangers.sources_max", _) => "7777",
        ("strangers.frame_bytes_max", _) => "3KiB",
        ("strangers.bytes_max" | "strangers.tls_bytes_max", _) => "17KiB",
        ("metrics_listen", _) => "127.0.0.1:9464",
        ("tcp.keepalive_count", _) => "7",
        ("write_stall_timeout" | "backoff_max", _) => "7m",
        ("mailbox_bytes_max" | "unsent_bytes_max" | "acceptor_bytes_max" | "reassembly_bytes_max", _) => {
            "77MiB"
        }
        ("idle_spin", _) => "70us",
        (_, Unit::Duration) => "7s",
        (_, Unit::Bytes) => "7KiB",
        ("strangers.half_open_per_source_max", _) => "7",
        (_, Unit::Number) => "77",
        (_, Unit::List) => "math.*, clock",
        (key, unit) => panic!("no sample for {key} ({unit})"),
    };
    let toml = match key.unit {
        Unit::Number | Unit::Switch => env.to_owned(),
        Unit::List if key.key == "services.rules" => {
            r#"["^web[0-9]+$ -> header nav", "db -> rows"]"#.to_owned()
        }
        Unit::List => r#"["math.*", "clock"]"#.to_owned(),
        Unit::Map if key.key == "access.peers" => {
            r#"{ "web*@*" = ["math.*", "clock"], "ops@x" = ["*"] }"#.to_owned()
        }
        Unit::Map => r#"{ "b@x" = "h:1", "c@::1" = "[::1]:2", "d@x" = "tls://h:3" }"#.to_owned(),
        Unit::Text | Unit::Duration | Unit::Bytes => format!("{env:?}"),
    };
    (toml, env)
}

#[test]
fn every_key_can_be_set_in_a_file_and_in_the_environment_with_the_same_effect() {
    for key in keys() {
        let (toml, env) = sample(key);
        // The largest message would not fit the other bounds' samples; each key is set alone.
        let from_file = Config::from_toml(&format!("{} = {toml}", key.key)).unwrap_or_else(|e| panic!("{e}"));
        let from_env = from_env(&[(&key.variable(), env)]).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(from_file, from_env, "{}", key.key);
        assert_ne!(from_file, Config::default(), "{} has no effect", key.key);
    }
}

#[test]
fn the_list_of_keys_is_what_the_file_accepts() {
    // serde names every key it knows when it meets one it does not know.
    let known_to_serde = |table: &str| -> BTreeSet<String> {
        let text = if table.is_empty() { "zzz = 1".to_owned() } else { format!("[{table}]\nzzz = 1") };
        let error = toml::from_str::<Config>(&text).unwrap_err();
        let (_, expected) = error.message().split_once("expected").unwrap();
        let names = expected.split('`').skip(1).step_by(2);
        names.map(|name| if table.is_empty() { name.to_owned() } else { format!("{table}.{name}") }).collect()
    };
    let mut serde_keys = known_to_serde("");
    for table in ["tcp", "tls", "mapper", "services", "access", "strangers"] {
        assert!(serde_keys.remove(table));
        serde_keys.extend(known_to_serde(table));
    }
    let listed: BTreeSet<String> = keys().iter().map(|key| key.key.to_owned()).collect();
    assert_eq!(listed, serde_keys);
}

/// What has no default.
const UNSET: [&str; 16] = [
    "name",
    "cookie_file",
    "nodes",
    "discovery_file",
    "access.allow",
    "access.deny",
    "access.peers",
    "access.inspect",
    "access.operate",
    "tls.certificate",
    "tls.key",
    "tls.ca",
    "tls.crl",
    "services.rules",
    "services.hosts",
    "services.hosts_file",
];

#[test]
fn the_listed_defaults_are_the_defaults() {
    let default = Config::default();
    default.validate().unwrap();
    for key in keys() {
        match key.default {
            "unset" => assert!(UNSET.contains(&key.key), "{}", key.key),
            written => {
                assert_eq!(from_env(&[(&key.variable(), written)]).unwrap(), default, "{}", key.key);
            }
        }
    }
    assert_eq!((&default.name, &default.cookie_file, &default.discovery_file), (&None, &None, &None));
    assert!(default.nodes.is_empty() && default.access.mode() == AccessMode::Off);
    assert!(default.access.permits_peer(&"any@x".parse().unwrap(), "any"), "there are no rules for peers");
    assert_eq!((&default.tls.certificate, &default.tls.key), (&None, &None));
    assert!(default.tls.ca.is_empty() && default.tls.crl.is_empty());
    let services = &default.services;
    assert!(services.rules.is_empty() && services.hosts.is_empty() && services.hosts_file.is_none());
}

#[test]
fn the_environment_wins_over_the_file_and_the_file_over_the_default() {
    let file = Scratch::new("call_timeout = \"2s\"\nsend_timeout = \"2s\"\n[nodes]\n\"b@x\" = \"h:1\"\n");
    let config = Config::load_from(
        [("FARCALL_CALL_TIMEOUT", "3s"), ("FARCALL_NODES", "c@x=h:2"), ("PATH", "/bin"), ("FARCALLX", "1")],
        &file.0,
    )
    .unwrap();
    assert_eq!(config.call_timeout, Duration::from_secs(3));
    assert_eq!(config.send_timeout, Duration::from_secs(2));
    assert_eq!(config.connect_timeout, Duration::from_secs(5));
    assert_eq!(config.nodes.keys().map(NodeName::as_str).collect::<Vec<_>>(), ["c@x"], "replaced as a whole");
}

#[test]
fn the_variable_names_another_file_which_must_be_there() {
    let (named, default) = (Scratch::new("cluster = \"named\""), Scratch::new("cluster = \"default\""));
    let load = |variables: &[(&str, &Path)]| Config::load_from(variables.iter().copied(), &default.0);
    assert_eq!(load(&[]).unwrap().cluster, "default");
    assert_eq!(load(&[("FARCALL_CONFIG", &named.0)]).unwrap().cluster, "named");
    let missing = load(&[("FARCALL_CONFIG", Path::new("/nonexistent/x.toml"))]).unwrap_err();
    assert!(matches!(missing, ConfigError::Unreadable { .. }), "{missing}");
    assert_eq!(from_env(&[]).unwrap(), Config::default(), "the default file need not be there");
    let directory = std::env::temp_dir();
    assert!(matches!(Config::from_file(directory), Err(ConfigError::Unreadable { .. })));
}

#[test]
fn a_file_is_bounded_and_is_text() {
    let large = Scratch::new(vec![b'#'; (1 << 20) + 1]);
    assert!(matches!(Config::from_file(&large.0), Err(ConfigError::TooLarge { .. })));
    assert!(Config::from_file(&Scratch::new(vec![b'#'; 1 << 20]).0).is_ok());
    let binary = Scratch::new([0xff, 0xfe]);
    // The default file may be missing, and may not be unreadable.
    let error = Config::load_from([("A", "b")], &binary.0).unwrap_err();
    assert!(matches!(error, ConfigError::Unreadable { .. }), "{error}");
}

#[test]
fn an_unknown_key_is_named_with_its_table_and_with_what_may_have_been_meant() {
    let error = |text: &str| Config::from_toml(text).unwrap_err().to_string();
    assert_eq!(
        error("call_timout = \"5s\""),
        "configuration: unknown key \"call_timout\"; did you mean call_timeout?"
    );
    assert_eq!(
        error("[tcp]\nprot = 1"),
        "configuration: unknown key \"tcp.prot\"; did you mean tcp.port or tls.port or mapper.port?"
    );
    assert!(error("port = 1").contains("tcp.port"));
    assert_eq!(
        error("[tls]\ncertificat = \"x\""),
        "configuration: unknown key \"tls.certificat\"; did you mean tls.certificate?"
    );
    assert!(error("[strangers]\naccept_rat = 1").contains("strangers.accept_rate"));
    assert_eq!(error("qqqqqqqq = 1"), "configuration: unknown key \"qqqqqqqq\"");
    assert!(error(&format!("{} = 1", "q".repeat(10_000))).len() < 200);
    let file = Scratch::new("[access]\nalow = []");
    let error = Config::from_file(&file.0).unwrap_err().to_string();
    assert!(error.starts_with(&file.0.display().to_string()) && error.contains("access.allow"), "{error}");
}

#[test]
fn an_unknown_variable_is_an_error_that_lists_near_names() {
    let error = from_env(&[("FARCALL_CALL_TIMOUT", "5s")]).unwrap_err().to_string();
    assert_eq!(error, "unknown environment variable FARCALL_CALL_TIMOUT; did you mean FARCALL_CALL_TIMEOUT?");
    let error = from_env(&[("FARCALL_PORT", "5s")]).unwrap_err().to_string();
    assert!(error.contains("FARCALL_TCP_PORT"), "{error}");
    assert!(from_env(&[("FARCALL_", "x")]).is_err());
    assert!(from_env(&[("FARCALL_call_timeout", "5s")]).is_err(), "letter case counts");
}

#[test]
fn a_secret_in_the_wrong_place_is_explained_and_never_shown() {
    for text in [
        "cookie = \"hunter2\"",
        "cookie = \"hunter2",
        "cookie = hunter2",
        "[tcp]\ncookie = \"hunter2\"",
        "[cookie]\nvalue = \"hunter2\"",
        "secret_cookie = \"hunter2\"",
        "cooky = \"hunter2\"",
    ] {
        let error = Config::from_toml(text).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
    for variable in ["FARCALL_COOKIE", "FARCALL_SECRET", "FARCALL_PASSWORD", "FARCALL_COOKEI"] {
        let error = from_env(&[(variable, "hunter2")]).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
    let error = Config::from_toml("cookie = \"x\"").unwrap_err().to_string();
    assert!(error.contains("name that file with cookie_file"), "{error}");
    let error = from_env(&[("FARCALL_COOKIE", "x")]).unwrap_err().to_string();
    assert!(error.contains("name that file with cookie_file"), "{error}");
}

#[test]
fn a_text_that_is_no_toml_is_an_error_with_its_line() {
    let error = Config::from_toml("name = \"a@h\"\n\ncall_timeout = = 3\n").unwrap_err();
    assert!(matches!(error, ConfigError::Syntax { line: 3, .. }), "{error}");
    let error = Config::from_toml("tick = \"1s\"\ntick = \"2s\"").unwrap_err();
    assert!(matches!(error, ConfigError::Syntax { line: 2, .. }), "{error}");
}

#[test]
fn a_value_of_the_wrong_kind_is_named_with_its_key_and_its_source() {
    let error = |text: &str| Config::from_toml(text).unwrap_err().to_string();
    for (text, key, hint) in [
        ("call_timeout = 5", "call_timeout", "500ms or 5s"),
        ("call_timeout = \"5 sec\"", "call_timeout", "500ms or 5s"),
        ("call_timeout = \"off\"", "call_timeout", "500ms or 5s"),
        ("client_idle = \"never\"", "client_idle", "off, or"),
        ("fragment_bytes = \"64KB\"", "fragment_bytes", "64KiB"),
        ("fragment_bytes = -1", "fragment_bytes", "64KiB"),
        ("name = \"alpha\"", "name", "name@host"),
        ("compress = \"gzip\"", "compress", "lz4"),
        ("tcp = 1", "tcp", "expected"),
        ("tcp.port = 70000", "tcp.port", "70000"),
        ("tcp.listen = true", "tcp.listen", "auto, off"),
        ("nodes = [\"b@x\"]", "nodes", "expected a map"),
        ("nodes = { \"b@x\" = \"h\" }", "nodes", "no port"),
        ("nodes = { \"b\" = \"h:1\" }", "nodes", "no host"),
        ("metrics_listen = \"localhost:9\"", "metrics_listen", "write IP:port"),
        ("access.allow = \"math\"", "access.allow", "expected a sequence"),
        ("access.allow = [\"\"]", "access.allow", "1 to 255"),
        ("access.peers = [\"a@x\"]", "access.peers", "expected a map"),
        ("access.peers = { \"a@x\" = 1 }", "access.peers", "a list of patterns, or a text"),
        ("access.peers = { \"\" = [\"x\"] }", "access.peers", "1 to 255"),
        ("access.peers = { \"a@x\" = [\"\"] }", "access.peers", "1 to 255"),
        ("driver = \"ssl\"", "driver", "neither tcp nor tls"),
        ("allow_plaintext = \"yes\"", "allow_plaintext", "expected a boolean"),
        ("tls.listen = true", "tls.listen", "auto, off"),
        ("tls.port = 70000", "tls.port", "70000"),
        ("tls.ca = \"ca.pem\"", "tls.ca", "expected a sequence"),
        ("tls.auth = \"none\"", "tls.auth", "both, certificate, cookie"),
        ("tls.version_min = \"1.1\"", "tls.version_min", "1.2, 1.3"),
        ("tls.version_min = 1.3", "tls.version_min", "expected a string"),
        ("nodes = { \"b@x\" = \"udp://h:1\" }", "nodes", "drivers are tcp and tls"),
        ("nodes = { \"b@x\" = \"tls://h\" }", "nodes", "no port"),
        ("strangers.delay_min = 1", "strangers.delay_min", "500ms or 5s"),
        ("strangers.accept_rate = -1", "strangers.accept_rate", "-1"),
        ("in_flight_max = \"many\"", "in_flight_max", "expected"),
    ] {
        let error = error(text);
        assert!(
            error.starts_with(&format!("configuration: {key}: ")) && error.contains(hint),
            "{text}: {error}"
        );
    }
    for (variable, value, hint) in [
        ("FARCALL_IN_FLIGHT_MAX", "many", "no whole number"),
        ("FARCALL_IN_FLIGHT_MAX", "", "no whole number"),
        ("FARCALL_TCP_NODELAY", "yes", "neither true nor false"),
        ("FARCALL_NODES", "b@x", "no `=`"),
        ("FARCALL_NODES", "b@x=h", "no port"),
        ("FARCALL_TCP_LISTEN", "", "0.0.0.0:5369"),
        ("FARCALL_NAME", "alpha", "name@host"),
        ("FARCALL_DRIVER", "TLS", "neither tcp nor tls"),
        ("FARCALL_TLS_AUTH", "", "both, certificate, cookie"),
        ("FARCALL_ALLOW_PLAINTEXT", "1", "neither true nor false"),
        ("FARCALL_ACCESS_PEERS", "web@x", "no `=`"),
    ] {
        let error = from_env(&[(variable, value)]).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("environment variable {variable}: ")) && error.contains(hint),
            "{error}"
        );
    }
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_no_text_is_an_error_and_one_of_others_is_not() {
    use std::os::unix::ffi::OsStringExt;
    let bytes = || OsString::from_vec(vec![0xff]);
    let load = |name: &str| Config::load_from([(OsString::from(name), bytes())], "/nonexistent/farcall.toml");
    assert!(load("FARCALL_NAME").unwrap_err().to_string().contains("no UTF-8"));
    assert_eq!(load("OTHER").unwrap(), Config::default());
}

#[test]
fn access_is_allowed_or_denied_and_not_both_even_from_two_layers() {
    let both = Config::from_toml("[access]\nallow = [\"a\"]\ndeny = [\"b\"]").unwrap_err().to_string();
    assert!(both.contains("exclude each other"), "{both}");
    let file = Scratch::new("access.deny = [\"shell\"]");
    let layers = Config::load_from([("FARCALL_ACCESS_ALLOW", "math.*")], &file.0).unwrap_err().to_string();
    assert!(
        layers.contains("file and environment together") && layers.contains("exclude each other"),
        "{layers}"
    );
    let deny = Config::from_file(&file.0).unwrap().access;
    assert!(!deny.permits("shell") && deny.permits("math.add"));
    let closed = from_env(&[("FARCALL_ACCESS_ALLOW", "")]).unwrap().access;
    assert!(!closed.permits("math.add"), "an empty allow list closes the node");
}

#[test]
fn what_is_not_allowed_is_refused_with_key_value_and_range() {
    for (text, error) in [
        ("tick = \"1ms\"", "tick = 1ms is not allowed: 10ms to 1h"),
        ("call_timeout = \"0s\"", "call_timeout = 0s is not allowed: 1ms to 24h"),
        ("client_idle = \"0s\"", "client_idle = 0s is not allowed: 1ms to 24h"),
        ("fragment_bytes = 4095", "fragment_bytes = 4095B is not allowed: 4KiB to 1MiB"),
        ("fragment_bytes = \"2MiB\"", "fragment_bytes = 2MiB is not allowed: 4KiB to 1MiB"),
        (
            "unsent_bytes_max = \"16MiB\"",
            "unsent_bytes_max = 16MiB is not allowed: at least 16448KiB (message_bytes_max + 64KiB)",
        ),
        (
            "message_bytes_max = \"20MiB\"",
            "mailbox_bytes_max = 16MiB is not allowed: at least 20MiB (message_bytes_max)",
        ),
        (
            "reassembly_bytes_max = \"1MiB\"",
            "reassembly_bytes_max = 1MiB is not allowed: at least 16MiB (message_bytes_max)",
        ),
        (
            "acceptor_bytes_max = \"16MiB\"",
            "acceptor_bytes_max = 16MiB is not allowed: at least 16448KiB (message_bytes_max + 64KiB)",
        ),
        ("message_bytes_max = \"2GiB\"", "message_bytes_max = 2GiB is not allowed: 4KiB to 1GiB"),
        ("in_flight_max = 0", "in_flight_max = 0 is not allowed: 1 to 16777216"),
        ("half_open_max = 65537", "half_open_max = 65537 is not allowed: 1 to 65536"),
        ("tick_intensity = 1", "tick_intensity = 1 is not allowed: 2 to 1000"),
        ("backoff_max = \"1ms\"", "backoff_max = 1ms is not allowed: at least backoff_min, which is 100ms"),
        (
            "write_stall_timeout = \"1s\"",
            "write_stall_timeout = 1s is not allowed: at least tick, which is 10s",
        ),
        ("tcp.keepalive_count = 0", "tcp.keepalive_count = 0 is not allowed: 1 to 127"),
        ("tcp.keepalive_idle = \"500ms\"", "tcp.keepalive_idle = 500ms is not allowed: 1s to 32767s"),
        (
            "tcp.keepalive_interval = \"1500ms\"",
            "tcp.keepalive_interval = 1500ms is not allowed: whole seconds, because the kernel counts in them",
        ),
        ("tcp.listen = []", "tcp.listen = a list of 0 is not allowed: 1 to 16 addresses, or off for none"),
        (
            "tcp.listen = [\"1.1.1.1:1\", \"1.1.1.1:1\"]",
            "tcp.listen = 1.1.1.1:1 is not allowed: each address once",
        ),
        ("tcp.send_buffer_bytes = 1", "tcp.send_buffer_bytes = 1B is not allowed: 4KiB to 1GiB"),
        ("cluster = \"\"", "cluster = \"\" is not allowed: 1 to 64 bytes without control characters"),
        ("cookie_file = \"\"", "cookie_file = \"\" is not allowed: the path of a file"),
    ] {
        assert_eq!(Config::from_toml(text).unwrap_err().to_string(), error);
    }
    let error = Config::from_toml("tcp.port = 0").unwrap_err().to_string();
    assert!(error.starts_with("tcp.port = 0 is not allowed: 1 to 65535"), "{error}");
    assert!(Config::from_toml("tcp.listen = [\"127.0.0.1:0\", \"127.0.0.1:0\"]").is_ok(), "two free ports");
    assert!(Config::from_toml("drain_timeout = \"0s\"\nmailbox_patience = \"0s\"").is_ok());
}

#[test]
fn a_configuration_built_by_hand_is_validated_too() {
    let config = Config { compress: Compress::Zstd(22), ..Config::default() };
    let error = config.validate().unwrap_err().to_string();
    assert_eq!(error, "compress = zstd:22 is not allowed: off, lz4, zstd, or zstd:1 to zstd:19");
}

#[test]
fn the_sources_of_addresses_are_asked_in_their_order() {
    let config = Config::from_toml("tcp.port = 7\n[nodes]\n\"b@x\" = \"h:1\"").unwrap();
    let sources = config.discovery();
    let ask = |name: &str| {
        let node: NodeName = name.parse().unwrap();
        futures::executor::block_on(sources.addresses(&node)).unwrap().remove(0).to_string()
    };
    assert_eq!((ask("b@x"), ask("c@x")), ("h:1".to_owned(), "x:7".to_owned()));
}

#[tokio::test]
async fn the_file_of_addresses_is_asked_before_the_name_and_after_the_table() {
    let file = Scratch::new("b@x = file:1\nc@x = file:2\n");
    let mut config = Config::from_toml("[nodes]\n\"b@x\" = \"table:1\"").unwrap();
    config.discovery_file = Some(file.0.clone());
    let sources = config.discovery();
    for (name, wanted) in [("b@x", "table:1"), ("c@x", "file:2"), ("d@x", "x:5369")] {
        let found = sources.addresses(&name.parse().unwrap()).await.unwrap();
        assert_eq!(found.first().unwrap().to_string(), wanted);
    }
}

#[test]
fn the_manual_names_no_key_that_does_not_exist() {
    // Second column of the table "coming from gen_rpc", and first of the table of keys.
    let (settings, coming) = MANUAL.split_once("## Coming from gen_rpc").unwrap();
    let known = |name: &str| keys().iter().any(|key| key.key == name);
    let cell = |line: &str, column: usize| line.split('|').nth(column).unwrap_or_default().trim().to_owned();
    for line in settings.lines().filter(|line| line.starts_with("| `")) {
        let name = cell(line, 1);
        assert!(known(name.trim_matches('`')), "{line}");
    }
    let mut named = 0;
    for line in coming.lines().filter(|line| line.starts_with("| `")) {
        for name in cell(line, 3).split('`').skip(1).step_by(2) {
            assert!(known(name.split(" = ").next().unwrap_or_default()), "{name} in {line}");
            named += 1;
        }
    }
    assert!(named > 25, "the table was not read");
}

#[test]
fn the_sample_file_is_accepted_and_shows_every_key() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/farcall.toml");
    let sample = fs::read_to_string(&path).unwrap();
    Config::from_file(&path).unwrap();
    // `#key = value` is a setting left at its default, `# words` is prose.
    let uncommented = sample.lines().map(|line| match line.strip_prefix('#') {
        Some(setting) if setting.starts_with(|c: char| c.is_ascii_lowercase() || c == '"' || c == '[') => {
            setting
        }
        _ => line,
    });
    let all = uncommented.collect::<Vec<_>>().join("\n");
    let table: Table = toml::from_str(&all).unwrap();
    Config::from_toml(&all).unwrap();
    for key in keys() {
        let there = match key.key.split_once('.') {
            None => table.contains_key(key.key),
            Some((outer, inner)) => table.get(outer).and_then(|below| below.get(inner)).is_some(),
        };
        assert!(there || key.key == "access.deny", "{} is not shown", key.key); // beside allow, deny is an error
    }
}

#[test]
fn the_sample_file_states_the_defaults() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/farcall.toml");
    let sample = fs::read_to_string(&path).unwrap();
    for key in keys().iter().filter(|key| key.default != "unset") {
        let word = key.key.rsplit('.').next().unwrap_or_default();
        let quoted = format!("#{word} = \"{}\"", key.default);
        let bare = format!("#{word} = {}", key.default);
        assert!(
            sample.lines().any(|line| line.starts_with(&quoted) || line.starts_with(&bare)),
            "{} is not shown with its default {}",
            key.key,
            key.default
        );
    }
}
