//! erpc between two Erlang nodes, measured when asked for. What runs in them is `erlang/bench.erl`.
//!
//! A child of this program becomes the Erlang node by executing `erl` in its place: it keeps its process, its core
//! and the pipes to its parent. The parent compiles the source once and hands it to its children by their
//! environment, together with a cookie that is good for this run.

use std::convert::Infallible;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow, bail};

use crate::meter::{ClientSample, Meter};
use crate::side::Side;
use crate::usage::allowed_cores;
use crate::workload::{BLOB_BYTES, Message, Traffic, Workload};

/// erpc, of whatever Erlang is on the path.
pub const SIDE: Side = Side {
    name: "erpc",
    about: "erpc between two Erlang nodes, with --erlang or --only; needs erl",
    version: "of the erl on the path",
    supports,
    server: |_, _| become_node(&["server".to_owned()]),
    client: |addresses, workload, meter| client(addresses, workload, &meter),
};

/// What the parent finds out once, and gives to its children.
struct Prepared {
    beam_base64: String,
    cookie: String,
    side: Side,
}

static PREPARED: OnceLock<Prepared> = OnceLock::new();

/// Where a child finds the compiled source, in base64.
const BEAM: &str = "FARCALL_BENCH_BEAM";
/// Where it finds the cookie, which thus is on no command line.
const COOKIE: &str = "FARCALL_BENCH_COOKIE";
const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/erlang/bench.erl");
const PROGRAM: &str = "erl";

/// The side, with the version of Erlang that is here.
pub fn here() -> Result<&'static Side> {
    Ok(&prepared()?.side)
}

/// Gives a child what it needs to become a node, if this run has any.
pub fn pass_on(command: &mut Command) {
    if let Some(Prepared { beam_base64, cookie, .. }) = PREPARED.get() {
        command.env(BEAM, beam_base64).env(COOKIE, cookie);
    }
}

fn prepared() -> Result<&'static Prepared> {
    if let Some(prepared) = PREPARED.get() {
        return Ok(prepared);
    }
    let (version, beam_base64) = compile(PROGRAM)?;
    let mut random = [0u8; 16];
    File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut random)).context("/dev/urandom")?;
    let cookie = format!("{:032x}", u128::from_ne_bytes(random));
    // Made once, and kept as long as the program runs: a side's version is part of what the program is.
    let side = Side { version: version.leak(), ..SIDE };
    Ok(PREPARED.get_or_init(|| Prepared { beam_base64, cookie, side }))
}

/// The version of Erlang, and the source as it loads it.
fn compile(program: &str) -> Result<(String, String)> {
    let output = erl(program)
        .args(["-eval", COMPILE, "-extra", SOURCE])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| cannot_start(program, error))?;
    let said = String::from_utf8_lossy(&output.stdout);
    match (output.status.success(), said.split_once('\n')) {
        (true, Some((version, beam))) => Ok((version.to_owned(), beam.trim().to_owned())),
        _ => bail!("{program} did not compile {SOURCE}: {said}{}", String::from_utf8_lossy(&output.stderr)),
    }
}

const COMPILE: &str = r#"
    [Source] = init:get_plain_arguments(),
    case compile:file(Source, [binary, report, warnings_as_errors]) of
        {ok, bench, Beam} ->
            Info = fun erlang:system_info/1,
            Named = [Info(otp_release), Info(version), Info(emu_flavor)],
            io:format("OTP ~s (erts ~s, ~s)~n~s~n", Named ++ [base64:encode(Beam)]),
            halt(0);
        _ -> halt(1)
    end."#;

const LOAD: &str = r#"
    {module, bench} = code:load_binary(bench, "bench.erl", base64:decode(os:getenv("FARCALL_BENCH_BEAM"))),
    bench:main(init:get_plain_arguments())."#;

fn cannot_start(program: &str, error: std::io::Error) -> anyhow::Error {
    let missing = error.kind() == ErrorKind::NotFound;
    let hint = if missing { ": install erlang-base, or do without erpc" } else { "" };
    anyhow!(error).context(format!("cannot start {program}{hint}"))
}

/// Erlang without a shell, and with no settings but those that are given here.
fn erl(program: &str) -> Command {
    let mut command = Command::new(program);
    for name in ["ERL_FLAGS", "ERL_AFLAGS", "ERL_ZFLAGS", "ERL_LIBS", "ERL_EPMD_PORT", "ERL_EPMD_ADDRESS"] {
        command.env_remove(name);
    }
    // What goes wrong is said on standard error; a dump would be left behind.
    command.env("ERL_CRASH_DUMP_SECONDS", "0");
    command.args(["-boot", "no_dot_erlang", "-noinput"]);
    command
}

fn supports(workload: &Workload) -> bool {
    match workload.traffic {
        Traffic::Calls { message: Message::Echo | Message::Bytes(1..), .. } | Traffic::Mixed { .. } => true,
        Traffic::Casts => workload.clients == 1,
        _ => false,
    }
}

/// Becomes the node; comes back only with an error.
fn become_node(arguments: &[String]) -> Result<Infallible> {
    let mut command = erl(PROGRAM);
    command
        // No epmd and no file with a cookie; `bench` says where the other node listens.
        .args(["-start_epmd", "false", "-epmd_module", "bench", "-nocookie"])
        .args(["-kernel", "inet_dist_use_interface", "{127,0,0,1}"]);
    if allowed_cores()?.len() == 1 {
        command.args(ONE_CORE);
    }
    if std::env::var_os(BEAM).is_none() {
        prepared()?;
        pass_on(&mut command);
    }
    let error = command.args(["-eval", LOAD, "-extra"]).args(arguments).exec();
    Err(cannot_start(PROGRAM, error))
}

/// A scheduler of each kind, for there is one core.
const ONE_CORE: [&str; 8] = ["+S", "1:1", "+SDcpu", "1:1", "+SDio", "1", "+A", "1"];

fn client(addresses: &[SocketAddr], workload: &Workload, meter: &Rc<Meter>) -> Result<ClientSample> {
    let [address] = addresses else { bail!("one server is called, not {}", addresses.len()) };
    let plan = meter.plan();
    let mut arguments = vec![
        "client".to_owned(),
        address.port().to_string(),
        plan.warmup.as_millis().to_string(),
        plan.window.as_millis().to_string(),
        workload.sample_every().to_string(),
    ];
    arguments.extend(traffic(workload.traffic)?);
    match become_node(&arguments)? {}
}

/// As `bench.erl` has it. No bytes are the small message.
fn traffic(traffic: Traffic) -> Result<Vec<String>> {
    let (name, numbers) = match traffic {
        Traffic::Calls { message: Message::Echo, outstanding } => ("calls", vec![0, outstanding as usize]),
        Traffic::Calls { message: Message::Bytes(bytes @ 1..), outstanding } => {
            ("calls", vec![bytes, outstanding as usize])
        }
        Traffic::Mixed { small, large } => ("mixed", vec![small as usize, large as usize, BLOB_BYTES]),
        Traffic::Casts => ("casts", Vec::new()),
        other => bail!("erpc is not measured with {other:?}"),
    };
    Ok([name.to_owned()].into_iter().chain(numbers.iter().map(usize::to_string)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload;

    #[test]
    fn a_missing_erl_is_said_with_what_to_install() {
        let error = format!("{:#}", compile("no-such-erl").unwrap_err());
        assert!(error.contains("cannot start no-such-erl: install erlang-base"), "{error}");
    }

    #[test]
    fn what_is_supported_can_be_told_to_the_client() {
        let supported = workload::all().into_iter().filter(supports).collect::<Vec<_>>();
        for workload in &supported {
            traffic(workload.traffic).unwrap();
        }
        assert_eq!(supported.len(), 10);
        assert!(!supports(&workload::find("start").unwrap()));
    }
}
