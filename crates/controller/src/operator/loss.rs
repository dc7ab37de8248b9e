//! Going back without the writer: what that would cost, asked of both shards at that moment, and when it is refused.
//!
//! A writer that answers is never given up: a rollback with it loses nothing. What it had that nobody has heard of cannot be
//! known; what is said here is what was heard.

mod batch;
mod look;

use super::OperatorService;
use super::fleet::{reason, rfc3339, unknown};
use crate::clock;
use crate::observed::{Heard, Look};
use shardlift_api::fault::{Fault, FaultKind};
use shardlift_api::v1::{self, NodeMode, ReplicaPhase};
use shardlift_migration::{Input, Migration, Refusal, Way, decide};
use shardlift_model::{NodeId, ShardId, UnixMillis};

pub(super) use batch::Losses;

/// What is said to who wants both.
pub(super) const REHEARSAL_LOSES_NOTHING: &str = "a rehearsal loses nothing: either rehearse, or accept a loss";

/// Both shards of a node as they are known now.
#[derive(Debug)]
pub(super) struct Stand {
    node: NodeId,
    writer: ShardId,
    follower: ShardId,
    /// Why the writer does not answer; `None`: it does.
    silence: Option<String>,
    /// The writer's last change that the follower has, or why it cannot take the node over.
    followed: Result<u64, String>,
    /// The writer's last change that anybody has heard of.
    heard_seq: u64,
    heard: Option<Look>,
    /// What the follower lacks was stored after this.
    since: Option<UnixMillis>,
    snapshots_kept: u64,
}

impl Stand {
    fn behind(&self) -> u64 {
        self.followed.as_ref().map_or(0, |followed| self.heard_seq.saturating_sub(*followed))
    }

    fn snapshots_lost(&self) -> u64 {
        self.heard.map_or(0, |look| look.snapshots.saturating_sub(self.snapshots_kept))
    }

    fn command(&self, followed: u64) -> String {
        format!("shardlift node rollback {} --accept-loss {followed}", self.node)
    }

    /// Why the node cannot go back without its writer.
    fn problem(&self) -> Option<String> {
        let Self { node, writer, follower, .. } = self;
        if self.silence.is_none() {
            return Some(format!(
                "{writer}, which serves {node}, answers: nothing has to be lost\nmove it back with all of its changes: \
                 `shardlift node rollback {node}`; when {writer} answers but can serve no more, stop its process first"
            ));
        }
        self.followed.as_ref().err().map(|why| format!("{follower}, which is to take {node} over, {why}"))
    }

    /// What stands before a rollback with the writer, which is gone, and what there is instead.
    fn gone(&self) -> String {
        let Self { node, writer, follower, .. } = self;
        let silence = self.silence.as_deref().unwrap_or_default();
        let serves = format!("{writer}, which serves {node}, {silence}");
        let followed = match &self.followed {
            Ok(followed) => *followed,
            Err(why) => {
                return format!(
                    "{serves}; {follower}, which should take it over, {why}\nbring back one of them, then try again"
                );
            }
        };
        format!(
            "{serves}; {follower} has all of its changes up to {followed}, {}; going back without {writer} gives up all \
             that came after {followed}\n`{}` does so; when {writer} can be brought back, nothing has to be lost",
            self.lost(),
            self.command(followed)
        )
    }

    /// What was heard of that goes with the writer, and since when it was stored.
    fn lost(&self) -> String {
        let since = self.since.map_or_else(String::new, |at| format!(", stored since {}", rfc3339(at)));
        let come = |behind: u64| if behind == 1 { "comes" } else { "come" };
        match (self.behind(), self.heard) {
            (0, Some(look)) => format!("and no later one was heard of, last at {}", rfc3339(look.at)),
            (0, None) => "and no later one was heard of since the controller started".to_owned(),
            (behind, _) => format!("{behind} that were heard of {} after it{since}", come(behind)),
        }
    }

    /// Whether what is given up covers what the follower lacks.
    fn covered_by(&self, after_seq: u64) -> Result<(), Fault> {
        match (self.problem(), &self.followed) {
            (Some(problem), _) => Err(Fault::new(FaultKind::Refused, problem)),
            (None, Ok(followed)) if after_seq > *followed => {
                let Self { node, writer, follower, .. } = self;
                let what = format!(
                    "{follower} has the changes of {writer} to {node} up to {followed} only: more than those after \
                     {after_seq} would be lost"
                );
                let advice = format!("to give up all after {followed}: `{}`", self.command(*followed));
                Err(Fault::new(FaultKind::Refused, format!("{what}\n{advice}")))
            }
            _ => Ok(()),
        }
    }

    fn preview(self) -> v1::LossPreview {
        v1::LossPreview {
            writer_answers: self.silence.is_none(),
            followed_seq: self.followed.as_ref().map_or(0, |followed| *followed),
            heard_seq: self.heard_seq,
            heard_at_unix_ms: self.heard.map_or(0, |look| look.at.0),
            snapshots_kept: self.snapshots_kept,
            snapshots_lost: self.snapshots_lost(),
            problem: self.problem().unwrap_or_default(),
            writer: self.writer.to_string(),
            follower: self.follower.to_string(),
            node: self.node.to_string(),
            lost_since_unix_ms: self.since.filter(|_| self.behind() > 0).map_or(0, |at| at.0),
        }
    }
}

/// The writer's last change that a copy has, in the numbers of the stock that it would name.
fn followed(moving: &Migration, status: &v1::NodeStatus) -> Result<u64, String> {
    match (status.mode(), &status.replica, moving.final_state) {
        // Its own last change, at which both were equal; it has not begun to follow.
        (NodeMode::Sealed, _, Some(sealed)) => Ok(sealed.seq),
        (NodeMode::Incoming, Some(replica), _) if replica.phase() == ReplicaPhase::Seeding => {
            Err("has not all that its writer had when it began to follow".to_owned())
        }
        (NodeMode::Incoming, Some(replica), _) => Ok(replica.applied_seq),
        (mode, _, _) => {
            let mode = mode.as_str_name().trim_start_matches("NODE_MODE_").to_lowercase();
            Err(format!("is {mode} and does not follow"))
        }
    }
}

/// The writer's last change that was heard of, by the controller or by the follower itself.
fn heard_seq(moving: &Migration, status: &v1::NodeStatus, followed: u64, heard: Option<Look>) -> u64 {
    let by_us = heard.map_or(0, |look| look.seq);
    if status.mode() == NodeMode::Sealed {
        // It counts its own changes, the writer counts from its promotion on.
        let promoted = moving.promoted.map_or(by_us, |promoted| promoted.seq);
        return followed.saturating_add(by_us.saturating_sub(promoted));
    }
    let by_follower = status.replica.as_ref().map_or(0, |replica| replica.source_seq);
    by_us.max(by_follower).max(followed)
}

/// What is wrong, and on the following line what to do about it.
fn lines(refusal: &Refusal) -> String {
    crate::inputs::refused(refusal).public().to_owned()
}

impl OperatorService {
    /// What going back without the writer would cost now.
    pub(super) async fn preview_loss_of(&self, name: &str) -> Result<v1::LossPreview, Fault> {
        let node = shardlift_api::convert::node(name)?;
        let moving = self.moving(&node)?;
        let problem = match &moving {
            None => Some(format!("no plan has moved {node}: there is nowhere to go back to")),
            Some(moving) if moving.takeover.is_some() => Some(format!(
                "{node} goes back without its writer already\n`shardlift node explain {node}` says how far it is"
            )),
            Some(_) => self.refusal_to_take_over(&node),
        };
        match (moving, problem) {
            (Some(moving), None) => Ok(self.stand(&node, &moving).await.preview()),
            (moving, problem) => Ok(v1::LossPreview {
                writer: moving.as_ref().map_or_else(String::new, |moving| moving.target.to_string()),
                follower: moving.as_ref().map_or_else(String::new, |moving| moving.source.to_string()),
                problem: problem.unwrap_or_default(),
                ..Default::default()
            }),
        }
    }

    /// Goes back without the writer, if it is gone and what the follower lacks was given up. Repeated, it changes nothing.
    pub(super) async fn take_over(
        &self,
        node: &NodeId,
        accepted: v1::AcceptedLoss,
        given: &str,
        asker: &str,
    ) -> Result<(), Fault> {
        let v1::AcceptedLoss { after_seq } = accepted;
        if let Some(moving) = self.moving(node)?.filter(Migration::begins_takeover) {
            self.stand(node, &moving).await.covered_by(after_seq)?;
        }
        let reason = reason("its writer was given up", asker, given);
        self.submit(Input::TakeOver { node: node.clone(), after_seq, reason }).await
    }

    /// Refuses a rollback that would only be undone, because a writer is gone.
    pub(super) async fn writer_answers(&self, node: &NodeId) -> Result<(), Fault> {
        let soaks = |moving: &Migration| !moving.is_back() && moving.begins_takeover();
        let Some(moving) = self.moving(node)?.filter(soaks) else { return Ok(()) };
        let stand = self.stand(node, &moving).await;
        if stand.silence.is_none() { Ok(()) } else { Err(Fault::new(FaultKind::Refused, stand.gone())) }
    }

    fn moving(&self, node: &NodeId) -> Result<Option<Migration>, Fault> {
        let found = self.context.shared.world(|world| world.nodes.get(node).map(|node| node.migration.clone()));
        found.ok_or_else(|| unknown(node))
    }

    fn refusal_to_take_over(&self, node: &NodeId) -> Option<String> {
        let input = Input::TakeOver { node: node.clone(), after_seq: 0, reason: String::new() };
        self.context.shared.world(|world| decide(world, &input, clock::now()).err()).map(|refusal| lines(&refusal))
    }

    async fn stand(&self, node: &NodeId, moving: &Migration) -> Stand {
        let (writer, follower) = (&moving.target, &moving.source);
        let (asked, status) = tokio::join!(self.ask_writer(writer, node), self.context.node_at(follower, node));
        let status = status.map_err(|status| format!("does not answer: {}", status.message()));
        self.stand_of(node, moving, asked.as_ref(), status.as_ref())
    }

    /// From what both shards said, or why they said nothing.
    fn stand_of(
        &self,
        node: &NodeId,
        moving: &Migration,
        asked: Result<&v1::NodeStatus, &String>,
        status: Result<&v1::NodeStatus, &String>,
    ) -> Stand {
        let (writer, follower) = (moving.target.clone(), moving.source.clone());
        if let Ok(status) = asked {
            self.context.shared.observe_in(|world, observed| {
                if let Some(known) = world.nodes.get(node) {
                    observed.hear(known, &writer, status);
                }
            });
        }
        let heard = self.context.shared.observed(|observed| observed.heard.get(node).cloned());
        let heard = heard.filter(|heard| *heard.writer() == writer);
        let last = heard.as_ref().and_then(Heard::last);
        let unknown = v1::NodeStatus::default();
        let (followed, status) = match status {
            Ok(status) => (followed(moving, status), status),
            Err(why) => (Err(why.clone()), &unknown),
        };
        let have = followed.as_ref().map_or(0, |followed| *followed);
        let in_its_own = status.mode() == NodeMode::Sealed;
        Stand {
            node: node.clone(),
            silence: asked.err().cloned(),
            heard_seq: heard_seq(moving, status, have, last),
            since: heard.filter(|_| !in_its_own).and_then(|heard| heard.since(have)),
            heard: last,
            snapshots_kept: status.snapshots,
            writer,
            follower,
            followed,
        }
    }

    /// Refuses to write off a shard that answers: it will do what it is waited for. One whose node is held may be written off, and
    /// one that was given up is given up.
    pub(super) async fn former_writer_is_silent(&self, node: &NodeId) -> Result<(), Fault> {
        let waited_for = |moving: &Migration| {
            moving.way() == Way::Back && moving.written_off_leads_to().is_some() && moving.held.is_none()
        };
        let Some(moving) = self.moving(node)?.filter(waited_for) else { return Ok(()) };
        let former = &moving.target;
        match self.ask_writer(former, node).await {
            Err(_silent) => Ok(()),
            Ok(_) => Err(Fault::new(
                FaultKind::Refused,
                format!(
                    "{former}, which {node} went back from, answers: it need not be written off\n`shardlift node explain {node}` \
                     says what it is waited for"
                ),
            )),
        }
    }
}

#[cfg(test)]
mod tests;
