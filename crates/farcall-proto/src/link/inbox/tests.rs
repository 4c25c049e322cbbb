//! What is lent, and that nobody can tell.

use proptest::prelude::*;

use super::*;
use crate::link::frame::{Head, Kind, RequestId};
use crate::link::outbox::{Body, Lane, Outbox, Reassembly};

fn inbox() -> Inbox {
    Inbox::new(&Limits::default())
}

/// The wire of requests with payloads of these sizes, large ones in fragments between the others.
fn wire(sizes: &[usize]) -> Vec<u8> {
    let mut outbox = Outbox::new(64 << 10, Reassembly { bytes_max: 64 << 20, streams_max: 64 });
    for (slot, size) in (0..).zip(sizes) {
        let payload: Vec<u8> = (0..=250).cycle().skip(slot as usize).take(*size).collect();
        let head = Head::request(Kind::Request, RequestId { slot, generation: 0 }, 0, 0, false);
        outbox.push(Lane::Actor(slot), head, Body::Shared(payload.into()));
    }
    let (mut wire, mut batch) = (Vec::new(), Vec::new());
    loop {
        outbox.poll_transmit(&mut batch);
        if batch.is_empty() {
            return wire;
        }
        wire.extend_from_slice(&batch);
    }
}

/// All frames but fragments, as they come out, and how many bytes were read into loans.
fn receive(mut wire: &[u8], steps: &[usize], lends: bool) -> Result<(Vec<Vec<u8>>, usize), ProtocolError> {
    let (mut inbox, mut buffer, mut frames, mut lent) = (inbox(), BytesMut::new(), Vec::new(), 0);
    for step in steps.iter().cycle() {
        let loan = if lends { inbox.lend(&mut buffer)? } else { None };
        if let Some(mut loan) = loan {
            while loan.missing() > 0 && !wire.is_empty() {
                let (now, later) = wire.split_at(wire.len().min(*step).min(loan.missing()));
                loan.data().extend_from_slice(now);
                loan.received(now.len());
                (wire, lent) = (later, lent + now.len());
            }
            if loan.missing() > 0 {
                break;
            }
            inbox.settle(loan);
            frames.extend(inbox.take_settled().map(|whole| whole.to_vec()));
        } else {
            let (now, later) = wire.split_at(wire.len().min(*step));
            buffer.extend_from_slice(now);
            wire = later;
        }
        while let Some(len) = inbox.next_frame_bytes(&buffer)? {
            let frame = buffer.split_to(len).split_off(4);
            match Frame::parse(&frame)? {
                Frame::Fragment { stream, total, abort, data } => {
                    frames.extend(inbox.fragment(stream, total, abort, data)?.map(|whole| whole.to_vec()));
                }
                _ => frames.push(frame.to_vec()),
            }
        }
        if wire.is_empty() {
            break;
        }
    }
    Ok((frames, lent))
}

#[test]
fn most_of_a_large_frame_is_read_where_it_is_put_together() {
    let wire = wire(&[500 << 10]);
    let (frames, lent) = receive(&wire, &[4096], true).unwrap();
    assert_eq!(frames.len(), 1);
    assert!(lent > wire.len() * 9 / 10, "{lent} of {}", wire.len());
}

#[test]
fn nothing_is_lent_for_what_is_no_fragment_or_nearly_there() {
    let (mut inbox, whole) = (inbox(), wire(&[60_000]));
    for len in [0, 3, 5, 20, 5000, whole.len() - 1] {
        let mut buffer = BytesMut::from(&whole[..len]);
        assert!(inbox.lend(&mut buffer).unwrap().is_none(), "{len} bytes of a frame that is whole");
        assert_eq!(buffer.len(), len);
    }
    let fragments = wire(&[500 << 10]);
    let first = inbox.next_frame_bytes(&fragments).unwrap().unwrap();
    for (len, lends) in
        [(15, false), (16, true), (first - LOAN_BYTES_MIN, true), (first - LOAN_BYTES_MIN + 1, false)]
    {
        let mut buffer = BytesMut::from(&fragments[..len]);
        let loan = Inbox::new(&Limits::default()).lend(&mut buffer).unwrap();
        assert_eq!(
            loan.map(|loan| loan.missing()),
            lends.then_some(first - len),
            "{len} bytes of a fragment"
        );
    }
}

#[test]
fn a_loan_obeys_every_limit_that_a_fragment_does() {
    let lend = |inbox: &mut Inbox, stream, total, len: u32| {
        let mut bytes = Vec::new();
        Head::fragment(stream, total).write(&vec![0; len as usize], &mut bytes);
        inbox.lend(&mut BytesMut::from(&bytes[..20])).map(|loan| loan.is_some())
    };
    let limits = Limits {
        message_bytes_max: 100_000,
        reassembly_bytes_max: 150_000,
        streams_max: 2,
        ..Limits::default()
    };
    let mut inbox = Inbox::new(&limits);
    assert!(matches!(lend(&mut inbox, 0, Some(200_000), 50_000), Err(ProtocolError::FrameTooLarge { .. })));
    assert_eq!(lend(&mut inbox, 0, None, 50_000), Err(ProtocolError::FragmentOfNoStream));
    assert_eq!(lend(&mut inbox, 0, Some(49_999), 50_000), Err(ProtocolError::FragmentBreaksTotal));
    let mut inbox = Inbox::new(&limits);
    assert_eq!(lend(&mut inbox, 0, Some(90_000), 50_000), Ok(true));
    assert_eq!(lend(&mut inbox, 0, Some(50_000), 40_000), Err(ProtocolError::StreamOpenedTwice));
    assert_eq!(
        lend(&mut inbox, 1, Some(90_000), 50_000),
        Err(ProtocolError::TooManyStreams),
        "180,000 bytes"
    );
    // One that is too long for a frame is left to whoever reads frames, who refuses it.
    assert_eq!(lend(&mut inbox, 1, Some(50_000), 200_000), Ok(false));
}

proptest! {
    #[test]
    fn lending_changes_nothing_about_what_arrives(
        sizes in prop::collection::vec(prop_oneof![0_usize..200, 60_000_usize..300_000], 1..6),
        steps in prop::collection::vec(prop_oneof![1_usize..100, 1000_usize..70_000], 1..6),
    ) {
        let wire = wire(&sizes);
        prop_assert_eq!(receive(&wire, &steps, true).unwrap().0, receive(&wire, &steps, false).unwrap().0);
    }

    #[test]
    fn lies_are_errors_and_never_a_panic(
        sizes in prop::collection::vec(60_000_usize..150_000, 1..3),
        steps in prop::collection::vec(1000_usize..70_000, 1..4),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut wire = wire(&sizes);
        let at = at.index(wire.len());
        wire[at] = byte;
        let lent = receive(&wire, &steps, true).map(|(frames, _)| frames.len());
        let copied = receive(&wire, &steps, false).map(|(frames, _)| frames.len());
        // A frame that never comes to its end is found out sooner when it is lent.
        if let (Ok(lent), Ok(copied)) = (lent, copied) {
            prop_assert_eq!(lent, copied);
        }
    }
}
