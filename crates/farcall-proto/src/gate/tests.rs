//! Who is let in, in virtual time.

use super::*;

/// A gate and its time.
struct Fixture {
    gate: Gate,
    now: Instant,
}

fn gate(limits: GateLimits) -> Fixture {
    let now = Instant::now();
    Fixture { gate: Gate::new(limits, now), now }
}

fn defaults() -> GateLimits {
    GateLimits::default()
}

/// Nothing in the way but what a test sets.
fn wide() -> GateLimits {
    GateLimits {
        half_open_max: usize::MAX,
        half_open_per_source_max: usize::MAX,
        accept_rate: u32::MAX,
        accept_rate_per_source: u32::MAX,
        ..defaults()
    }
}

const ALPHA: &str = "192.0.2.1";
const BETA: &str = "192.0.2.2";

impl Fixture {
    fn admit(&mut self, from: &str) -> Result<Pass, Refusal> {
        self.gate.admit(from.parse().unwrap(), self.now)
    }

    fn leave(&mut self, pass: Pass, how: Leaving) {
        self.gate.leave(pass, how, self.now);
    }

    /// One connection from its beginning to its end.
    fn pass(&mut self, from: &str, how: Leaving) {
        let pass = self.admit(from).unwrap();
        self.leave(pass, how);
    }

    fn blame(&mut self, from: &str) {
        self.gate.blame(from.parse().unwrap(), self.now);
    }

    fn refusal(&mut self, from: &str) -> Refusal {
        self.admit(from).unwrap_err()
    }

    /// How long the source is still to be refused; zero if it is not.
    fn delay(&mut self, from: &str) -> Duration {
        let source = self.gate.source(from.parse().unwrap()).unwrap();
        let now = self.gate.advance(self.now);
        let refusal = self.gate.sources.find(source).and_then(|known| known.refusal(&self.gate.limits, now));
        match refusal {
            Some(Refusal::Delayed { remaining }) => remaining,
            _ => Duration::ZERO,
        }
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
    }
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

#[test]
fn one_source_has_8_connections_in_their_handshake_and_others_still_get_in() {
    let mut f = gate(defaults());
    let mut passes: Vec<_> = (0..8).map(|_| f.admit(ALPHA).unwrap()).collect();
    assert_eq!(f.refusal(ALPHA), Refusal::SourceFull { limit: 8 });
    f.pass(BETA, Leaving::Gone);
    f.leave(passes.pop().unwrap(), Leaving::Proved);
    passes.push(f.admit(ALPHA).unwrap());
    assert_eq!((f.gate.half_open(), f.gate.sources()), (8, 2));
}

#[test]
fn all_sources_together_have_128_connections_in_their_handshake() {
    let mut f = gate(defaults());
    let mut passes: Vec<_> = (0..128).map(|number| f.admit(&format!("10.0.0.{number}")).unwrap()).collect();
    assert_eq!(f.refusal(ALPHA), Refusal::Full { limit: 128 });
    assert_eq!((f.gate.half_open(), f.gate.sources()), (128, 128), "a refused source is not remembered");
    f.leave(passes.pop().unwrap(), Leaving::Gone);
    f.pass(ALPHA, Leaving::Gone);
}

#[test]
fn a_flood_from_one_source_leaves_the_others_all_but_its_own_share() {
    let mut f = gate(defaults());
    for _ in 0..20 {
        f.pass(ALPHA, Leaving::Gone);
    }
    for _ in 0..10_000 {
        assert_eq!(f.refusal(ALPHA), Refusal::SourceRate { limit: 20 });
    }
    for number in 0..180 {
        f.pass(&format!("10.0.0.{number}"), Leaving::Gone);
    }
    assert_eq!(f.refusal(BETA), Refusal::Rate { limit: 200 });
}

#[test]
fn tokens_come_back_to_the_nanosecond_and_none_is_lost_or_won_over_an_hour() {
    let mut f = gate(GateLimits { accept_rate_per_source: 3, ..defaults() });
    for _ in 0..3 {
        f.pass(ALPHA, Leaving::Gone);
    }
    f.wait(Duration::from_nanos(333_333_333));
    assert_eq!(f.refusal(ALPHA), Refusal::SourceRate { limit: 3 });
    f.wait(Duration::from_nanos(1));
    f.pass(ALPHA, Leaving::Gone);

    let mut admitted = 0;
    for _ in 0..3600 * 97 {
        f.wait(Duration::from_nanos(1_000_000_000 / 97 + 1));
        if let Ok(pass) = f.admit(ALPHA) {
            f.leave(pass, Leaving::Gone);
            admitted += 1;
        }
    }
    assert_eq!(admitted, 3 * 3600);
}

#[test]
fn no_more_than_one_second_of_tokens_is_saved_up() {
    let mut f = gate(GateLimits { accept_rate: 5, ..defaults() });
    f.wait(secs(3600));
    for number in 0..5 {
        f.pass(&format!("10.0.0.{number}"), Leaving::Gone);
    }
    assert_eq!(f.refusal(ALPHA), Refusal::Rate { limit: 5 });
}

#[test]
fn peers_that_prove_themselves_never_run_out_of_tokens() {
    let mut f = gate(defaults());
    for _ in 0..10_000 {
        f.pass(ALPHA, Leaving::Proved);
    }
    let passes: Vec<_> = (0..8).map(|_| f.admit(ALPHA).unwrap()).collect();
    passes.into_iter().for_each(|pass| f.leave(pass, Leaving::Proved));
    assert_eq!((f.gate.half_open(), f.gate.sources()), (0, 0), "and nothing is remembered of them");
}

#[test]
fn a_source_that_a_peer_has_proved_itself_from_is_let_in_when_strangers_have_used_up_the_tokens_of_all() {
    let mut f = gate(defaults());
    f.pass(ALPHA, Leaving::Proved);
    f.pass(BETA, Leaving::Proved);
    for number in 0..200 {
        f.pass(&format!("10.0.{number}.1"), Leaving::Gone);
    }
    assert_eq!(f.refusal("10.0.0.2"), Refusal::Rate { limit: 200 });
    // As often as its own tokens go, and it takes none of the others'.
    for _ in 0..20 {
        f.pass(ALPHA, Leaving::Gone);
    }
    assert_eq!(f.refusal(ALPHA), Refusal::SourceRate { limit: 20 });
    f.pass(BETA, Leaving::Proved);
    f.blame(BETA);
    f.wait(ms(100));
    for number in 0..20 {
        f.pass(&format!("10.1.{number}.1"), Leaving::Gone);
    }
    assert_eq!(
        f.refusal(BETA),
        Refusal::Rate { limit: 200 },
        "whoever broke the protocol is a stranger again"
    );
}

#[test]
fn of_known_sources_the_one_that_proved_itself_longest_ago_is_forgotten_first() {
    let mut f = gate(GateLimits { sources_max: 2, accept_rate: 1, ..defaults() });
    for from in [ALPHA, BETA, ALPHA, "192.0.2.3"] {
        f.pass(from, Leaving::Proved);
    }
    f.pass("10.0.0.1", Leaving::Gone);
    assert_eq!(f.refusal(BETA), Refusal::Rate { limit: 1 });
    for from in [ALPHA, "192.0.2.3"] {
        f.pass(from, Leaving::Proved);
    }
    let mut f = gate(GateLimits { sources_max: 0, ..defaults() });
    assert!(f.admit("127.0.0.1").is_ok(), "a table of nothing knows nobody");
}

#[test]
fn a_token_given_back_late_does_not_overfill() {
    let mut f = gate(GateLimits { accept_rate: 2, ..defaults() });
    let slow = f.admit(ALPHA).unwrap();
    f.wait(secs(5));
    f.leave(slow, Leaving::Proved);
    f.pass(BETA, Leaving::Gone);
    f.pass(BETA, Leaving::Gone);
    assert_eq!(f.refusal(BETA), Refusal::Rate { limit: 2 });
}

#[test]
fn a_health_check_delays_nobody_and_pays_with_its_token() {
    let mut f = gate(defaults());
    for _ in 0..20 {
        f.pass(ALPHA, Leaving::Gone);
    }
    assert_eq!(f.refusal(ALPHA).reason(), "accept_rate_per_source");
    f.wait(ms(50));
    f.pass(ALPHA, Leaving::Gone);
}

#[test]
fn failures_delay_their_source_for_twice_as_long_each_up_to_a_minute() {
    let mut f = gate(defaults());
    for delay in [100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 51_200, 60_000, 60_000, 60_000] {
        f.pass(ALPHA, Leaving::Failed);
        f.pass(BETA, Leaving::Proved);
        assert_eq!(f.refusal(ALPHA), Refusal::Delayed { remaining: ms(delay) });
        f.wait(ms(delay) - Duration::from_nanos(1));
        assert_eq!(f.refusal(ALPHA), Refusal::Delayed { remaining: Duration::from_nanos(1) });
        f.wait(Duration::from_nanos(1));
    }
}

#[test]
fn a_refused_attempt_does_not_lengthen_the_delay() {
    let mut f = gate(defaults());
    f.pass(ALPHA, Leaving::Failed);
    for left in (1..=100).rev() {
        assert_eq!(f.refusal(ALPHA), Refusal::Delayed { remaining: ms(left) });
        f.wait(ms(1));
    }
    f.pass(ALPHA, Leaving::Gone);
}

#[test]
fn a_source_that_was_quiet_for_a_minute_behind_its_delay_starts_anew() {
    let mut f = gate(defaults());
    f.pass(ALPHA, Leaving::Failed);
    f.wait(ms(60_099));
    f.pass(ALPHA, Leaving::Failed);
    assert_eq!(f.delay(ALPHA), ms(200), "a millisecond too early");
    f.wait(ms(60_200));
    f.pass(ALPHA, Leaving::Failed);
    assert_eq!(f.delay(ALPHA), ms(100));
}

#[test]
fn connections_let_in_before_the_delay_still_count_when_they_fail() {
    let mut f = gate(defaults());
    let passes: Vec<_> = (0..8).map(|_| f.admit(ALPHA).unwrap()).collect();
    passes.into_iter().for_each(|pass| f.leave(pass, Leaving::Failed));
    assert_eq!(f.delay(ALPHA), ms(12_800));
}

#[test]
fn a_proof_ends_the_delay_of_its_source_and_forgets_its_failures() {
    let mut f = gate(defaults());
    let [good, bad, worse] = [(); 3].map(|()| f.admit(ALPHA).unwrap());
    f.leave(bad, Leaving::Failed);
    f.leave(worse, Leaving::Failed);
    assert_eq!(f.delay(ALPHA), ms(200));
    f.leave(good, Leaving::Proved);
    assert_eq!(f.delay(ALPHA), Duration::ZERO);
    f.pass(ALPHA, Leaving::Failed);
    assert_eq!(f.delay(ALPHA), ms(100));
}

#[test]
fn a_peer_that_proves_itself_and_breaks_the_protocol_again_and_again_waits_longer_and_longer() {
    let mut f = gate(defaults());
    for delay in [100, 200, 400] {
        f.pass(ALPHA, Leaving::Proved);
        f.blame(ALPHA);
        assert_eq!(f.refusal(ALPHA), Refusal::Delayed { remaining: ms(delay) });
        f.wait(ms(delay));
    }
    // Failed handshakes come on top of that, and go with the next proof.
    f.pass(ALPHA, Leaving::Failed);
    assert_eq!(f.delay(ALPHA), ms(800));
    f.wait(ms(800));
    f.pass(ALPHA, Leaving::Proved);
    f.wait(secs(60));
    f.blame(ALPHA);
    assert_eq!(f.delay(ALPHA), ms(100), "and time forgets both");
}

#[test]
fn blame_for_a_source_that_has_connections_in_their_handshake_does_not_touch_these() {
    let mut f = gate(defaults());
    let pass = f.admit(ALPHA).unwrap();
    f.blame(ALPHA);
    assert_eq!((f.gate.half_open(), f.gate.sources(), f.delay(ALPHA)), (1, 1, ms(100)));
    f.leave(pass, Leaving::Gone);
    assert_eq!((f.gate.half_open(), f.gate.sources(), f.delay(ALPHA)), (0, 1, ms(100)));
}

#[test]
fn an_ipv4_address_is_one_source_within_ipv6_too() {
    let mut f = gate(defaults());
    f.pass("::ffff:192.0.2.1", Leaving::Failed);
    assert_eq!((f.delay(ALPHA), f.delay(BETA)), (ms(100), Duration::ZERO));
}

#[test]
fn an_ipv6_network_of_64_bits_is_one_source() {
    let mut f = gate(defaults());
    f.pass("2001:db8:0:1::1", Leaving::Failed);
    assert_eq!(f.delay("2001:db8:0:1:ffff:ffff:ffff:ffff"), ms(100));
    assert_eq!(f.delay("2001:db8:0:2::1"), Duration::ZERO);
    // And never the same as an IPv4 address with these bits.
    f.pass("0:0:c000:201::1", Leaving::Failed);
    assert_eq!(f.delay(ALPHA), Duration::ZERO);
}

#[test]
fn loopback_has_only_the_limits_of_all() {
    let mut f = gate(defaults());
    for from in ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"] {
        f.pass(from, Leaving::Failed);
        f.blame(from);
    }
    let passes: Vec<_> = (0..128).map(|_| f.admit("127.0.0.1").unwrap()).collect();
    assert_eq!((f.gate.half_open(), f.gate.sources()), (128, 0));
    assert_eq!(f.refusal("::1"), Refusal::Full { limit: 128 });
    passes.into_iter().for_each(|pass| f.leave(pass, Leaving::Proved));

    let mut f = gate(GateLimits { half_open_max: 1000, ..defaults() });
    for _ in 0..200 {
        f.pass("::1", Leaving::Gone);
    }
    assert_eq!(f.refusal("::1"), Refusal::Rate { limit: 200 });
}

#[test]
fn loopback_is_a_source_like_others_if_that_is_set() {
    let mut f = gate(GateLimits { limit_loopback: true, ..defaults() });
    for from in ["127.0.0.1", "::1"] {
        f.pass(from, Leaving::Failed);
        assert_eq!(f.refusal(from), Refusal::Delayed { remaining: ms(100) });
    }
    assert_eq!(f.gate.sources(), 2);
}

#[test]
fn a_whole_ipv6_48_takes_no_more_than_the_table_and_a_source_in_its_handshake_stays() {
    let mut f = gate(wide());
    let held = [f.admit(ALPHA).unwrap(), f.admit(ALPHA).unwrap()];
    f.pass(ALPHA, Leaving::Failed);
    for number in 0..=u16::MAX {
        f.pass(&format!("2001:db8:0:{number:x}::1"), Leaving::Failed);
    }
    assert_eq!((f.gate.sources(), f.delay(ALPHA)), (4096, ms(100)));
    let [first, last] = ["2001:db8:0:f000::1", "2001:db8:0:f001::1"];
    assert_eq!((f.delay(first), f.delay(last)), (Duration::ZERO, ms(100)), "the last 4,095 are known");
    held.into_iter().for_each(|pass| f.leave(pass, Leaving::Gone));
    assert_eq!((f.gate.half_open(), f.gate.sources()), (0, 4096));
}

#[test]
fn the_table_takes_less_than_a_mebibyte() {
    // A hash table with room for 4,096 has twice as many places, each with a byte of its own.
    let bytes = 2 * defaults().sources_max * (table::PLACE_BYTES + 1);
    assert!(bytes < 1 << 20, "{bytes}");
}

#[test]
fn the_source_that_was_quiet_for_longest_is_forgotten_first() {
    let mut f = gate(GateLimits { sources_max: 3, ..defaults() });
    for from in ["10.0.0.1", "10.0.0.2", "10.0.0.3"] {
        f.pass(from, Leaving::Failed);
    }
    // One that keeps trying is not quiet, though it is refused.
    assert_eq!(f.refusal("10.0.0.1").reason(), "source_delayed");
    f.pass("10.0.0.4", Leaving::Failed);
    let delays = |f: &mut Fixture| [1, 2, 3, 4, 5].map(|number| f.delay(&format!("10.0.0.{number}")));
    assert_eq!(delays(&mut f), [ms(100), ms(0), ms(100), ms(100), ms(0)]);
    f.blame("10.0.0.3");
    f.pass("10.0.0.5", Leaving::Failed);
    assert_eq!(delays(&mut f), [ms(0), ms(0), ms(200), ms(100), ms(100)]);
}

#[test]
fn a_new_source_is_refused_when_every_known_one_is_in_its_handshake() {
    let mut f = gate(GateLimits { sources_max: 2, accept_rate: 3, ..defaults() });
    let alpha = f.admit(ALPHA).unwrap();
    let beta = f.admit(BETA).unwrap();
    for _ in 0..10 {
        assert_eq!(f.refusal("192.0.2.3"), Refusal::SourcesFull { limit: 2 });
    }
    f.blame("192.0.2.3");
    assert_eq!(f.delay("192.0.2.3"), ms(0), "there is no place to note it");
    let again = f.admit(ALPHA).unwrap();
    f.leave(beta, Leaving::Proved);
    f.pass("192.0.2.3", Leaving::Proved);
    f.leave(alpha, Leaving::Gone);
    f.leave(again, Leaving::Gone);
}

#[test]
fn sources_that_are_as_good_as_new_are_forgotten_while_others_come() {
    let mut f = gate(defaults());
    for number in 0..100 {
        f.pass(&format!("10.0.0.{number}"), Leaving::Gone);
    }
    assert_eq!(f.gate.sources(), 100);
    f.wait(secs(1));
    for _ in 0..50 {
        f.pass(ALPHA, Leaving::Proved);
    }
    assert_eq!(f.gate.sources(), 0);
}

#[test]
fn a_clock_that_goes_backwards_stands_still() {
    let mut f = gate(GateLimits { accept_rate_per_source: 1, ..defaults() });
    let start = f.now;
    f.wait(secs(10));
    f.pass(ALPHA, Leaving::Gone);
    f.pass(BETA, Leaving::Failed);
    f.now = start;
    assert_eq!(f.refusal(ALPHA).reason(), "accept_rate_per_source");
    assert_eq!(f.refusal(BETA), Refusal::Delayed { remaining: ms(100) });
    f.blame(ALPHA);
    f.pass("192.0.2.3", Leaving::Proved);
    f.wait(secs(10));
    assert_eq!((f.delay(ALPHA), f.delay(BETA)), (ms(100), ms(100)), "no time has passed");
}

#[test]
fn limits_of_nothing_let_nobody_in_and_limits_without_end_let_everybody_in() {
    let nothing = |set: fn(&mut GateLimits)| {
        let mut limits = defaults();
        set(&mut limits);
        let mut f = gate(limits);
        f.wait(secs(10));
        let reason = f.refusal(ALPHA).reason();
        assert_eq!(f.gate.sources(), 0);
        reason
    };
    assert_eq!(nothing(|limits| limits.half_open_max = 0), "half_open_max");
    assert_eq!(nothing(|limits| limits.half_open_per_source_max = 0), "half_open_per_source_max");
    assert_eq!(nothing(|limits| limits.accept_rate = 0), "accept_rate");
    assert_eq!(nothing(|limits| limits.accept_rate_per_source = 0), "accept_rate_per_source");
    assert_eq!(nothing(|limits| limits.sources_max = 0), "sources_max");

    let mut f = gate(GateLimits { delay_min: Duration::MAX, delay_max: Duration::MAX, ..wide() });
    f.pass(ALPHA, Leaving::Proved);
    f.pass(ALPHA, Leaving::Failed);
    f.wait(secs(1 << 30));
    assert_eq!(f.refusal(ALPHA).reason(), "source_delayed");

    let mut f = gate(GateLimits { delay_min: Duration::ZERO, ..wide() });
    for _ in 0..100 {
        f.pass(ALPHA, Leaving::Failed);
    }
}

#[test]
fn a_pass_of_another_gate_harms_no_source() {
    let (mut f, mut other) = (gate(defaults()), gate(defaults()));
    f.pass(BETA, Leaving::Failed);
    for from in [ALPHA, BETA] {
        let foreign = other.admit(from).unwrap();
        f.leave(foreign, Leaving::Failed);
    }
    assert_eq!((f.gate.half_open(), f.gate.sources(), f.delay(BETA)), (0, 1, ms(100)));
}

#[test]
fn every_refusal_says_the_limit_and_how_it_is_called() {
    let refusals = [
        (
            Refusal::Delayed { remaining: ms(1500) },
            "its source failed before, and is refused for another 1.5s",
        ),
        (
            Refusal::SourceFull { limit: 8 },
            "8 connections of its source are in their handshake, the most half_open_per_source_max allows",
        ),
        (
            Refusal::SourceRate { limit: 20 },
            "its source makes more connections than the 20 a second that accept_rate_per_source allows, and does not \
             prove itself on them",
        ),
        (
            Refusal::Full { limit: 128 },
            "128 connections are in their handshake, the most half_open_max allows",
        ),
        (
            Refusal::Rate { limit: 200 },
            "strangers make more connections than the 200 a second that accept_rate allows",
        ),
        (
            Refusal::SourcesFull { limit: 4096 },
            "4096 sources have connections in their handshake, the most sources_max allows",
        ),
    ];
    for (refusal, text) in refusals {
        assert_eq!(refusal.to_string(), text);
    }
    let reasons: std::collections::HashSet<_> =
        refusals.iter().map(|(refusal, _)| refusal.reason()).collect();
    assert_eq!(reasons.len(), refusals.len());
}
