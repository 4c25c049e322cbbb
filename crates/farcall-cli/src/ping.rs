//! `farcall ping`: how long to a node and back.

use std::time::Duration;

use serde::Serialize;

use crate::args::Ping;
use crate::output::Output;
use crate::report::Report;
use crate::session::Session;

/// Connects, then pings as often as asked.
pub(crate) async fn ping(session: &Session, ping: &Ping, output: &mut Output) -> Result<(), Report> {
    #[derive(Serialize)]
    struct Connected<'a> {
        node: &'a str,
        connected_us: u128,
    }
    #[derive(Serialize)]
    struct Answered<'a> {
        node: &'a str,
        seq: u64,
        round_trip_us: u128,
    }
    let node = ping.node.as_str();
    let took = session.node.ping_within(&session.target, session.left()).await?;
    match output.is_json() {
        true => output.document(&Connected { node, connected_us: took.as_micros() })?,
        false => output.line(&format!("{node}: connected and answered in {}", shown(took)))?,
    }
    let mut times = Vec::new();
    for seq in 1..=ping.count {
        if output.is_closed() {
            break;
        }
        if seq > 1 {
            tokio::time::sleep(ping.interval).await;
        }
        let took = session.node.ping_within(&session.target, session.timeout).await?;
        match output.is_json() {
            true => output.document(&Answered { node, seq, round_trip_us: took.as_micros() })?,
            false => output.line(&format!("{node}: {}", shown(took)))?,
        }
        times.push(took);
    }
    if let (Some(min), Some(max), false) = (times.iter().min(), times.iter().max(), output.is_json()) {
        let count = u32::try_from(times.len()).unwrap_or(u32::MAX);
        let mean = times.iter().sum::<Duration>() / count.max(1);
        if count > 1 {
            let (min, mean, max) = (shown(*min), shown(mean), shown(*max));
            output.line(&format!("{count} answers: fastest {min}, mean {mean}, slowest {max}"))?;
        }
    }
    Ok(())
}

fn shown(time: Duration) -> String {
    match time.as_micros() {
        micros @ 0..1000 => format!("{micros} us"),
        _ => format!("{:.1} ms", time.as_secs_f64() * 1000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short_to_read() {
        assert_eq!(shown(Duration::from_micros(73)), "73 us");
        assert_eq!(shown(Duration::from_micros(1250)), "1.2 ms");
        assert_eq!(shown(Duration::from_secs(2)), "2000.0 ms");
    }
}
