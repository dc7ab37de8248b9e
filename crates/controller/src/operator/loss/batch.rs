//! A batch that goes back although the writers of some of its nodes are gone: what that costs for each, and a refusal of the
//! whole when one of them is not covered by what was accepted. Nothing is begun by a refusal.

use super::super::{OperatorService, batches};
use super::{Stand, lines};
use crate::clock;
use shardlift_api::convert;
use shardlift_api::fault::{Fault, FaultKind};
use shardlift_api::v1;
use shardlift_migration::{Input, Migration, decide};
use shardlift_model::{BatchId, NodeId};
use std::collections::{BTreeMap, BTreeSet};

/// Most nodes whose loss one request accepts.
const LOSSES_MAX: usize = 10_000;

/// Most nodes that are told of in one refusal.
const TOLD_MAX: usize = 10;

/// Longest line about one of them, in characters.
const LINE_CHARS_MAX: usize = 400;

/// What an operator gives up: by node, the changes after this one.
#[derive(Debug, Default)]
pub(in super::super) struct Losses(BTreeMap<NodeId, u64>);

impl TryFrom<Vec<v1::NodeLoss>> for Losses {
    type Error = Fault;

    fn try_from(losses: Vec<v1::NodeLoss>) -> Result<Self, Fault> {
        if losses.len() > LOSSES_MAX {
            return Err(Fault::new(FaultKind::Invalid, format!("more than {LOSSES_MAX} nodes in one request")));
        }
        let mut accepted = BTreeMap::new();
        for v1::NodeLoss { node, after_seq } in losses {
            let node = convert::node(&node)?;
            if accepted.insert(node.clone(), after_seq).is_some_and(|before| before != after_seq) {
                let what = format!("two different losses of {node} are accepted\nname one change for each node");
                return Err(Fault::new(FaultKind::Invalid, what));
            }
        }
        Ok(Self(accepted))
    }
}

impl Losses {
    pub(in super::super) fn len(&self) -> usize {
        self.0.len()
    }
}

impl Stand {
    /// Why what was accepted does not cover what goes with the writer. `None`: it does, or the writer answers.
    fn uncovered(&self, accepted: Option<u64>) -> Option<String> {
        let silence = self.silence.as_deref()?;
        let Self { node, writer, follower, .. } = self;
        let serves = format!("{node}: {writer}, which serves it, {silence}");
        let followed = match &self.followed {
            Ok(followed) => *followed,
            Err(why) => return Some(format!("{serves}; {follower}, which should take it over, {why}")),
        };
        if accepted.is_some_and(|after_seq| after_seq <= followed) {
            return None;
        }
        let snapshots = match self.snapshots_lost() {
            0 => String::new(),
            1 => ", 1 snapshot among them".to_owned(),
            count => format!(", {count} snapshots among them"),
        };
        let given = accepted.map_or_else(String::new, |seq| format!("; given up were only those after {seq}"));
        let lost = self.lost();
        Some(format!("{serves}; {follower} has all of its changes up to {followed}, {lost}{snapshots}{given}"))
    }

    fn is_gone(&self) -> bool {
        self.silence.is_some()
    }
}

/// The first ones, and how many more there are.
fn named<T: ToString>(all: impl IntoIterator<Item = T>) -> String {
    let all: Vec<String> = all.into_iter().map(|one| one.to_string()).collect();
    let mut told = all.iter().take(TOLD_MAX).cloned().collect::<Vec<_>>();
    if all.len() > TOLD_MAX {
        told.push(format!("and {} more", all.len() - TOLD_MAX));
    }
    told.join(", ")
}

fn silent(stands: &[Stand]) -> String {
    named(stands.iter().filter(|stand| stand.is_gone()).map(|stand| &stand.writer).collect::<BTreeSet<_>>())
}

/// What stands before the rollback of a batch, node by node; `None` when all of it may begin.
fn refusal(batch: &BatchId, stands: &[Stand], losses: &Losses) -> Option<Fault> {
    let uncovered =
        stands.iter().filter_map(|stand| Some((stand, stand.uncovered(losses.0.get(&stand.node).copied())?)));
    let uncovered: Vec<(&Stand, String)> = uncovered.collect();
    let count = match uncovered.len() {
        0 => return None,
        1 => "1 node".to_owned(),
        count => format!("{count} nodes"),
    };
    let shards = silent(stands);
    let mut told =
        vec![format!("without {shards}, {count} of batch {batch} cannot go back without loss; nothing was begun")];
    told.extend(uncovered.iter().take(TOLD_MAX).map(|(_, line)| line.chars().take(LINE_CHARS_MAX).collect()));
    if uncovered.len() > TOLD_MAX {
        told.push(format!("and {} more", uncovered.len() - TOLD_MAX));
    }
    let others: Vec<&NodeId> = stands.iter().filter(|stand| !stand.is_gone()).map(|stand| &stand.node).collect();
    told.push(if others.is_empty() {
        "no node of it goes back without loss".to_owned()
    } else {
        format!("without loss go back: {}", named(others))
    });
    told.push(if uncovered.iter().any(|(stand, _)| stand.followed.is_err()) {
        "bring back one of the two shards of each node that nobody can take over; the others go back one by one: \
         `shardlift node rollback NODE`"
            .to_owned()
    } else {
        format!(
            "`shardlift batch rollback {batch} --accept-loss` shows all that is given up and asks; when {shards} can be \
             brought back, nothing has to be lost"
        )
    });
    Some(Fault::new(FaultKind::Refused, told.join("\n")))
}

/// Why a batch cannot go back without writers of its nodes, whatever is accepted; empty: it can.
fn problem(batch: &BatchId, stands: &[Stand]) -> String {
    let helpless = || stands.iter().filter(|stand| stand.is_gone() && stand.followed.is_err());
    if !stands.iter().any(Stand::is_gone) {
        return format!(
            "every shard that serves a node of batch {batch} answers: nothing has to be lost\nmove it back with all of its \
             changes: `shardlift batch rollback {batch}`"
        );
    }
    if helpless().next().is_none() {
        return String::new();
    }
    let nodes = named(helpless().map(|stand| &stand.node));
    format!(
        "of these nodes neither shard can be had: {nodes}\nbring back one of the two; the others go back one by one: \
         `shardlift node rollback NODE --accept-loss`"
    )
}

impl OperatorService {
    /// Moves a batch back: with their writers, the nodes whose writer answers; without, those whose loss is covered.
    pub(in super::super) async fn roll_back_batch_checked(
        &self,
        name: &str,
        reason: String,
        losses: Losses,
    ) -> Result<v1::BatchView, Fault> {
        let batch: BatchId = convert::name("batch", name)?;
        // One that is on its way back with its writer is judged again only by whom a loss is accepted.
        let wanted = |moving: &Migration| !losses.0.is_empty() || !moving.is_back();
        let stands = self.stands(&batch, wanted).await?;
        if let Some(refusal) = refusal(&batch, &stands, &losses) {
            return Err(refusal);
        }
        let gone: BTreeSet<&NodeId> = stands.iter().filter(|stand| stand.is_gone()).map(|stand| &stand.node).collect();
        self.not_too_far_behind(|world| {
            let members = world.batches.get(&batch).into_iter().flat_map(|batch| batches::members(world, batch));
            members.filter(|node| !gone.contains(&node.node)).collect()
        })?;
        // Whose writer answers loses nothing. Of those that were not judged the state machine knows what is to be done.
        let with_writer: BTreeSet<&NodeId> =
            stands.iter().filter(|stand| !stand.is_gone()).map(|stand| &stand.node).collect();
        let losses = losses.0.into_iter().filter(|(node, _)| !with_writer.contains(node)).collect();
        self.batch(name, |batch| Input::RollBackBatch { batch, reason, losses }).await
    }

    /// What going back without the writers of its nodes that are gone would cost a batch now.
    pub(in super::super) async fn preview_batch_loss_of(&self, name: &str) -> Result<v1::BatchLossPreview, Fault> {
        let batch: BatchId = convert::name("batch", name)?;
        let stands = self.stands(&batch, |_| true).await?;
        let problem = if stands.is_empty() { self.nothing_to_take_over(&batch)? } else { problem(&batch, &stands) };
        let nodes = stands.into_iter().map(|stand| {
            if stand.is_gone() {
                return stand.preview();
            }
            // It goes back with all of its changes, or stays where it is.
            let problem = self.refusal_to_roll_back(&stand.node).unwrap_or_default();
            v1::LossPreview { problem, ..stand.preview() }
        });
        Ok(v1::BatchLossPreview { nodes: nodes.collect(), batch: batch.to_string(), problem })
    }

    /// The nodes of a batch that could be taken over, as their shards say now: each shard is asked once.
    async fn stands(&self, batch: &BatchId, wanted: impl Fn(&Migration) -> bool) -> Result<Vec<Stand>, Fault> {
        let movers: Vec<(NodeId, Migration)> = self.context.shared.world(|world| {
            let members = world.batches.get(batch).into_iter().flat_map(|batch| world.members(batch));
            let judged = members.filter(|(_, moving)| moving.begins_takeover() && wanted(moving));
            judged.map(|(node, moving)| (node.node.clone(), moving.clone())).collect()
        });
        let shards = movers.iter().flat_map(|(_, moving)| [moving.source.clone(), moving.target.clone()]);
        let looks = self.look_at(shards.collect()).await?;
        let stand = |(node, moving): &(NodeId, Migration)| {
            let (asked, status) = (looks.of(&moving.target, node), looks.of(&moving.source, node));
            self.stand_of(node, moving, asked.as_ref().copied(), status.as_ref().copied())
        };
        Ok(movers.iter().map(stand).collect())
    }

    /// In the words of a rollback that would be refused, or was done before.
    fn nothing_to_take_over(&self, batch: &BatchId) -> Result<String, Fault> {
        let input = Input::RollBackBatch { batch: batch.clone(), reason: String::new(), losses: BTreeMap::new() };
        if self.context.shared.world(|world| !world.batches.contains_key(batch)) {
            let text = format!("batch {batch} is not known\n`shardlift batch list` shows all batches");
            return Err(Fault::new(FaultKind::NotFound, text));
        }
        let refused = self.context.shared.world(|world| decide(world, &input, clock::now()).err());
        Ok(refused.map_or_else(
            || {
                format!(
                    "the nodes of batch {batch} are back or on their way\n`shardlift batch status {batch}` shows them"
                )
            },
            |refusal| lines(&refusal),
        ))
    }

    fn refusal_to_roll_back(&self, node: &NodeId) -> Option<String> {
        let input = Input::RollBackNode { node: node.clone(), reason: String::new() };
        self.context.shared.world(|world| decide(world, &input, clock::now()).err()).map(|refusal| refusal.message)
    }
}

#[cfg(test)]
mod tests;
