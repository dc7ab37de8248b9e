//! The tree that a digest is the root of: hashes over (kind, name, size, sha256), divided by kind and by the digits of the names.
//!
//! Its shape follows from the set alone: where at most [`LEAF_MAX`] objects lie, there is one leaf, and elsewhere a branch for each
//! digit. So equal sets have equal trees, whatever came in which order, and two trees that differ can be walked down together to
//! the leaves that differ. What has changed is read again leaf by leaf; all else stays as it was.

use super::Digest;
use super::prefix::Prefix;
use crate::object::{ObjectKey, ObjectKind, ObjectRecord, Sha256};
use sha2::Digest as _;
use std::collections::{BTreeMap, VecDeque};

/// Most objects of a leaf.
pub const LEAF_MAX: usize = 32;

/// What every hash begins with, so that none of one sort is one of another.
const LEAF: [u8; 1] = [0];
const BRANCH: [u8; 1] = [1];
const ROOT: [u8; 1] = [2];

/// Where objects are read from, in the order of their keys, all at one instant.
pub trait Records {
    /// Why they cannot be read.
    type Error;

    /// Those that lie under a prefix.
    ///
    /// # Errors
    /// When they cannot be read.
    fn under(&self, prefix: &Prefix) -> Result<impl Iterator<Item = Result<ObjectRecord, Self::Error>>, Self::Error>;
}

/// What is known of all objects under a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Over all of them.
    pub hash: Sha256,
    /// Number of objects.
    pub objects: u64,
    /// Sum of their sizes.
    pub bytes: u64,
    /// How many do not match their name.
    pub damaged: u64,
}

/// A leaf, or a branch with at least one child.
#[derive(Debug, Clone)]
struct Node {
    summary: Summary,
    children: Option<Box<Children>>,
}

type Children = [Option<Node>; 16];

/// What lies at a prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// So few objects, or none, that they are looked at one by one.
    Leaf,
    /// For each digit under which there is something, what is known of it.
    Branch(BTreeMap<u8, Summary>),
}

/// The tree over a node's objects.
#[derive(Debug, Clone, Default)]
pub struct DigestTree {
    kinds: BTreeMap<ObjectKind, Node>,
}

impl DigestTree {
    /// The tree of all objects that there are.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn build<R: Records>(records: &R) -> Result<Self, R::Error> {
        let mut tree = Self::default();
        for kind in ObjectKind::ALL {
            tree.rebuild(Prefix::of(kind), records)?;
        }
        Ok(tree)
    }

    /// Makes the tree that of the objects there are now, when it was that of a set which differs in these objects at most.
    ///
    /// # Errors
    /// When they cannot be read; the tree is of no use then.
    pub fn refresh<R: Records>(
        &mut self,
        changed: impl IntoIterator<Item = ObjectKey>,
        records: &R,
    ) -> Result<(), R::Error> {
        let mut changed: Vec<ObjectKey> = changed.into_iter().collect();
        changed.sort_unstable();
        changed.dedup();
        for keys in changed.chunk_by(|one, next| one.kind() == next.kind()) {
            let kind = keys[0].kind();
            let node = self.kinds.remove(&kind);
            let node = refreshed(node, Prefix::of(kind), keys, records)?;
            self.kinds.extend(node.map(|node| (kind, node)));
        }
        Ok(())
    }

    fn rebuild<R: Records>(&mut self, prefix: Prefix, records: &R) -> Result<(), R::Error> {
        let node = built(prefix, records)?;
        self.kinds.extend(node.map(|node| (prefix.kind(), node)));
        Ok(())
    }

    /// The digest, with locks or without.
    #[must_use]
    pub fn digest(&self, with_locks: bool) -> Digest {
        let mut digest = Digest { root: Sha256([0; 32]), objects: 0, bytes: 0, damaged: 0 };
        let mut root = sha2::Sha256::new_with_prefix(ROOT);
        for (kind, Node { summary, .. }) in &self.kinds {
            if *kind == ObjectKind::Locks && !with_locks {
                continue;
            }
            root.update([*kind as u8]);
            root.update(summary.hash.0);
            digest.objects += summary.objects;
            digest.bytes = digest.bytes.saturating_add(summary.bytes);
            digest.damaged += summary.damaged;
        }
        digest.root = Sha256(root.finalize().into());
        digest
    }

    /// What is known of all objects under a prefix; `None` where there is none. A leaf says nothing of places below it.
    #[must_use]
    pub fn summary(&self, prefix: &Prefix) -> Option<Summary> {
        self.node(prefix).map(|node| node.summary)
    }

    /// What lies at a prefix. Below a leaf there are leaves.
    #[must_use]
    pub fn part(&self, prefix: &Prefix) -> Part {
        match self.node(prefix).and_then(|node| node.children.as_ref()) {
            None => Part::Leaf,
            Some(children) => {
                let digits = (0..).zip(children.iter());
                Part::Branch(digits.filter_map(|(digit, node)| Some((digit, node.as_ref()?.summary))).collect())
            }
        }
    }

    /// How many hashes are kept.
    #[must_use]
    pub fn size(&self) -> usize {
        self.kinds.values().map(Node::size).sum()
    }

    fn node(&self, prefix: &Prefix) -> Option<&Node> {
        let mut node = self.kinds.get(&prefix.kind())?;
        let mut at = Prefix::of(prefix.kind());
        while at.digits() < prefix.digits() {
            let digit = at.next_digit(&prefix.first());
            node = node.children.as_ref()?.get(usize::from(digit))?.as_ref()?;
            at = at.child(digit);
        }
        Some(node)
    }
}

impl Node {
    fn leaf(records: &[ObjectRecord]) -> Option<Self> {
        let mut hash = sha2::Sha256::new_with_prefix(LEAF);
        let mut summary = Summary { hash: Sha256([0; 32]), objects: 0, bytes: 0, damaged: 0 };
        for record in records {
            hash.update(encoded(record));
            summary.objects += 1;
            summary.bytes = summary.bytes.saturating_add(record.size);
            summary.damaged += u64::from(record.is_damaged());
        }
        summary.hash = Sha256(hash.finalize().into());
        (!records.is_empty()).then_some(Self { summary, children: None })
    }

    fn branch(children: Box<Children>) -> Self {
        let mut hash = sha2::Sha256::new_with_prefix(BRANCH);
        let mut summary = Summary { hash: Sha256([0; 32]), objects: 0, bytes: 0, damaged: 0 };
        for (digit, child) in (0_u8..).zip(children.iter()) {
            let Some(Self { summary: part, .. }) = child else { continue };
            hash.update([digit]);
            hash.update(part.hash.0);
            summary.objects += part.objects;
            summary.bytes = summary.bytes.saturating_add(part.bytes);
            summary.damaged += part.damaged;
        }
        summary.hash = Sha256(hash.finalize().into());
        Self { summary, children: Some(children) }
    }

    fn size(&self) -> usize {
        1 + self.children.iter().flat_map(|children| children.iter()).flatten().map(Self::size).sum::<usize>()
    }
}

/// Records with the next few of them looked at already.
struct Stream<I> {
    records: I,
    ahead: VecDeque<ObjectRecord>,
}

impl<E, I: Iterator<Item = Result<ObjectRecord, E>>> Stream<I> {
    /// Looks so far ahead that a leaf can be told from a branch.
    fn look_ahead(&mut self) -> Result<(), E> {
        while self.ahead.len() <= LEAF_MAX {
            let Some(record) = self.records.next() else { break };
            self.ahead.push_back(record?);
        }
        Ok(())
    }

    /// What lies under a prefix, which the next record does.
    fn node(&mut self, prefix: Prefix) -> Result<Option<Node>, E> {
        self.look_ahead()?;
        let here = self.ahead.iter().take_while(|record| prefix.covers(&record.key)).count();
        if here <= LEAF_MAX {
            let records: Vec<ObjectRecord> = self.ahead.drain(..here).collect();
            return Ok(Node::leaf(&records));
        }
        let mut children: Box<Children> = Box::default();
        while let Some(next) = self.ahead.front().filter(|record| prefix.covers(&record.key)) {
            let digit = prefix.next_digit(&next.key);
            children[usize::from(digit)] = self.node(prefix.child(digit))?;
            self.look_ahead()?;
        }
        Ok(Some(Node::branch(children)))
    }
}

fn built<R: Records>(prefix: Prefix, records: &R) -> Result<Option<Node>, R::Error> {
    Stream { records: records.under(&prefix)?, ahead: VecDeque::new() }.node(prefix)
}

/// The node at a prefix after these objects, in order and all under it, may have changed.
fn refreshed<R: Records>(
    node: Option<Node>,
    prefix: Prefix,
    changed: &[ObjectKey],
    records: &R,
) -> Result<Option<Node>, R::Error> {
    let Some(mut children) = node.and_then(|node| node.children) else { return built(prefix, records) };
    for keys in changed.chunk_by(|one, next| prefix.next_digit(one) == prefix.next_digit(next)) {
        let digit = prefix.next_digit(&keys[0]);
        let child = &mut children[usize::from(digit)];
        *child = refreshed(child.take(), prefix.child(digit), keys, records)?;
    }
    let node = Node::branch(children);
    if node.summary.objects > LEAF_MAX as u64 { Ok(Some(node)) } else { built(prefix, records) }
}

/// Fixed-width, so that no two records share an encoding.
fn encoded(record: &ObjectRecord) -> [u8; 73] {
    let mut bytes = [0; 73];
    bytes[0] = record.key.kind() as u8;
    if let ObjectKey::Named(_, name) = record.key {
        bytes[1..33].copy_from_slice(&name.0);
    }
    bytes[33..41].copy_from_slice(&record.size.to_be_bytes());
    bytes[41..73].copy_from_slice(&record.sha256.0);
    bytes
}

#[cfg(test)]
mod tests;
