//! The port mapper without a socket: golden bytes, hostile bytes, the table, the dialogue, and who takes over.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::epmd::{self, Entry, EpmdError, Request};
use super::*;
use crate::link::handshake::{Cookie, Keyring};

fn name(text: &str) -> Name {
    Name::parse(text.as_bytes()).unwrap()
}

fn presence(port: u16, pid: u32) -> Presence {
    Presence { port, mark: Mark { tls: false, pid } }
}

fn keyring(letter: u8) -> Keyring {
    Keyring::new(Cookie::new(&[letter; 32]).unwrap())
}

// ----- epmd's protocol -----

/// What epmd of Erlang/OTP 25 was sent and answered, byte for byte.
const ALIVE2: &[u8] = b"\x00\x22x\x0f\xa0H\x00\x00\x00\x00\x00\x00\x05alpha\x00\x10farcall/1 tcp 12";
const FOUND: &[u8] = b"w\x00\x0f\xa0H\x00\x00\x00\x00\x00\x00\x05alpha\x00\x10farcall/1 tcp 12";
const NAMES: &[u8] = b"\x00\x00\x86Aname alpha at port 4000\n";

#[test]
fn requests_are_written_as_epmd_reads_them() {
    let entry = Entry::new(name("alpha"), presence(4000, 12));
    assert_eq!(Request::Alive2(entry.clone()).encode(), ALIVE2);
    assert_eq!(Request::PortPlease2(name("alpha")).encode(), b"\x00\x06zalpha");
    assert_eq!(Request::Names.encode(), b"\x00\x01n");
    for request in
        [Request::Alive2(entry), Request::PortPlease2(name("a")), Request::Names, Request::Refused(b'k')]
    {
        let bytes = request.encode();
        let (prefix, body) = bytes.split_first_chunk().unwrap();
        assert_eq!(epmd::request_length(*prefix), Ok(body.len()));
        assert_eq!(Request::decode(body), Ok(request));
    }
}

#[test]
fn answers_are_read_as_epmd_writes_them_and_written_alike() {
    let entry = epmd::decode_found(FOUND).unwrap().unwrap();
    assert_eq!((entry.port, entry.mark()), (4000, Some(Mark { tls: false, pid: 12 })));
    assert_eq!(epmd::encode_found(Some(&entry)), FOUND);
    assert_eq!((epmd::decode_found(b"w\x01"), epmd::encode_found(None)), (Ok(None), b"w\x01".to_vec()));
    assert_eq!(epmd::decode_names(NAMES), Ok(vec![(name("alpha"), 4000)]));
    assert_eq!(epmd::encode_names(34369, [(&name("alpha"), 4000)].into_iter()), NAMES);
    assert_eq!(epmd::decode_names(b"\x00\x00\x11\x11"), Ok(vec![]));
    for (answer, held) in [
        (&b"y\x00\x00\x01"[..], true),
        (b"y\x01\x00c", false),
        (b"v\x00\x60\x00\x00\x01", true),
        (b"v\x01\x00\x00\x00c", false),
        (&epmd::encode_alive2_refused(), false),
    ] {
        assert_eq!(epmd::alive2_answer_length(answer[0]), Ok(answer.len()));
        assert_eq!(epmd::decode_alive2_answer(answer), Ok(held));
    }
}

#[test]
fn a_request_that_would_end_the_mapper_is_known_and_refused() {
    for request in [&b"k"[..], b"d", b"sbeta"] {
        assert_eq!(Request::decode(request), Ok(Request::Refused(request[0])));
    }
}

#[test]
fn what_is_cut_too_long_or_unknown_is_an_error() {
    assert_eq!(epmd::request_length([0, 0]), Err(EpmdError::Length(0)));
    assert_eq!(epmd::request_length([8, 0]), Ok(epmd::REQUEST_BYTES_MAX));
    assert_eq!(epmd::request_length([8, 1]), Err(EpmdError::Length(2049)));
    assert_eq!(Request::decode(b"Q"), Err(EpmdError::Tag(b'Q')));
    assert_eq!(Request::decode(b"z"), Err(EpmdError::Name));
    assert_eq!(Request::decode(b"za b"), Err(EpmdError::Name));
    assert_eq!(Request::decode(b"n1"), Err(EpmdError::Cut));
    for end in 2..FOUND.len() {
        assert_eq!(epmd::decode_found(&FOUND[..end]), Err(EpmdError::Cut), "{end}");
    }
    for bad in [&b"GET / HTTP/1.1\r\n"[..], b"", b"w"] {
        assert!(epmd::decode_found(bad).is_err());
        assert!(epmd::decode_alive2_answer(bad).is_err());
    }
    for bad in [&b"n"[..], b"\0\0\0\0name a", b"\0\0\0\0name a at port x\n", b"\0\0\0\0\xff\n"] {
        assert!(epmd::decode_names(bad).is_err());
    }
}

#[test]
fn the_mark_of_a_farcall_node_is_told_from_anything_else() {
    let mark = Mark { tls: true, pid: u32::MAX };
    assert_eq!(mark.to_extra(), b"farcall/1 tls 4294967295");
    assert_eq!(Mark::of_extra(&mark.to_extra()), Some(mark));
    assert_eq!(Mark::of_extra(b"farcall/1 tcp 7 and more"), Some(Mark { tls: false, pid: 7 }));
    for other in
        [&b""[..], b"farcall/2 tcp 7", b"farcall/1 udp 7", b"farcall/1 tcp", b"farcall/1 tcp x", b"\xff"]
    {
        assert_eq!(Mark::of_extra(other), None);
    }
}

proptest! {
    #[test]
    fn whatever_comes_is_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), tag in any::<u8>()) {
        for bytes in [bytes.clone(), [&[tag][..], &bytes].concat(), [&b"R"[..], &bytes].concat(), [&b"x"[..], &bytes].concat()] {
            let _ = Request::decode(&bytes);
            let _ = epmd::decode_found(&bytes);
            let _ = epmd::decode_names(&bytes);
            let _ = epmd::decode_alive2_answer(&bytes);
            let _ = (Hello::decode(&bytes), Challenge::decode(&bytes), Answer::decode(&bytes));
            if let Ok(register) = Register::decode(&bytes) {
                prop_assert_eq!(&register.encode()[2..], &bytes[..]);
            }
        }
    }
}

// ----- the table -----

#[test]
fn a_living_name_is_refused_with_its_holder_named_and_free_again_at_its_end() {
    let mut table = Table::default();
    let first = table.register(name("a"), presence(1, 11)).unwrap();
    let refused = table.register(name("a"), presence(2, 22)).unwrap_err();
    assert_eq!(refused, RegisterRefused::Taken(presence(1, 11)));
    assert_eq!(refused.to_string(), "the name is held by process 11, which listens on port 1");
    table.end(&name("a"), first);
    assert_eq!(table.find(&name("a")), None);
    table.register(name("a"), presence(2, 22)).unwrap();
    table.end(&name("a"), first);
    assert_eq!(table.find(&name("a")), Some(presence(2, 22)), "the end of its predecessor is not its own");
    table.register(name("Z"), presence(3, 33)).unwrap();
    let all: Vec<_> = table.all().map(|(name, presence)| (name.as_str(), presence.port)).collect();
    assert_eq!(all, [("Z", 3), ("a", 2)]);
}

#[test]
fn the_table_and_its_names_have_a_limit() {
    let mut table = Table::default();
    for number in 0..Table::NAMES_MAX {
        table.register(name(&format!("n{number}")), presence(1, 1)).unwrap();
    }
    assert_eq!(table.register(name("more"), presence(1, 1)), Err(RegisterRefused::Full));
    assert!(Name::parse(&[b'a'; 255]).is_ok());
    for bad in [&[b'a'; 256][..], b"", b"a b", b"a\n", b"a@h", b"\xff"] {
        assert_eq!(Name::parse(bad), Err(NameRefused));
    }
    assert_eq!(Name::from(&"beta@h:1".parse().unwrap()).as_str(), "beta");
}

// ----- the dialogue -----

fn wanted() -> Wanted {
    Wanted { name: name("beta"), presence: Presence { port: 25100, mark: Mark { tls: true, pid: 7 } } }
}

const CHALLENGE: Challenge = Challenge { nonce: [9; 32] };

#[test]
fn the_dialogue_is_written_as_the_manual_says() {
    assert_eq!(Hello::encode(), b"\x00\x02F\x01");
    assert_eq!(CHALLENGE.encode(), [&b"\x00\x21C"[..], &[9; 32]].concat());
    let unproved = Register::new(wanted(), CHALLENGE, None).encode();
    assert_eq!(unproved, b"\x00\x0dR\x62\x0c\x01\x00\x00\x00\x07\x04beta");
    let proved = Register::new(wanted(), CHALLENGE, Some((&keyring(1), "blue"))).encode();
    assert_eq!(proved.len(), unproved.len() + 32);
    // HMAC-SHA-256 keyed by HKDF-SHA-256(salt "blue", cookie, "farcall port mapper"), computed with another program.
    assert_eq!(&proved[15..19], GOLDEN_PROOF_BEGINS);
    let taken = Answer::Refused(RegisterRefused::Taken(presence(1, 2)));
    for (answer, bytes) in [
        (Answer::Held, &b"\x00\x02A\x00"[..]),
        (taken, b"\x00\x09A\x01\x00\x01\x00\x00\x00\x00\x02"),
        (Answer::Refused(RegisterRefused::Full), b"\x00\x02A\x02"),
        (Answer::NotProved, b"\x00\x02A\x03"),
    ] {
        assert_eq!(answer.encode(), bytes);
        assert_eq!(Answer::decode(&bytes[2..]), Ok(answer));
    }
    assert!(Hello::is_it(b"F\x02"));
    assert_eq!(Hello::decode(b"F\x02"), Err(DialogueError::Version(2)));
}

/// Carried out at a mapper with these cookies, seen as this.
fn checked(register: &Register, owner: Owner, mapper: Option<&Keyring>, cluster: &str) -> Option<Proven> {
    let read = Register::decode(&register.encode()[2..]).unwrap();
    read.check(owner, CHALLENGE, mapper.map(|keyring| (keyring, cluster)))
}

#[test]
fn a_registration_needs_the_same_user_or_a_cookie_that_the_mapper_accepts() {
    let (old, new) = (keyring(1), keyring(2));
    let both = old.clone().accepting(new.primary().clone()).unwrap();
    let proven = Some(Proven(wanted()));
    let bare = Register::new(wanted(), CHALLENGE, None);
    assert_eq!(checked(&bare, Owner::Ours, None, "x"), proven);
    assert_eq!(checked(&bare, Owner::Unknown, Some(&old), "x"), None);
    let with = |keyring| Register::new(wanted(), CHALLENGE, Some((keyring, "x")));
    assert_eq!(checked(&with(&old), Owner::Unknown, Some(&old), "x"), proven);
    assert_eq!(checked(&with(&new), Owner::Unknown, Some(&both), "x"), proven, "during a rotation");
    assert_eq!(checked(&with(&new), Owner::Unknown, Some(&old), "x"), None);
    assert_eq!(checked(&with(&old), Owner::Unknown, Some(&old), "another cluster"), None);
    assert_eq!(checked(&with(&old), Owner::Unknown, None, "x"), None);
    assert_eq!(checked(&with(&new), Owner::Ours, Some(&old), "x"), proven, "its user is enough");
}

#[test]
fn a_proof_holds_for_one_nonce_and_one_registration() {
    let ring = keyring(1);
    let sent = Register::new(wanted(), CHALLENGE, Some((&ring, "x")));
    let cookies = Some((&ring, "x"));
    assert_eq!(sent.clone().check(Owner::Unknown, Challenge { nonce: [8; 32] }, cookies), None);
    let bytes = sent.encode();
    for index in 3..bytes.len() {
        let mut forged = bytes[2..].to_vec();
        forged[index - 2] ^= 1;
        let forged = Register::decode(&forged).ok();
        assert_eq!(forged.and_then(|it| it.check(Owner::Unknown, CHALLENGE, cookies)), None, "{index}");
    }
    for end in 0..bytes.len() - 2 {
        let cut = Register::decode(&bytes[2..2 + end]).ok();
        assert_eq!(cut.and_then(|it| it.check(Owner::Unknown, CHALLENGE, cookies)), None, "{end}");
    }
}

#[test]
fn a_list_needs_a_cookie_that_the_mapper_accepts_and_its_proof_is_good_for_nothing_else() {
    let (old, new) = (keyring(1), keyring(2));
    let both = old.clone().accepting(new.primary().clone()).unwrap();
    let list = List::new(CHALLENGE, &new, "x");
    let bytes = list.encode();
    assert_eq!((bytes.len(), &bytes[..3]), (35, &b"\x00\x21L"[..]));
    assert!(
        List::is_it(&bytes[2..]) && !List::is_it(&Register::new(wanted(), CHALLENGE, None).encode()[2..])
    );
    let read = List::decode(&bytes[2..]).unwrap();
    assert_eq!(read, list);
    let proved = |keyring: &Keyring, nonce, cluster| read.is_proved(Challenge { nonce }, keyring, cluster);
    assert!(proved(&new, [9; 32], "x") && proved(&both, [9; 32], "x"));
    assert!(!proved(&old, [9; 32], "x") && !proved(&new, [8; 32], "x") && !proved(&new, [9; 32], "y"));
    // The same nonce and cookie prove a registration in another way.
    let registration = Register::new(wanted(), CHALLENGE, Some((&new, "x"))).encode();
    let as_list = List::decode(&[&b"L"[..], &registration[registration.len() - 32..]].concat()).unwrap();
    assert!(!as_list.is_proved(CHALLENGE, &new, "x"));
    for end in 0..bytes.len() - 2 {
        assert!(List::decode(&bytes[2..2 + end]).is_err(), "{end}");
    }
}

// ----- who takes over -----

const JITTER: f64 = 1.0;

#[test]
fn the_first_node_serves_and_the_second_registers_there() {
    let now = Instant::now();
    let (mut first, step) = TakeOver::begin(now);
    assert_eq!((step, first.handle(Event::Bound, now, JITTER)), (Step::Bind, Step::Serve));
    let (mut second, _) = TakeOver::begin(now);
    assert_eq!(second.handle(Event::InUse, now, JITTER), Step::Ask);
    assert!(!second.is_in());
    assert_eq!(second.handle(Event::Registered(Mapper::Farcall), now, JITTER), Step::Hold);
    assert!(second.is_in() && first.is_in());
}

#[test]
fn when_the_mapper_ends_one_takes_over_soon_and_none_in_step() {
    let now = Instant::now();
    let lost = |jitter| {
        let (mut node, _) = TakeOver::begin(now);
        node.handle(Event::Registered(Mapper::Farcall), now, jitter);
        let wait = node.handle(Event::Lost, now, jitter);
        assert_eq!(node.handle(Event::Waited, now, jitter), Step::Bind);
        wait
    };
    assert_eq!(lost(1.0), Step::Wait(Duration::from_millis(50)));
    assert_eq!(lost(0.0), Step::Wait(Duration::from_millis(5)));
}

#[test]
fn an_epmd_that_died_may_come_back_before_somebody_takes_its_place() {
    let now = Instant::now();
    let (mut node, _) = TakeOver::begin(now);
    node.handle(Event::Registered(Mapper::Epmd), now, JITTER);
    node.handle(Event::Lost, now, JITTER);
    assert_eq!(node.handle(Event::Waited, now, JITTER), Step::Ask);
    let soon = now + TakeOver::EPMD_GRACE - Duration::from_millis(1);
    node.handle(Event::Nobody, soon, JITTER);
    assert_eq!(node.handle(Event::Waited, soon, JITTER), Step::Ask);
    node.handle(Event::Nobody, now + TakeOver::EPMD_GRACE, JITTER);
    assert_eq!(node.handle(Event::Waited, now + TakeOver::EPMD_GRACE, JITTER), Step::Bind);
}

#[test]
fn a_name_that_is_taken_ends_the_start_after_a_moment_and_never_a_node_that_runs() {
    let now = Instant::now();
    let late = now + TakeOver::TAKEN_PATIENCE;
    let (mut node, _) = TakeOver::begin(now);
    assert!(matches!(node.handle(Event::Taken, now, JITTER), Step::Wait(_)), "its holder may have just died");
    assert_eq!(node.handle(Event::Taken, late, JITTER), Step::GiveUp(GiveUp::Taken));
    let (mut node, _) = TakeOver::begin(now);
    assert_eq!(node.handle(Event::Refused, now, JITTER), Step::GiveUp(GiveUp::Refused));
    let (mut node, _) = TakeOver::begin(now);
    assert_eq!(
        node.handle(Event::Nobody, now + TakeOver::NOBODY_PATIENCE, JITTER),
        Step::GiveUp(GiveUp::Nobody)
    );
    let (mut node, _) = TakeOver::begin(now);
    node.handle(Event::Bound, now, JITTER);
    let day = now + Duration::from_secs(86_400);
    for event in [Event::Lost, Event::Taken, Event::Refused, Event::Nobody] {
        let Step::Wait(pause) = node.handle(event, day, JITTER) else { panic!("{event:?}") };
        assert!(pause <= Duration::from_secs(1));
    }
}

#[test]
fn pauses_grow_to_a_second_and_are_short_again_after_success() {
    let now = Instant::now();
    let (mut node, _) = TakeOver::begin(now);
    node.handle(Event::Bound, now, JITTER);
    let pauses: Vec<_> = (0..7).map(|_| node.handle(Event::Lost, now, JITTER)).collect();
    let wait = |ms| Step::Wait(Duration::from_millis(ms));
    assert_eq!(pauses, [wait(50), wait(100), wait(200), wait(400), wait(800), wait(1000), wait(1000)]);
    node.handle(Event::Registered(Mapper::Farcall), now, JITTER);
    assert_eq!(node.handle(Event::Lost, now, JITTER), wait(50));
}

/// The beginning of the proof of [`wanted`].
const GOLDEN_PROOF_BEGINS: &[u8] = b"\xa9\xa7\x2b\x86";
