//! The tree against a set in memory.

use super::*;
use proptest::prelude::*;

type Set = BTreeMap<ObjectKey, ObjectRecord>;

/// Names that share many digits, so that small sets already make deep trees.
fn record() -> impl Strategy<Value = ObjectRecord> {
    (2_u8..=6, prop::collection::vec(0_u8..3, 4), any::<u16>(), any::<u8>(), any::<bool>()).prop_map(
        |(kind, digits, rest, size, rotten)| {
            let kind = ObjectKind::from_number(if kind == 4 { 3 } else { kind }).unwrap();
            let mut name = [0; 32];
            name[0] = digits[0] << 4 | digits[1];
            name[1] = digits[2] << 4 | digits[3];
            name[30..].copy_from_slice(&rest.to_be_bytes());
            let sha256 = if rotten { Sha256([7; 32]) } else { Sha256(name) };
            ObjectRecord { key: ObjectKey::Named(kind, Sha256(name)), size: size.into(), sha256 }
        },
    )
}

fn set(records: Vec<ObjectRecord>) -> Set {
    records.into_iter().map(|record| (record.key, record)).collect()
}

fn tree(set: &Set) -> DigestTree {
    let Ok(tree) = DigestTree::build(set);
    tree
}

/// Every hash of the tree, and where it is.
fn hashes(tree: &DigestTree) -> Vec<(Prefix, Summary, bool)> {
    let mut all = Vec::new();
    let mut ahead: Vec<Prefix> = ObjectKind::ALL.map(Prefix::of).into();
    while let Some(prefix) = ahead.pop() {
        let Some(summary) = tree.summary(&prefix) else { continue };
        let part = tree.part(&prefix);
        all.push((prefix, summary, part == Part::Leaf));
        if let Part::Branch(children) = part {
            ahead.extend(children.keys().map(|digit| prefix.child(*digit)));
        }
    }
    all
}

proptest! {
    #[test]
    fn the_same_set_has_the_same_tree_whatever_came_before(
        before in prop::collection::vec(record(), 0..400),
        changes in prop::collection::vec((record(), any::<bool>()), 0..300),
    ) {
        let mut objects = set(before);
        let mut kept = tree(&objects);
        // Also some that exist and go, so that branches become leaves.
        let gone: Vec<ObjectKey> = objects.keys().copied().step_by(2).collect();
        for round in changes.chunks(20) {
            let mut changed: Vec<ObjectKey> = round.iter().map(|(record, _)| record.key).collect();
            for (record, put) in round {
                if *put { objects.insert(record.key, *record); } else { objects.remove(&record.key); }
            }
            for key in gone.iter().filter(|key| key.kind() as u8 % 2 == round.len() as u8 % 2) {
                objects.remove(key);
                changed.push(*key);
            }
            let Ok(()) = kept.refresh(changed, &objects);
            prop_assert_eq!(hashes(&kept), hashes(&tree(&objects)));
            prop_assert_eq!(kept.digest(true), objects.values().copied().collect::<Digest>());
        }
    }

    #[test]
    fn any_change_shows_in_every_hash_above_it_and_in_no_other(
        records in prop::collection::vec(record(), 1..300), which in any::<prop::sample::Index>(), change in 0..2,
    ) {
        let before = set(records);
        let key = *before.keys().nth(which.index(before.len())).unwrap();
        let mut after = before.clone();
        match change {
            0 => after.get_mut(&key).unwrap().size += 1,
            _ => after.get_mut(&key).unwrap().sha256.0[31] ^= 1,
        }
        let (before, after) = (tree(&before), tree(&after));
        prop_assert_ne!(before.digest(true).root, after.digest(true).root);
        for ((prefix, one, _), (_, other, _)) in hashes(&before).into_iter().zip(hashes(&after)) {
            prop_assert_eq!(prefix.covers(&key), one.hash != other.hash, "{}", prefix);
        }
    }

    #[test]
    fn leaves_are_small_and_branches_are_not(records in prop::collection::vec(record(), 0..500)) {
        let objects = set(records);
        let tree = tree(&objects);
        for (prefix, summary, is_leaf) in hashes(&tree) {
            let here: Vec<_> = objects.values().filter(|record| prefix.covers(&record.key)).collect();
            prop_assert_eq!(summary.objects, here.len() as u64);
            prop_assert_eq!(summary.bytes, here.iter().map(|record| record.size).sum::<u64>());
            prop_assert_eq!(summary.damaged, here.iter().filter(|record| record.is_damaged()).count() as u64);
            prop_assert_eq!(is_leaf, here.len() <= LEAF_MAX);
        }
        let locks = objects.keys().filter(|key| key.kind() == ObjectKind::Locks).count() as u64;
        prop_assert_eq!(tree.digest(true).objects, tree.digest(false).objects + locks);
        prop_assert_eq!(tree.digest(true).root == tree.digest(false).root, locks == 0);
    }
}

#[test]
fn a_change_costs_its_leaf_and_not_the_set() {
    use std::cell::Cell;

    struct Counted<'a>(&'a Set, Cell<usize>);

    impl Records for Counted<'_> {
        type Error = std::convert::Infallible;

        fn under(
            &self,
            prefix: &Prefix,
        ) -> Result<impl Iterator<Item = Result<ObjectRecord, Self::Error>>, Self::Error> {
            let Ok(records) = self.0.under(prefix);
            Ok(records.inspect(|_| self.1.set(self.1.get() + 1)))
        }
    }

    let named = |number: u32| {
        let name = Sha256(sha2::Sha256::digest(number.to_be_bytes()).into());
        ObjectRecord { key: ObjectKey::Named(ObjectKind::Data, name), size: number.into(), sha256: name }
    };
    let mut objects = set((0..50_000).map(named).collect());
    let mut kept = tree(&objects);
    let new: Vec<ObjectRecord> = (50_000..50_100).map(named).collect();
    objects.extend(new.iter().map(|record| (record.key, *record)));
    let counted = Counted(&objects, Cell::new(0));
    let Ok(()) = kept.refresh(new.iter().map(|record| record.key), &counted);
    assert_eq!(kept.digest(true), objects.values().copied().collect::<Digest>());
    assert!(counted.1.get() <= 100 * (LEAF_MAX + 1), "{} objects read for 100 changes", counted.1.get());
}
