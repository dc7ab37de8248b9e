//! Which steps the driver takes, read from the journal of a path on which nothing went wrong. The same reading checks every
//! invariant at every record.

use super::commit_store::commit_of;
use super::{CLUSTER_ZONE, node};
use crate::journal::Entry;
use crate::tests::yard::{Spot, Taken};
use shardlift_migration::invariants::{check_effects, check_step, check_world};
use shardlift_migration::{Command, Effect, Event, World, effects};
use shardlift_model::{ShardId, Token};
use shardlift_store::{MemoryStore, Seq, Store as _};
use std::collections::{BTreeMap, BTreeSet};

/// One list for the match and for the rows, so that a new command cannot be forgotten in either.
macro_rules! words {
    ($($pattern:pat => $word:literal),* $(,)?) => {
        /// Every command to a shard.
        pub(super) const COMMANDS: &[&str] = &[$($word),*];

        const fn word(command: &Command) -> &'static str {
            match command {
                $($pattern => $word),*
            }
        }
    };
}

words! {
    Command::Offer { .. } => "offer",
    Command::StartReplica { .. } => "start_replica",
    Command::VerifyReplica => "verify_replica",
    Command::Fence => "fence",
    Command::CompleteReplica { .. } => "complete_replica",
    Command::Seal { .. } => "seal",
    Command::Promote { .. } => "promote",
    Command::Retire { .. } => "retire",
    Command::Detach => "detach",
    Command::TakeStock => "take_stock",
    Command::Depose => "depose",
    Command::Quarantine => "quarantine",
    Command::Restore => "restore",
    Command::EndLegacyCredentials => "end_legacy_credentials",
    Command::Unfence => "unfence",
    Command::DiscardReplica => "discard_replica",
}

/// Not a command of a stage, but one that goes to a shard all the same.
pub(super) const RENEWAL: &str = "renew_fence";

/// The same, of the soak.
pub(super) const DEEP_VERIFY: &str = "deep_verify";

/// Goes before a promotion without the former writer, under the same token.
pub(super) const SETTING: &str = "set_node";

/// A journal, read from its begin.
pub(super) struct Replayed {
    pub(super) world: World,
    /// In the order in which they were first due, from the record on at which the reader was asked to begin.
    pub(super) steps: Vec<Spot>,
    pub(super) events: Vec<Event>,
}

impl Replayed {
    pub(super) fn has(&self, is: impl Fn(&Event) -> bool) -> bool {
        self.events.iter().any(is)
    }
}

/// Reads a journal as a controller that starts would, and checks it on the way.
pub(super) fn replay(store: &MemoryStore, steps_from: Seq) -> Result<Replayed, String> {
    let (cluster, zone) = CLUSTER_ZONE;
    let mut world = World::new(cluster.parse().unwrap(), zone.parse().unwrap());
    let (mut found, mut events) = (Found::default(), Vec::new());
    for (seq, record) in store.read(Seq::ZERO, usize::MAX).unwrap() {
        let event = Entry::from_record(&record).map_err(|error| format!("record {seq}: {error}"))?.event;
        world.legal(&event).map_err(|illegal| format!("record {seq} is not legal: {illegal}"))?;
        let before = world.clone();
        world.apply(&event);
        let due = effects(&world);
        let mut violations = check_step(&before, &event, &world);
        violations.extend(check_world(&world));
        violations.extend(check_effects(&world, &due));
        if let Some(violation) = violations.first() {
            return Err(format!("record {seq}: {violation}"));
        }
        if seq > steps_from {
            if let Some(generation) = commit_of(&event, &node()) {
                found.add(Spot::Commit(generation));
            }
            due.iter().for_each(|effect| found.effect(&world, effect));
        }
        events.push(event);
    }
    Ok(Replayed { world, steps: found.steps, events })
}

#[derive(Default)]
struct Found {
    steps: Vec<Spot>,
    taken: BTreeMap<(&'static str, ShardId), BTreeSet<Taken>>,
}

impl Found {
    fn add(&mut self, spot: Spot) {
        if !self.steps.contains(&spot) {
            self.steps.push(spot);
        }
    }

    fn command(&mut self, word: &'static str, shard: &ShardId, token: Token) {
        let taken = self.taken.entry((word, shard.clone())).or_default();
        if taken.insert((token.generation, token.step)) {
            let spot = Spot::Command(word, shard.clone(), taken.len());
            self.add(spot);
        }
    }

    fn effect(&mut self, world: &World, effect: &Effect) {
        match effect {
            Effect::Send { token, shard, command, .. } => {
                if let Command::Promote { settings: Some(_), .. } = command {
                    self.command(SETTING, shard, *token);
                }
                self.command(word(command), shard, *token);
            }
            // A seal may be faster than its renewal: only the first one of a fence is a step that must come.
            Effect::RenewFence { shard, .. } => self.add(Spot::Command(RENEWAL, shard.clone(), 1)),
            Effect::WatchSoak { token, writer, follower, verify: true, .. } => {
                self.command("verify_replica", follower, *token);
                self.command(DEEP_VERIFY, writer, *token);
            }
            Effect::Probe { generation, .. } => self.add(Spot::Probe(generation.0)),
            Effect::SyncRouters { .. } => {
                let routes = world.routes();
                let own = routes.values().find(|routed| *routed.node == node());
                // Under the first generation it was routed before anything moved.
                if let Some(routed) = own.filter(|routed| routed.token.generation.0 > 1) {
                    self.add(Spot::Routes(routed.token.generation.0));
                }
            }
            // These ask and change nothing.
            Effect::WatchSoak { verify: false, .. } | Effect::WatchReplica { .. } | Effect::AskCutover { .. } => {}
            // Nothing is sent: facts are signed and recorded, once (`tests/receipts.rs`).
            Effect::IssueReceipt { .. } => {}
        }
    }
}
