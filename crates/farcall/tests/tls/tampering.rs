//! Somebody on the way who changes single bits.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use farcall::error::Class;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::by_hand::listening;
use crate::fixture::{Add, Book, Total, connects, eventually, secure, started, target};

/// Which byte of the next chunk to change in each direction; nothing if it is `NONE`.
#[derive(Default)]
struct Flips {
    there: AtomicUsize,
    back: AtomicUsize,
}

/// Counted from one, so that the default is to change nothing.
const NONE: usize = 0;

async fn flipping(to: SocketAddr) -> (SocketAddr, Arc<Flips>) {
    let flips = Arc::<Flips>::default();
    let shared = flips.clone();
    let address = listening(move |near| {
        let flips = shared.clone();
        async move {
            let Ok(far) = TcpStream::connect(to).await else { return };
            let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
            futures::future::join(copy(near_in, far_out, &flips.there), copy(far_in, near_out, &flips.back))
                .await;
        }
    })
    .await;
    (address, flips)
}

async fn copy(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, flip: &AtomicUsize) {
    let mut chunk = vec![0; 16 * 1024];
    while let Ok(bytes @ 1..) = from.read(&mut chunk).await {
        match flip.swap(NONE, Ordering::SeqCst) {
            NONE => {}
            nth => chunk[(nth - 1).min(bytes - 1)] ^= 0b0000_0100,
        }
        if to.write_all(&chunk[..bytes]).await.is_err() {
            return;
        }
    }
    let _ = to.shutdown().await;
}

/// The type, the version and the length of a record, its first byte, one in its midst, and its last.
const PLACES: [usize; 6] = [1, 2, 5, 6, 20, usize::MAX];

#[actix::test]
async fn a_request_in_which_one_bit_was_changed_ends_the_link_and_is_never_delivered() {
    let book = Book::default();
    let beta = started(secure("beta@127.0.0.1"), &book).await;
    let alpha = started(secure("alpha@127.0.0.1"), &book).await;
    let (address, flips) = flipping(beta.listening_on()[0]).await;
    book.put_tls("beta@127.0.0.1", address);
    for (nth, place) in (1..).zip(PLACES) {
        connects(&alpha, &beta).await;
        flips.there.store(place, Ordering::SeqCst);
        let error = alpha.call(&target(&beta), "counter", Add { amount: 1 }).await.unwrap_err();
        assert_eq!(error.class(), Class::Unknown, "place {place}: {error}");
        eventually("it counts as lost", || alpha.metrics().clients_lost == nth).await;
        eventually(&format!("its other end too, at place {place}"), || {
            !beta.inbound().contains(alpha.name())
        })
        .await;
        assert_eq!(beta.call(&target(&beta), "counter", Total).await.unwrap(), 0, "place {place}");
    }
}

#[actix::test]
async fn an_answer_in_which_one_bit_was_changed_ends_the_link_and_is_never_believed() {
    let book = Book::default();
    let beta = started(secure("beta@127.0.0.1"), &book).await;
    let alpha = started(secure("alpha@127.0.0.1"), &book).await;
    let (address, flips) = flipping(beta.listening_on()[0]).await;
    book.put_tls("beta@127.0.0.1", address);
    for (nth, place) in (1..).zip(PLACES) {
        connects(&alpha, &beta).await;
        flips.back.store(place, Ordering::SeqCst);
        let error = alpha.call(&target(&beta), "counter", Add { amount: 1 }).await.unwrap_err();
        assert_eq!(error.class(), Class::Unknown, "place {place}: {error}");
        eventually("it counts as lost", || alpha.metrics().clients_lost == nth).await;
        let ran = beta.call(&target(&beta), "counter", Total).await.unwrap();
        assert_eq!(ran, nth, "each ran once, and its caller does not know");
    }
}
