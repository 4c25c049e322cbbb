//! Which member of a group gets a message.

use super::Member;
use crate::peer::{Key, NodeName};

/// How to choose one of several members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pick {
    /// One of this node, if there is any; otherwise any.
    LocalFirst,
    /// Any.
    Random,
    /// The less busy one of two, which tends to the least busy one without asking all of them (Mitzenmacher, 2001).
    LeastBusy,
    /// Always the same for a key, as long as it is a member. When another one joins or leaves, only the keys that it has
    /// or had move (rendezvous hashing: Thaler and Ravishankar, 1998).
    Key(Key),
}

/// Chooses a member. `random` are numbers that nobody can foresee; `load` says how busy a member is.
pub fn pick<'a>(
    members: &'a [Member],
    how: Pick,
    own: &NodeName,
    random: [u64; 2],
    load: impl Fn(&Member) -> usize,
) -> Option<&'a Member> {
    let [first, second] = random;
    match how {
        Pick::LocalFirst => {
            let local: Vec<_> = members.iter().filter(|member| member.node == *own).collect();
            match local.len() {
                0 => nth(members, first),
                count => local.get(below(first, count)).copied(),
            }
        }
        Pick::Random => nth(members, first),
        Pick::LeastBusy => {
            let one = below(first, members.len());
            // Another one, if there is another.
            let other = (one + 1 + below(second, members.len().saturating_sub(1))) % members.len().max(1);
            let (one, other) = (members.get(one)?, members.get(other)?);
            Some(if load(other) < load(one) { other } else { one })
        }
        Pick::Key(key) => members.iter().max_by_key(|member| (weight(key, member), *member)),
    }
}

fn nth(members: &[Member], random: u64) -> Option<&Member> {
    members.get(below(random, members.len()))
}

/// A number below `count`, as even as 64 bits allow; 0 for none.
pub(crate) fn below(random: u64, count: usize) -> usize {
    // The upper half of a product of two 64-bit numbers is below the second one.
    usize::try_from((u128::from(random) * count as u128) >> 64).unwrap_or(0)
}

/// The weight of a member for a key: FNV-1a of the member's text, with the key mixed in by the finalizer of MurmurHash3.
/// It is the same on every machine and must stay so.
fn weight(key: Key, member: &Member) -> u64 {
    let member = Key::new(format_args!("{}/{}", member.node, member.actor)).hash();
    let mut mixed = key.hash() ^ member.rotate_left(32);
    for factor in [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53] {
        mixed ^= mixed >> 33;
        mixed = mixed.wrapping_mul(factor);
    }
    mixed ^ (mixed >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(count: usize) -> Vec<Member> {
        let member = |number| Member { node: format!("n{number}@h").parse().unwrap(), actor: "a".into() };
        (0..count).map(member).collect()
    }

    fn own() -> NodeName {
        "n1@h".parse().unwrap()
    }

    #[test]
    fn of_none_there_is_none_and_of_one_it_is_that_one() {
        let (one, key) = (members(1), Key::new("k"));
        for how in [Pick::LocalFirst, Pick::Random, Pick::LeastBusy, Pick::Key(key)] {
            assert_eq!(pick(&[], how, &own(), [u64::MAX; 2], |_| 0), None);
            assert_eq!(pick(&one, how, &own(), [u64::MAX; 2], |_| 0), Some(&one[0]));
        }
    }

    #[test]
    fn a_member_of_this_node_comes_first_and_without_one_any_is_taken() {
        let three = members(3);
        for random in [0, 1 << 62, u64::MAX] {
            assert_eq!(pick(&three, Pick::LocalFirst, &own(), [random, 0], |_| 0), Some(&three[1]));
        }
        let others = [three[0].clone(), three[2].clone()];
        assert_eq!(pick(&others, Pick::LocalFirst, &own(), [u64::MAX, 0], |_| 0), Some(&others[1]));
    }

    #[test]
    fn of_two_different_ones_the_less_busy_is_taken() {
        let three = members(3);
        let load = |member: &Member| usize::from(member.node.short() == "n0");
        for first in [0, 1 << 63, u64::MAX] {
            for second in [0, u64::MAX] {
                let chosen = pick(&three, Pick::LeastBusy, &own(), [first, second], load).unwrap();
                assert_ne!(chosen.node.short(), "n0");
            }
        }
    }

    #[test]
    fn a_key_keeps_its_member_and_only_those_of_one_that_leaves_move_evenly() {
        let all = members(10);
        let rest: Vec<_> = all.iter().filter(|member| member.node.short() != "n3").cloned().collect();
        let chosen = |members: &[Member], key: u32| {
            pick(members, Pick::Key(Key::new(key)), &own(), [0; 2], |_| 0).unwrap().node.clone()
        };
        let mut counts = std::collections::HashMap::new();
        for key in 0..10_000 {
            let (before, after) = (chosen(&all, key), chosen(&rest, key));
            if before.short() != "n3" {
                assert_eq!(before, after);
            } else {
                *counts.entry(after).or_insert(0) += 1;
            }
            *counts.entry(before).or_insert(0) += 1;
        }
        // A tenth each, and a ninth of a tenth of those that moved.
        assert!(counts.values().all(|count| (850..1300).contains(count)), "{counts:?}");
        // On every machine, in every version.
        let golden: Vec<_> = (0..8).map(|key| chosen(&all, key).short().to_owned()).collect();
        assert_eq!(golden, GOLDEN);
    }

    const GOLDEN: [&str; 8] = ["n9", "n0", "n4", "n9", "n9", "n3", "n4", "n1"];
}
