//! The bytes of what two nodes say in a session: as the manual has them, with what older and later versions make of them.

#![allow(missing_docs, reason = "tests are read, not documented as an API")]
#![allow(clippy::unwrap_used, reason = "a test that is wrong about its own data should fail loudly")]

use farcall_proto::cluster::groups::{Change, GroupName, GroupNotice};
use farcall_proto::cluster::notices::{NOTICES_MAX, NoticeError, Said, decode, encode};
use farcall_proto::cluster::signals::{DownReason, Notice};

fn group() -> GroupName {
    GroupName::new("s", "g")
}

/// One of each kind, with its bytes.
fn golden() -> Vec<(Said, Vec<u8>)> {
    let (a, b) = (|| "a".to_owned(), || "b".to_owned());
    let members = vec![(group(), a(), 2)];
    let changes = vec![Change { group: group(), actor: a(), joined: false }];
    let signals = [
        (Notice::Monitor { reference: 1, actor: a() }, vec![1, 3, 1, 1, b'a']),
        (Notice::Demonitor { reference: 1 }, vec![2, 1, 1]),
        (Notice::Down { reference: 300, reason: DownReason::Stopped }, vec![3, 3, 0xac, 0x02, 2]),
        (Notice::Link { from: a(), to: b() }, vec![4, 4, 1, b'a', 1, b'b']),
        (Notice::Unlink { from: a(), to: b() }, vec![5, 4, 1, b'a', 1, b'b']),
        (Notice::Exit { from: a(), to: b(), reason: DownReason::Panicked }, vec![6, 5, 1, b'a', 1, b'b', 1]),
    ];
    let groups = [
        (
            GroupNotice::Snapshot { version: 1, first: true, last: true, members },
            vec![16, 11, 1, 1, 1, 1, 1, b's', 1, b'g', 1, b'a', 2],
        ),
        (GroupNotice::Changes { from: 2, changes }, vec![17, 9, 2, 1, 1, b's', 1, b'g', 1, b'a', 0]),
        (GroupNotice::Limit { members_max: 65_536 }, vec![18, 3, 0x80, 0x80, 4]),
    ];
    let signals = signals.into_iter().map(|(notice, bytes)| (Said::Signal(notice), bytes));
    signals.chain(groups.into_iter().map(|(notice, bytes)| (Said::Groups(notice), bytes))).collect()
}

#[test]
fn every_notice_has_the_bytes_that_the_protocol_says() {
    let (all, bytes): (Vec<Said>, Vec<Vec<u8>>) = golden().into_iter().unzip();
    for (said, bytes) in all.iter().zip(&bytes) {
        assert_eq!(encode(std::slice::from_ref(said)).unwrap(), *bytes, "{said:?}");
    }
    assert_eq!(encode(&all).unwrap(), bytes.concat());
    assert_eq!(decode(&bytes.concat()), Ok(all));
    assert_eq!(decode(&[]), Ok(Vec::new()));
}

#[test]
fn a_kind_that_is_not_known_is_skipped_with_all_that_it_says() {
    let known = golden();
    let mut batch = Vec::new();
    for (_, bytes) in &known {
        // Of a later version: a long one, with a kind that takes two bytes, and an empty one.
        batch.extend([0xc8, 0x01, 5, 1, 2, 3, 4, 5]);
        batch.extend(bytes);
        batch.extend([7, 0]);
    }
    let said: Vec<Said> = known.into_iter().map(|(said, _)| said).collect();
    assert_eq!(decode(&batch), Ok(said));
}

#[test]
fn what_a_later_version_adds_behind_the_fields_is_left() {
    for (said, mut bytes) in golden() {
        bytes.extend([9, 9, 9]);
        *bytes.get_mut(1).unwrap() += 3;
        assert_eq!(decode(&bytes), Ok(vec![said]));
    }
}

#[test]
fn a_reason_that_is_not_known_is_another_one() {
    let down = |number| decode(&[&[3, 2, 1][..], &[number]].concat()).unwrap();
    let reason = |reason| vec![Said::Signal(Notice::Down { reference: 1, reason })];
    assert_eq!(down(0), reason(DownReason::Normal));
    assert_eq!(down(6), reason(DownReason::Refused));
    assert_eq!(down(7), reason(DownReason::Other));
    assert_eq!(decode(&encode(&reason(DownReason::Other)).unwrap()), Ok(reason(DownReason::Other)));
}

#[test]
fn what_is_cut_off_or_malformed_is_an_error_and_so_is_more_than_anybody_says_at_once() {
    for (_, bytes) in golden() {
        for cut in 1..bytes.len() {
            let cut = bytes.get(..cut).unwrap();
            assert_eq!(decode(cut), Err(NoticeError::Cut), "{cut:?}");
        }
        let kind = u32::from(*bytes.first().unwrap());
        assert_eq!(decode(&[*bytes.first().unwrap(), 0]), Err(NoticeError::Malformed { kind }));
    }
    let demonitors = |count| [2, 1, 1].repeat(count);
    assert_eq!(decode(&demonitors(NOTICES_MAX)).unwrap().len(), NOTICES_MAX);
    assert_eq!(decode(&demonitors(NOTICES_MAX + 1)), Err(NoticeError::TooMany));
}
