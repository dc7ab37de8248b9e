//! What the shards themselves say at the moment when it is durable: every change of a client, with shard, generation and seq. From it
//! are judged that one shard at a time takes a node's changes (INV-01), and what may be missing after a writer was given up.

use crate::machine::Virtual;
use crate::story::Story;
use crate::tally::{Sort, Tally};
use shardlift_migration::Stage;
use shardlift_shard::witness::{DRAINED, MUTATION, PARKED, REPEATED};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, Layer};

/// A client's change, durable at a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Where.
    pub shard: String,
    /// Under which generation.
    pub generation: u64,
    /// Its number there.
    pub seq: u64,
    /// The object's name.
    pub object: String,
    /// It is a lock. Locks travel when a node changes hands and are not followed.
    pub lock: bool,
    /// Stored, or deleted.
    pub stored: bool,
}

/// A writer that an operator gave up.
#[derive(Debug, Clone, PartialEq, Eq)]
struct GivenUp {
    node: String,
    writer: String,
    generation: u64,
    after_seq: u64,
}

#[derive(Debug, Default)]
struct Seen {
    changes: BTreeMap<String, Vec<Change>>,
    given_up: Vec<GivenUp>,
    stages: BTreeMap<String, Stage>,
}

/// What was seen in one run.
#[derive(Debug, Default)]
pub struct Witness {
    seen: Mutex<Seen>,
}

impl Witness {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A node has come to a stage.
    pub fn enter(&self, node: &str, stage: Stage) {
        self.seen().stages.insert(node.to_owned(), stage);
    }

    /// Where a node is.
    #[must_use]
    pub fn stage(&self, node: &str) -> Option<Stage> {
        self.seen().stages.get(node).copied()
    }

    /// A change; what is wrong with it. INV-01: nobody takes changes under a generation below one that was used, and one shard alone
    /// uses a generation.
    pub fn see(&self, node: &str, change: Change) -> Option<String> {
        let mut seen = self.seen();
        let changes = seen.changes.entry(node.to_owned()).or_default();
        let newest = changes.iter().max_by_key(|known| known.generation);
        let wrong = newest.and_then(|newest| {
            let Change { shard, generation, .. } = newest;
            let is_theirs = change.generation == *generation && change.shard != *shard;
            (change.generation < *generation || is_theirs).then(|| {
                let (own, late) = (&change.shard, change.generation);
                format!("{own} took a change of {node} under generation {late}, {shard} had under {generation}")
            })
        });
        changes.push(change);
        wrong
    }

    /// An operator is about to give up all that a writer has recorded after `after_seq`.
    pub fn give_up(&self, node: &str, writer: &str, after_seq: u64) {
        let mut seen = self.seen();
        let last = seen.changes.get(node).and_then(|all| all.iter().rev().find(|change| change.shard == writer));
        // Nothing recorded there, nothing to be lost.
        let Some(generation) = last.map(|change| change.generation) else { return };
        let given = GivenUp { node: node.to_owned(), writer: writer.to_owned(), generation, after_seq };
        seen.given_up.push(given);
    }

    /// The operator was refused.
    pub fn keep(&self, node: &str) {
        self.seen().given_up.retain(|given| given.node != node);
    }

    /// Whether the last change of an object was given up: then it may be found as it was before, or as it is.
    #[must_use]
    pub fn is_given_up(&self, node: &str, object: &str) -> bool {
        let seen = self.seen();
        let last = seen.changes.get(node).and_then(|all| all.iter().rev().find(|change| change.object == object));
        last.is_some_and(|last| {
            seen.given_up.iter().any(|given| {
                given.node == node
                    && given.writer == last.shard
                    && given.generation == last.generation
                    && (last.seq > given.after_seq || last.lock)
            })
        })
    }
}

/// Listens to what the parts say of themselves.
#[derive(Debug)]
pub struct Listener {
    /// Who speaks.
    pub machine: Arc<Virtual>,
    /// Where it is kept.
    pub witness: Arc<Witness>,
    /// Where it is counted.
    pub tally: Arc<Tally>,
    /// Where it is told when it is wrong.
    pub story: Story,
}

#[derive(Debug, Default)]
struct Fields(BTreeMap<&'static str, String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}

impl Fields {
    fn text(&self, name: &str) -> String {
        self.0.get(name).cloned().unwrap_or_default()
    }

    fn number(&self, name: &str) -> u64 {
        self.text(name).parse().unwrap_or(u64::MAX)
    }
}

impl Listener {
    /// Whether something is for these ears.
    #[must_use]
    pub fn listens_to(target: &str) -> bool {
        [MUTATION, PARKED, DRAINED, REPEATED].contains(&target)
    }

    fn change(&self, fields: &Fields) {
        let (node, stored) = (fields.text("node"), fields.text("stored") == "true");
        if !stored && self.witness.stage(&node) == Some(Stage::Copying) {
            self.tally.count(Sort::DeletedDuringCopy);
        }
        let change = Change {
            shard: self.machine.host().unwrap_or("nobody").to_owned(),
            generation: fields.number("generation"),
            seq: fields.number("seq"),
            object: fields.text("object"),
            lock: fields.text("kind").contains("locks"),
            stored,
        };
        if let Some(wrong) = self.witness.see(&node, change) {
            self.story.violate("witness", wrong);
        }
    }
}

impl<S: tracing::Subscriber> Layer<S> for Listener {
    fn on_event(&self, event: &tracing::Event<'_>, _context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        match event.metadata().target() {
            MUTATION => self.change(&fields),
            PARKED => self.tally.count(Sort::Parked),
            DRAINED => self.tally.count(Sort::Drained),
            REPEATED => self.tally.count(Sort::Repeated),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(shard: &str, generation: u64, seq: u64, object: &str) -> Change {
        let (shard, object) = (shard.to_owned(), object.to_owned());
        Change { shard, generation, seq, object, lock: false, stored: true }
    }

    #[test]
    fn one_shard_takes_changes_at_a_time_and_generations_only_grow() {
        let witness = Witness::default();
        for good in [change("a", 1, 1, "x"), change("a", 1, 2, "y"), change("b", 2, 9, "z"), change("a", 3, 4, "v")] {
            assert_eq!(witness.see("n", good), None);
        }
        assert!(witness.see("n", change("a", 1, 3, "w")).is_some(), "a former generation");
        assert!(witness.see("n", change("b", 3, 5, "w")).is_some(), "another's generation");
        assert_eq!(witness.see("m", change("b", 1, 1, "w")), None, "another node");
    }

    #[test]
    fn given_up_is_what_the_lost_writer_recorded_after_the_seq_and_nothing_else() {
        let witness = Witness::default();
        let changes = [
            change("a", 1, 1, "old"),
            change("b", 2, 8, "followed"),
            change("b", 2, 9, "lost"),
            change("b", 2, 10, "again"),
        ];
        for change in changes {
            assert_eq!(witness.see("n", change), None);
        }
        let all = |witness: &Witness| ["old", "followed", "lost", "again"].map(|name| witness.is_given_up("n", name));
        assert_eq!(all(&witness), [false; 4]);
        witness.give_up("n", "b", 8);
        assert_eq!(all(&witness), [false, false, true, true]);
        assert!(!witness.is_given_up("m", "lost"), "another node");
        // Stored once more by the next writer: now it must be there.
        assert_eq!(witness.see("n", change("a", 3, 2, "again")), None);
        assert_eq!(all(&witness), [false, false, true, false]);
        let lock = Change { lock: true, ..change("b", 2, 7, "lock") };
        witness.seen().changes.entry("n".to_owned()).or_default().push(lock);
        assert!(witness.is_given_up("n", "lock"), "no follower has locks");
        witness.keep("n");
        assert_eq!(all(&witness), [false; 4]);
    }
}
