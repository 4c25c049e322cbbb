//! A pump that was kept from its socket for a while.

use std::io::Write;

use farcall_proto::link::liveness::Liveness;
use tokio::net::TcpStream;

use super::*;

/// A side that takes everything, wants nothing, and hears when its peer falls silent.
struct Taker(Liveness);

impl Side for Taker {
    fn handle_data(&mut self, buffer: &mut BytesMut, now: Instant) -> Result<(), LossCause> {
        buffer.clear();
        self.0.received(now);
        Ok(())
    }
    fn advance(&mut self, _: &mut BytesMut, _: Instant, _: &Waker) -> Result<Progress, LossCause> {
        Ok(Progress::Drained)
    }
    fn lend(&mut self, _: &mut BytesMut) -> Result<Option<Loan>, LossCause> {
        Ok(None)
    }

    fn settle(&mut self, _: Loan) {}

    fn transmit(&mut self, _: &mut Outgoing, _: Instant, _: &Waker) {}
    fn fresh(&mut self, _: &Waker) -> Fresh {
        Fresh::Nothing
    }
    fn poll_timeout(&mut self, io: &IoState) -> Instant {
        self.0.poll_timeout(io)
    }
    fn handle_timeout(&mut self, now: Instant, io: &IoState) -> Result<(), LossCause> {
        self.0.handle_timeout(now, io).map(drop)
    }
    fn wants_close(&mut self) -> Option<&'static str> {
        None
    }
    fn suspended(&mut self, _: Instant) -> Option<Duration> {
        None
    }
}

#[actix::test]
async fn a_timer_that_fired_before_the_arbiter_was_busy_tells_nothing_of_what_came_meanwhile() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (mut peer, _) = listener.accept().unwrap();
    let tick = Duration::from_millis(200);
    let side = Taker(Liveness::new(tick, 4, tick, tick * 100, Instant::now()));
    let mut pump = Pump::new(stream, side, BytesMut::new(), None);
    let mut poll = async || std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut pump).poll(cx))).await;
    assert!(poll().await.is_pending());
    // The reactor has its turn, the timer of the first tick fires, and nobody gets to the pump.
    tokio::time::sleep(tick / 2).await;
    peer.write_all(b"alive").unwrap();
    std::thread::sleep(tick * 2);
    let polled = poll().await;
    assert!(polled.is_pending(), "{polled:?}");
    tokio::time::sleep(tick / 4).await;
    let polled = poll().await;
    assert!(polled.is_pending(), "it has read by now: {polled:?}");
}

#[actix::test]
async fn a_busy_arbiter_does_not_take_its_own_silence_for_the_peers() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (mut peer, _) = listener.accept().unwrap();
    let tick = Duration::from_millis(100);
    let side = Taker(Liveness::new(tick, 4, tick, tick * 100, Instant::now()));
    let mut pump = Pump::new(stream, side, BytesMut::new(), None);
    // Both timer and socket are waited for.
    let quick = tokio::time::timeout(tick / 2, &mut pump).await;
    assert!(quick.is_err(), "it ended: {quick:?}");
    peer.write_all(b"alive").unwrap();
    std::thread::sleep(tick * 2);
    // Something else wakes the pump before the reactor had its turn.
    let polled = std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut pump).poll(cx))).await;
    assert!(polled.is_pending(), "{polled:?}");
    // A peer that is silent is found out all the same.
    let begun = Instant::now();
    let ended = pump.await;
    assert!(matches!(ended.cause, LossCause::Silent { .. }), "{ended:?}");
    assert!(begun.elapsed() >= tick / 2, "what it had sent counts from when it was read");
}
