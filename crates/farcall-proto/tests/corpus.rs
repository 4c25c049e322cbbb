//! Replays the committed fuzz corpus through what the fuzz targets run.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that panics has failed, as it should"
)]

mod support;

use std::collections::BTreeMap;
use std::path::Path;

use support::{Pair, fuzz_entries, route, server};

fn replay(target: &str, entry: fn(&[u8])) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut count = 0;
    for file in std::fs::read_dir(&dir).unwrap() {
        entry(&std::fs::read(file.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count > 0, "{} is empty", dir.display());
}

#[test]
fn the_corpus_of_frames_does_no_harm() {
    replay("frame", fuzz_entries::frame);
}

#[test]
fn the_corpus_of_what_mappers_hear_and_say_does_no_harm() {
    replay("portmap", fuzz_entries::portmap);
}

#[test]
fn the_corpus_of_what_is_said_in_sessions_does_no_harm() {
    replay("notices", fuzz_entries::notices);
}

#[test]
fn the_corpus_of_what_acceptors_send_does_no_harm() {
    replay("link_client", fuzz_entries::link_client);
}

#[test]
fn the_corpus_of_what_clients_send_does_no_harm() {
    replay("link_acceptor", fuzz_entries::link_acceptor);
}

#[test]
fn the_corpus_of_what_strangers_send_does_no_harm() {
    replay("pre_auth", fuzz_entries::pre_auth);
}

#[test]
fn a_stranger_that_does_all_right_is_let_in() {
    for script in [&[0, 0, 0, 0][..], &[8, 0, 0, 0], &[24, 0, 0, 0], &[32, 0, 0, 0], &[1, 0, 0]] {
        assert!(
            fuzz_entries::is_let_in(script),
            "the scripts are out of step with the handshake: {script:?}"
        );
    }
    for script in [&[16, 0, 0, 0][..], &[4, 0, 0, 0], &[0, 0, 0], &[1, 0]] {
        assert!(!fuzz_entries::is_let_in(script), "{script:?}");
    }
}

#[test]
fn the_corpus_of_fragments_does_no_harm() {
    replay("fragments", fuzz_entries::fragments);
}

/// Whole conversations.
type Talk = (&'static str, fn(&mut Pair));

fn talks() -> [Talk; 7] {
    [
        ("calls", |pair| {
            pair.call("a", "echo", b"x");
            pair.call("a", "fault", b"");
            pair.client.ping(None, 0).unwrap();
        }),
        ("casts", |pair| {
            let small = pair.cast("a", b"small");
            let large = pair.cast("a", &[1; 3000]);
            pair.confirm(small, None).unwrap();
            pair.confirm(large, None).unwrap();
        }),
        ("traces", |pair| {
            pair.trace = farcall_proto::trace::TraceContext::new([1; 16], [2; 8], true);
            pair.call("a", "echo", b"x");
            pair.call("a", "echo", &[2; 4000]);
            pair.cast("a", b"small");
            pair.open(300, 1, 100);
        }),
        ("delivers", |pair| {
            let kind = farcall_proto::link::SubmitKind::Deliver;
            pair.submit(kind, route("a", "m"), b"d", None).unwrap();
        }),
        ("items", |pair| {
            let ticket = pair.open(300, 5, 100);
            pair.run();
            while let farcall_proto::link::NextItem::Item { .. } | farcall_proto::link::NextItem::Opened =
                pair.client.poll_item(ticket, || 0)
            {
                pair.run();
            }
        }),
        ("fragments", |pair| {
            pair.call("a", "large", &server::script(0, 5000));
            pair.call("b", "echo", &[2; 4000]);
            pair.call("a", "echo", &[3; 2000]);
        }),
        ("goodbye", |pair| {
            let ticket = pair.call("a", "never", b"");
            pair.run();
            pair.client.cancel(ticket);
            pair.acceptor.goodbye(farcall_proto::link::frame::Goodbye::Draining);
        }),
    ]
}

/// What `notices` reads, and the scripts that `pre_auth` and `fragments` read, for which any bytes are one.
const SCRIPTS: &[(&str, &str, &[u8])] = &[
    ("notices", "monitors", &[1, 3, 1, 1, b'a', 1, 3, 2, 1, b'a', 2, 1, 1, 3, 3, 0xac, 0x02, 2]),
    ("notices", "links", b"\x04\x04\x01a\x01b\x05\x04\x01a\x01b\x04\x04\x01a\x01b\x06\x05\x01a\x01b\x01"),
    (
        "notices",
        "members",
        b"\x12\x01\x04\x10\x0b\x01\x01\x01\x01\x01s\x01g\x01a\x02\x11\x09\x02\x01\x01s\x01g\x01a\x00",
    ),
    ("notices", "kinds-of-later-versions", &[0xc8, 0x01, 5, 1, 2, 3, 4, 5, 2, 3, 1, 9, 9, 7, 0, 3, 2, 1, 99]),
    ("pre_auth", "dials", &[0, 0, 0, 0]),
    ("pre_auth", "dials-in-pieces", &[0, 0x80, 0xc0, 0x40]),
    ("pre_auth", "dials-another-node", &[0, 2, 0, 1, 0, 60, b'x', 0, 0]),
    ("pre_auth", "dials-with-the-second-cookie", &[0, 0, 3, 3, 1, 3, 5, 1]),
    ("pre_auth", "dials-with-a-wrong-cookie", &[0, 0, 3, 3, 2]),
    ("pre_auth", "dials-with-its-certificate", &[8, 0, 0, 0]),
    ("pre_auth", "dials-with-a-certificate-for-another", &[16, 0, 0, 0]),
    ("pre_auth", "dials-with-a-certificate-for-its-host", &[24, 0, 0, 0]),
    ("pre_auth", "dials-who-is-busy", &[4, 0, 0, 0]),
    ("pre_auth", "dials-within-the-least-limits", &[32, 0, 0, 0]),
    ("pre_auth", "says-more-than-the-least-limits", &[32, 2, 0, 8, 6, 158, 3]),
    ("pre_auth", "sends-what-is-none", b"\0\x05\x20GET / HTTP/1.1\r\nHost: example\r\n\r\n"),
    ("pre_auth", "answers", &[1, 0, 0]),
    ("pre_auth", "declines", &[1, 0, 3, 7, 0]),
    ("pre_auth", "answers-as-another", &[1, 0, 2, 0, 1, 0, 1, b'x']),
    ("fragments", "requests", &[0, 0, 0, 30, 40, 0x0b, 0, 0x10, 30, 20, 3, 0]),
    ("fragments", "replies", &[1, 0, 6, 30, 40, 0x08, 9, 20, 20, 0x0b, 0, 3, 0]),
    ("fragments", "given-up", &[0, 0, 4, 30, 40, 4, 2, 30]),
    ("fragments", "repeated", &[0, 0, 4, 30, 40, 2, 30, 5]),
    ("fragments", "one-byte-too-many", &[0, 0, 4, 30, 40, 3, 3]),
    ("fragments", "overrun", &[1, 0, 6, 1, 4, 6, 32, 100, 0, 0]),
    ("fragments", "too-many", &[0, 0, 4, 9, 9, 8, 4, 9, 9, 16, 4, 9, 9, 24, 4, 9, 9, 32, 4, 9, 9]),
];

/// What the scripts and the conversations are as inputs: the fuzz target, the name, and the bytes.
fn scripted() -> BTreeMap<(&'static str, String), Vec<u8>> {
    let scripts = SCRIPTS.iter().map(|(target, name, bytes)| ((*target, (*name).to_owned()), bytes.to_vec()));
    let mut inputs: BTreeMap<_, _> = scripts.collect();
    for (name, talk) in talks() {
        let mut pair = Pair::new(fuzz_entries::tight());
        talk(&mut pair);
        pair.run();
        let split = [37];
        for (target, wire) in [("link_acceptor", &pair.up.wire), ("link_client", &pair.down.wire)] {
            inputs.insert((target, name.to_owned()), [&split, &wire[..]].concat());
            let mut rest = &wire[..];
            while let Some((len, behind)) = rest.split_first_chunk::<4>() {
                let (frame, behind) = behind.split_at(u32::from_le_bytes(*len) as usize);
                if frame.len() < 200 {
                    inputs.insert(("frame", format!("kind-{:02}", frame[0])), frame.to_vec());
                }
                rest = behind;
            }
        }
    }
    inputs
}

/// With `CORPUS=write` it writes them: after the wire has changed.
#[test]
fn the_corpus_has_what_is_said_today() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for ((target, name), bytes) in scripted() {
        let file = root.join(target).join(name);
        if std::env::var("CORPUS").is_ok_and(|what| what == "write") {
            std::fs::create_dir_all(root.join(target)).unwrap();
            std::fs::write(&file, &bytes).unwrap();
        }
        let there = std::fs::read(&file).unwrap_or_default();
        let how = "CORPUS=write cargo test -p farcall-proto --test corpus";
        assert_eq!(there, bytes, "{} is of another wire; {how}", file.display());
    }
}
