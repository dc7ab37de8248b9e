//! Finding what differs between two copies without listing them: both digests' trees are walked down together, to the leaves that
//! are not equal. Costs the difference, whatever the size.

use super::error::PullError;
use super::replica::Replica;
use super::source::Part;
use crate::engine::DigestPart;
use shardlift_model::digest::Prefix;
use shardlift_model::{ObjectKey, ObjectKind, ObjectRecord};
use std::collections::{BTreeMap, BTreeSet};

/// Places asked for at a time.
pub(super) const PLACES_MAX: usize = 64;

/// More than any tree that fits on a disk has. Only a source that makes up a tree without end has more.
const STEPS_MAX: usize = 1_000_000;

impl Replica {
    /// Makes the objects here those of the source, locks apart. Returns how many differed. For a source that stands still, or for what
    /// a journal cannot explain.
    ///
    /// INV-07: refused for a copy that was the writer once. What the present writer does not have may be what it has lost, and this
    /// the only good copy.
    pub(super) async fn settle_differences(&mut self) -> Result<usize, PullError> {
        if self.resumed {
            return Err(PullError::Failed(format!(
                "the writer's copy differs although every change was applied: here {}, at seq {} of its journal; compare the two by hand",
                self.copy.digest(false).await?.root,
                self.copy.applied_seq()
            )));
        }
        let kinds = ObjectKind::ALL.into_iter().filter(|kind| *kind != ObjectKind::Locks);
        let mut ahead: Vec<Prefix> = kinds.map(Prefix::of).collect();
        let mut differing = 0;
        for _ in 0..STEPS_MAX {
            if ahead.is_empty() {
                return Ok(differing);
            }
            // The last ones first: the way down ends soon, and what is ahead stays short.
            let places = ahead.split_off(ahead.len().saturating_sub(PLACES_MAX));
            let theirs = self.net(self.source.parts(&places)).await?;
            let own = self.copy.parts(places.clone()).await?;
            for (place, (own, theirs)) in places.into_iter().zip(own.into_iter().zip(theirs)) {
                match theirs {
                    Part::Branch(hashes) => ahead.extend(unequal(&own, &hashes).map(|digit| place.child(digit))),
                    Part::Leaf(there) => {
                        let here = self.here(&place, own).await?;
                        differing += self.settle(&here, &there).await?;
                    }
                }
            }
        }
        Err(PullError::Waiting("the source's digest has no end".to_owned()))
    }

    /// The own objects at a place, of which there may be many where the source has few.
    async fn here(&self, place: &Prefix, own: DigestPart) -> Result<BTreeMap<ObjectKey, ObjectRecord>, PullError> {
        match own {
            DigestPart::Leaf(records) => Ok(records.into_iter().map(|record| (record.key, record)).collect()),
            DigestPart::Branch(_) => Ok(self.copy.records_at(place).await?),
        }
    }
}

/// The digits under which two copies differ, or may: below an own leaf nothing is known.
fn unequal(own: &DigestPart, theirs: &BTreeMap<u8, shardlift_model::Sha256>) -> impl Iterator<Item = u8> + use<> {
    let digits: BTreeSet<u8> = match own {
        DigestPart::Leaf(_) => (0..16).collect(),
        DigestPart::Branch(children) => {
            let own = |digit: &u8| children.get(digit).map(|child| child.hash);
            (0..16).filter(|digit| own(digit) != theirs.get(digit).copied()).collect()
        }
    };
    digits.into_iter()
}
