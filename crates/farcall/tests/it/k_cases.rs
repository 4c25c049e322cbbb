//! The cases that no predecessor tests, each from a defect that was measured there. K12 needs TLS and is tested with it.

use std::time::{Duration, Instant};

use actix::prelude::*;
use farcall::AccessList;
use farcall::error::{Failure, NotSent, Rejected, Unknown};
use farcall::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::actors::{Diary, Note, Notes, PassGate, gate};
use crate::connections::keepalive_of_both_ends;
use crate::fixture::{
    Add, Block, Counter, Echo, PhoneBook, Sleep, Total, builder, eventually, nodes, pair, pair_with, target,
};
use crate::proxy::Proxy;

/// A listener that takes connections and says nothing, as the node of this name.
async fn silent_node(name: &str, phone_book: &PhoneBook) -> (TcpListener, Target) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let name: NodeName = name.parse().unwrap();
    phone_book.put(name.clone(), listener.local_addr().unwrap());
    (listener, Target::new(name))
}

#[actix::test]
async fn k1_an_abcast_or_sbcast_to_an_unknown_name_does_not_disturb_a_call_in_flight() {
    let (alpha, beta_node, beta) = pair().await;
    let gate = gate(&beta_node);
    let running = alpha.async_call(&beta, "gate", PassGate { number: 1 });
    eventually("the handler runs", || gate.entered() == 1).await;
    alpha.abcast([beta.clone()], "nobody", Add { amount: 1 });
    let report = alpha.sbcast([beta], "nobody", Add { amount: 1 }).await;
    assert_eq!(*report.failed[0].1.failure(), Failure::Rejected(Rejected::NoSuchActor));
    gate.let_through(1);
    assert_eq!(running.await.unwrap(), 1);
    assert_eq!(alpha.metrics().dials, 1);
}

#[actix::test]
async fn k2_promises_and_multicalls_resolve_when_the_connection_dies() {
    let (alpha, beta_node, beta) = pair().await;
    let gate = gate(&beta_node);
    let promise = alpha.async_call(&beta, "gate", PassGate { number: 1 });
    let targets = [beta.clone(), target(&alpha)];
    let all = alpha.multicall(&targets, "gate", PassGate { number: 2 }).into_future();
    let cut = async {
        eventually("both run", || gate.entered() == 2).await;
        beta_node.kill_acceptors(alpha.name());
    };
    let begun = Instant::now();
    let (answers, ()) = futures::join!(all, cut);
    assert_eq!(answers[0].1.as_ref().unwrap_err().class(), Class::Unknown);
    assert_eq!(promise.await.unwrap_err().class(), Class::Unknown);
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[actix::test]
async fn k3_a_call_timeout_covers_dial_and_handshake() {
    let phone_book = PhoneBook::default();
    let (_listener, silent) = silent_node("silent@127.0.0.1", &phone_book).await;
    let alpha = builder("alpha").discovery(phone_book).start().await.unwrap();
    for wait in [100, 200] {
        let (begun, wait) = (Instant::now(), Duration::from_millis(wait));
        let error = alpha.call(&silent, "counter", Total).timeout(wait).await.unwrap_err();
        assert_eq!(*error.failure(), Failure::NotSent(NotSent::DeadlineBeforeWrite));
        let took = begun.elapsed();
        assert!(took >= wait && took < wait + Duration::from_millis(500), "{took:?}");
    }
}

#[actix::test]
async fn k4_a_stalled_peer_does_not_delay_first_contact_with_others() {
    let phone_book = PhoneBook::default();
    let mut stalled = Vec::new();
    for n in 0..20 {
        stalled.push(silent_node(&format!("silent{n}@127.0.0.1"), &phone_book).await);
    }
    let beta_node = builder("beta").start().await.unwrap();
    beta_node.register("counter", Counter::default().start()).unwrap().keep();
    phone_book.enter(&beta_node);
    let alpha = builder("alpha").discovery(phone_book).start().await.unwrap();
    let _waiting: Vec<_> =
        stalled.iter().map(|(_, silent)| alpha.async_call(silent, "counter", Total)).collect();
    let begun = Instant::now();
    assert_eq!(alpha.call(&target(&beta_node), "counter", Total).await.unwrap(), 0);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[actix::test]
async fn k5_a_thousand_connections_reset_at_once_leave_the_listener_up() {
    let (alpha, beta_node, beta) = pair().await;
    let address = beta_node.listening_on()[0];
    for _ in 0..1_000 {
        let stream = TcpStream::connect(address).await.unwrap();
        // No farewell: the peer gets a reset.
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    }
    assert_eq!(alpha.call(&beta, "counter", Total).await.unwrap(), 0);
    eventually("nothing of them is left", || beta_node.metrics().half_open == 0).await;
    assert_eq!(beta_node.inbound().len(), 1);
}

#[actix::test]
async fn k6_idle_connections_do_not_keep_others_out() {
    let (alpha, beta_node, beta) = pair().await;
    let mut idle = Vec::new();
    for _ in 0..50 {
        idle.push(TcpStream::connect(beta_node.listening_on()[0]).await.unwrap());
    }
    eventually("all of them wait", || beta_node.metrics().half_open == 50).await;
    let begun = Instant::now();
    assert_eq!(alpha.call(&beta, "counter", Total).await.unwrap(), 0);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[actix::test]
async fn k7_an_announced_length_over_the_limit_is_refused_at_once_and_half_open_connections_are_capped() {
    let node = builder("alpha").configure(|config| config.half_open_max = 8).start().await.unwrap();
    let address = node.listening_on()[0];
    // Four bytes that announce nearly four gigabytes: refused as they come, long before a handshake times out.
    let begun = Instant::now();
    for greedy in [[0xff, 0xff, 0xff, 0xf0], [0xf0, 0xff, 0xff, 0xff]] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(&greedy).await.unwrap();
        let mut answer = Vec::new();
        let _ = tokio::time::timeout(Duration::from_secs(2), stream.read_to_end(&mut answer)).await.unwrap();
        assert!(answer.len() < 64);
    }
    assert!(begun.elapsed() < Duration::from_secs(2));
    let mut waiting = Vec::new();
    for _ in 0..40 {
        waiting.push(TcpStream::connect(address).await.unwrap());
    }
    eventually("the rest was refused", || node.metrics().inbound_refused == 32).await;
    assert_eq!(node.metrics().half_open, 8);
}

#[actix::test]
async fn k8_both_directions_full_of_large_payloads_make_progress() {
    let (alpha, beta_node, beta) = pair().await;
    let alpha_target = target(&alpha);
    let echoes = async |from: &Node, to: &Target| {
        let calls =
            (0..10).map(|_| from.call(to, "counter", Echo { bytes: vec![9; 2_000_000] }).into_future());
        futures::future::join_all(calls.collect::<Vec<_>>()).await
    };
    // The same connections carry twenty megabytes there and twenty back, in both directions at once.
    let (there, back) = futures::join!(echoes(&alpha, &beta), echoes(&beta_node, &alpha_target));
    for answer in there.into_iter().chain(back) {
        assert_eq!(answer.unwrap().len(), 2_000_000);
    }
}

#[actix::test]
async fn k9_a_small_call_behind_a_large_one_answers_promptly() {
    let (alpha, beta_node, beta) = pair_with(|builder| {
        builder.configure(|config| {
            config.message_bytes_max = 80 << 20;
            config.unsent_bytes_max = 160 << 20;
            config.reassembly_bytes_max = 160 << 20;
            config.mailbox_bytes_max = 160 << 20;
            config.acceptor_bytes_max = 160 << 20;
        })
    })
    .await;
    // Copying what is large shall not keep this thread, on which both nodes live.
    let arbiter = Arbiter::new();
    let copies = Counter::start_in_arbiter(&arbiter.handle(), |_| Counter::default());
    beta_node.register("copies", copies).unwrap().keep();
    alpha.ping(&beta).await.unwrap();
    let begun = Instant::now();
    let mut large = alpha.async_call(&beta, "copies", Echo { bytes: vec![1; 64 << 20] });
    let mut small = Vec::new();
    while large.nb_yield(Duration::ZERO).await.is_none() {
        let begun = Instant::now();
        alpha.call(&beta, "counter", Add { amount: 1 }).await.unwrap();
        small.push(begun.elapsed());
    }
    let whole = begun.elapsed();
    assert!(small.len() >= 10, "only {} small calls passed the large one", small.len());
    small.sort();
    let usual = small[small.len() / 2];
    assert!(usual * 10 < whole, "a small call took {usual:?} beside a large one that took {whole:?}");
}

#[actix::test]
async fn k10_two_hundred_first_calls_at_once_make_one_connection() {
    let (alpha, beta_node, beta) = pair().await;
    let calls = (0..200).map(|_| alpha.call(&beta, "counter", Add { amount: 1 }).into_future());
    let answers = futures::future::join_all(calls.collect::<Vec<_>>()).await;
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(alpha.call(&beta, "counter", Total).await.unwrap(), 200);
    assert_eq!((alpha.metrics().dials, beta_node.inbound().len()), (1, 1));
}

#[actix::test]
async fn k11_no_false_answer_of_a_server_is_accepted() {
    // Every forgery is checked message by message in the tests of the handshake; here a whole node is fooled by none.
    let phone_book = PhoneBook::default();
    let honest = builder("beta").start().await.unwrap();
    let proxy = Proxy::to(honest.listening_on()[0]).await;
    phone_book.put(honest.name().clone(), proxy.address());
    let alpha = builder("alpha").discovery(phone_book.clone()).start().await.unwrap();
    alpha.ping(&target(&honest)).await.unwrap();
    let recorded = proxy.answered().remove(0);
    let hello = proxy.asked().remove(0);
    let mut flipped = recorded.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let answers = [
        Vec::new(),                              // empty
        recorded[..recorded.len() / 2].to_vec(), // short
        recorded.clone(),                        // replayed
        [recorded.clone(), recorded].concat(),   // over-long
        hello,                                   // reflected
        flipped,                                 // forged
        vec![0; 512],                            // cannot prove anything
    ];
    for (nth, answer) in answers.into_iter().enumerate() {
        let name = format!("false{nth}@127.0.0.1");
        let (listener, false_node) = silent_node(&name, &phone_book).await;
        let call = alpha.async_call(&false_node, "counter", Total);
        let (mut peer, _) = listener.accept().await.unwrap();
        let mut seen = [0; 1];
        peer.read_exact(&mut seen).await.unwrap();
        let _ = peer.write_all(&answer).await;
        let _ = peer.shutdown().await;
        let error = call.await.unwrap_err();
        assert!(matches!(error.failure(), Failure::NotSent(NotSent::HandshakeFailed(_))), "{nth}: {error}");
    }
    assert_eq!(alpha.nodes(), [honest.name().clone()]);
}

#[actix::test]
async fn k13_a_change_of_the_access_list_reaches_live_connections_and_local_calls() {
    let (alpha, beta_node, beta) = pair().await;
    let own = target(&beta_node);
    assert!(alpha.call(&beta, "counter", Total).await.is_ok());
    assert!(beta_node.call(&own, "counter", Total).await.is_ok());
    beta_node.set_access(AccessList::deny(["counter"]).unwrap());
    for (node, target) in [(&alpha, &beta), (&beta_node, &own)] {
        let error = node.call(target, "counter", Total).await.unwrap_err();
        assert_eq!(*error.failure(), Failure::Rejected(Rejected::Unauthorized));
    }
    assert_eq!(alpha.metrics().dials, 1);
}

#[actix::test]
async fn k14_ticks_do_not_keep_an_idle_connection_open_and_idle_close_spares_a_call_in_flight() {
    let (alpha, beta_node, beta) = pair_with(|builder| {
        builder.configure(|config| {
            config.client_idle = Some(Duration::from_millis(300));
            // Several ticks within the idle time.
            config.tick = Duration::from_millis(200);
        })
    })
    .await;
    assert_eq!(alpha.call(&beta, "counter", Sleep { ms: 800 }).await.unwrap(), 800);
    assert_eq!(alpha.metrics().dials, 1);
    eventually("the idle connection closed", || beta_node.inbound().is_empty()).await;
    assert_eq!(alpha.metrics().clients_lost, 0);
}

#[actix::test]
async fn k15_a_multicall_keeps_the_order_names_nodes_and_reasons_and_has_one_deadline() {
    let phone_book = PhoneBook::default();
    let (_listener, silent) = silent_node("silent@127.0.0.1", &phone_book).await;
    let beta_node = builder("beta").start().await.unwrap();
    beta_node.register("counter", Counter::default().start()).unwrap().keep();
    phone_book.enter(&beta_node);
    let alpha = builder("alpha").discovery(phone_book).start().await.unwrap();
    let beta = target(&beta_node);
    let nowhere: Target = "nowhere@127.0.0.1".parse().unwrap();
    let targets = [silent.clone(), beta.clone(), nowhere, silent.with_key(1), silent.with_key(2), beta];
    let begun = Instant::now();
    let answers = alpha.multicall(&targets, "counter", Total).timeout(Duration::from_millis(200)).await;
    assert!(begun.elapsed() < Duration::from_millis(600), "{:?}", begun.elapsed());
    let named: Vec<_> = answers.iter().map(|(target, _)| target.clone()).collect();
    assert_eq!(named, targets);
    let reasons: Vec<_> = answers.iter().map(|(_, answer)| answer.as_ref().err()).collect();
    assert!(reasons[1].is_none() && reasons[5].is_none());
    for late in [0, 3, 4] {
        assert_eq!(*reasons[late].unwrap().failure(), Failure::NotSent(NotSent::DeadlineBeforeWrite));
    }
    assert!(matches!(reasons[2].unwrap().failure(), Failure::NotSent(NotSent::NoAddress(_))));
}

#[actix::test]
async fn k16_an_sbcast_reports_unreachable_targets_at_once() {
    let nodes = nodes(2).await;
    let beta = target(&nodes[1]);
    let unreachable = (0..4).map(|n| format!("nowhere{n}@127.0.0.1").parse().unwrap());
    let targets: Vec<Target> = unreachable.chain([beta.clone()]).collect();
    let begun = Instant::now();
    let report = nodes[0].sbcast(&targets, "counter", Add { amount: 1 }).await;
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!((report.delivered, report.failed.len()), (vec![beta], 4));
}

#[actix::test]
async fn k17_abandoned_promises_leave_nothing_and_a_used_one_is_an_error_and_no_hang() {
    let (alpha, beta_node, beta) = pair().await;
    let gate = gate(&beta_node);
    let promises: Vec<_> =
        (0..500).map(|number| alpha.async_call(&beta, "gate", PassGate { number })).collect();
    eventually("all of them run", || gate.entered() == 500).await;
    drop(promises);
    gate.let_through(500);
    eventually("their handlers end", || gate.passed().len() == 500).await;
    assert_eq!(alpha.call(&beta, "counter", Total).await.unwrap(), 0);
    eventually("nothing is left of them", || alpha.load(beta.node()) == (0, 0)).await;
    let mut used = alpha.async_call(&beta, "counter", Total);
    assert!(used.nb_yield(Duration::from_secs(5)).await.unwrap().is_ok());
    let again = used.nb_yield(Duration::from_secs(5)).await.unwrap().unwrap_err();
    assert_eq!(*again.failure(), Failure::NotSent(NotSent::AlreadyTaken));
}

#[actix::test]
async fn k18_one_way_messages_keep_their_order_per_sender_target_and_key() {
    let nodes = nodes(3).await;
    nodes[2].register("diary", Diary::default().start()).unwrap().keep();
    let gamma = target(&nodes[2]);
    let lines = [gamma.clone(), gamma.with_key("a"), gamma.with_key("b")];
    let senders = &nodes[..2];
    for nth in 0..300 {
        for (from, (node, line)) in
            (0..).zip(senders.iter().flat_map(|node| lines.iter().map(move |l| (node, l))))
        {
            node.cast(line, "diary", Note { from, nth }).unwrap();
        }
    }
    for node in senders {
        for line in &lines {
            node.cast(line, "diary", Note { from: 99, nth: 0 }).acked().await.unwrap();
        }
    }
    let notes = nodes[0].call(&gamma, "diary", Notes).await.unwrap();
    for from in 0..6 {
        let of_line: Vec<_> = notes.iter().filter(|(of, _)| *of == from).map(|(_, nth)| *nth).collect();
        assert_eq!(of_line, (0..300).collect::<Vec<_>>());
    }
}

#[actix::test]
async fn k19_senders_to_a_node_that_stands_still_see_back_pressure_and_memory_stays_flat() {
    const UNSENT_MAX: usize = 512 * 1024;
    let phone_book = PhoneBook::default();
    let beta_node = builder("beta").start().await.unwrap();
    beta_node.register("counter", Counter::default().start()).unwrap().keep();
    let proxy = Proxy::to(beta_node.listening_on()[0]).await;
    phone_book.put(beta_node.name().clone(), proxy.address());
    let alpha = builder("alpha").discovery(phone_book).configure(|config| {
        config.message_bytes_max = 64 * 1024;
        config.fragment_bytes = 16 * 1024;
        config.unsent_bytes_max = UNSENT_MAX;
        config.tcp.send_buffer_bytes = Some(64 * 1024);
    });
    let alpha = alpha.start().await.unwrap();
    let beta = target(&beta_node);
    alpha.ping(&beta).await.unwrap();
    proxy.hold();
    let (mut sent, mut refused) = (0, 0);
    for _ in 0..5_000 {
        match alpha.cast(&beta, "counter", Echo { bytes: vec![0; 10_000] }) {
            Ok(_) => sent += 1,
            Err(error) => {
                assert!(matches!(error.failure(), Failure::NotSent(NotSent::QueueFull { .. })), "{error}");
                refused += 1;
            }
        }
        assert!(alpha.load(beta.node()).1 <= UNSENT_MAX);
        tokio::task::yield_now().await;
    }
    assert!(refused > 4_000, "{sent} of 5000 were taken");
    assert_eq!(alpha.metrics().casts_not_queued, refused);
    proxy.resume();
    assert_eq!(alpha.call(&beta, "counter", Total).await.unwrap(), 0);
    assert_eq!(beta_node.metrics().delivered, sent + 1, "what was taken arrived");
}

#[actix::test]
async fn k19_a_mailbox_that_stands_still_is_busy_for_calls() {
    let (alpha, beta_node, beta) =
        pair_with(|builder| builder.configure(|config| config.mailbox_messages_max = 32)).await;
    let arbiter = Arbiter::new();
    let stuck = Counter::start_in_arbiter(&arbiter.handle(), |_| Counter::default());
    beta_node.register("stuck", stuck).unwrap().keep();
    alpha.cast(&beta, "stuck", Block { ms: 400 }).acked().await.unwrap();
    let calls: Vec<_> = (0..200).map(|_| alpha.async_call(&beta, "stuck", Total)).collect();
    let mut busy = 0;
    for call in calls {
        if let Err(error) = call.await {
            assert!(matches!(error.failure(), Failure::Rejected(Rejected::Busy(_))), "{error}");
            assert!(!error.may_have_run());
            busy += 1;
        }
    }
    assert!((160..=170).contains(&busy), "{busy} of 200 were told");
}

#[actix::test]
async fn k20_errors_never_contain_payloads() {
    let (alpha, beta_node, beta) = pair().await;
    let gate = gate(&beta_node);
    let secret = b"a secret that must not get out";
    let echo = || Echo { bytes: secret.to_vec() };
    let mut errors = vec![
        alpha.call(&beta, "nobody", echo()).await.unwrap_err(),
        alpha.call(&beta, "gate", echo()).await.unwrap_err(),
        alpha.call(&"nowhere@127.0.0.1".parse().unwrap(), "counter", echo()).await.unwrap_err(),
    ];
    let info = <Echo as RemoteMessage>::INFO;
    let garbage = farcall::rpc::RawMessage {
        name: info.name,
        version: info.version,
        fingerprint: info.fingerprint,
        payload: secret,
    };
    errors.push(alpha.raw(&beta, "counter").call(garbage, Duration::from_secs(5)).await.unwrap_err());
    let cut = alpha.async_call(&beta, "gate", PassGate { number: 424_242 });
    eventually("the handler runs", || gate.entered() == 1).await;
    beta_node.kill_acceptors(alpha.name());
    errors.push(cut.await.unwrap_err());
    let as_numbers = format!("{}, {}, {}", secret[0], secret[1], secret[2]);
    for error in errors {
        let said = format!("{error} {error:?} {:?}", std::error::Error::source(&error));
        assert!(
            !said.contains("secret that") && !said.contains(&as_numbers) && !said.contains("424242"),
            "{said}"
        );
    }
}

#[actix::test]
async fn k21_keepalive_is_set_on_both_ends() {
    let (alpha, beta_node, beta) = pair().await;
    alpha.ping(&beta).await.unwrap();
    let (asking, answering) = keepalive_of_both_ends(beta_node.listening_on()[0]).await;
    // Five seconds by default; the kernel alone would take two hours.
    assert!(asking <= Duration::from_millis(5_100) && answering <= Duration::from_millis(5_100));
}

#[actix::test]
async fn k22_names_without_host_empty_lists_and_the_own_node_without_listener() {
    assert!("alpha".parse::<Target>().is_err());
    let alone = builder("alone").no_listener().start().await.unwrap();
    alone.register("counter", Counter::default().start()).unwrap().keep();
    assert_eq!(alone.call(&target(&alone), "counter", Add { amount: 2 }).await.unwrap(), 2);
    let none: [Target; 0] = [];
    assert!(alone.multicall(&none, "counter", Total).await.is_empty());
    assert!(alone.sbcast(&none, "counter", Total).await.failed.is_empty());
    let answers = alone.multicall(All, "counter", Total).await;
    assert_eq!(answers[0].1.as_ref().unwrap(), &2);
}

#[actix::test]
async fn k23_a_thousand_keys_to_a_refused_port_harm_nobody() {
    let phone_book = PhoneBook::default();
    let (listener, refused) = silent_node("refused@127.0.0.1", &phone_book).await;
    drop(listener);
    let beta_node = builder("beta").start().await.unwrap();
    beta_node.register("counter", Counter::default().start()).unwrap().keep();
    phone_book.enter(&beta_node);
    let alpha = builder("alpha").discovery(phone_book).start().await.unwrap();
    let targets: Vec<_> = (0..1_000).map(|key| refused.with_key(key)).collect();
    let answers = alpha.multicall(&targets, "counter", Total).await;
    for (_, answer) in answers {
        let error = answer.unwrap_err();
        assert!(matches!(error.failure(), Failure::NotSent(NotSent::ConnectFailed(_))), "{error}");
    }
    assert!(alpha.metrics().dials <= 64, "as many connections as a node may have, not a thousand");
    assert_eq!(alpha.call(&target(&beta_node), "counter", Total).await.unwrap(), 0);
    assert_eq!(alpha.nodes(), [beta_node.name().clone()]);
}

#[actix::test]
async fn k2_a_call_cut_half_way_is_never_told_that_it_did_not_run() {
    let (alpha, beta_node, beta) = pair().await;
    let gate = gate(&beta_node);
    let running = alpha.async_call(&beta, "gate", PassGate { number: 1 });
    eventually("the handler runs", || gate.entered() == 1).await;
    alpha.kill_clients(beta.node());
    let error = running.await.unwrap_err();
    assert!(matches!(error.failure(), Failure::Unknown(Unknown::LinkLost(_))), "{error}");
    assert!(error.may_have_run());
}
