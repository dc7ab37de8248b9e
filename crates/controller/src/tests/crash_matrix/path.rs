//! The ways that a node can go, and an operator who leads it there: looks at the world, asks for what comes next, and repeats
//! what was not acknowledged.

use super::steps::replay;
use super::{BATCHES, TARGET, node};
use crate::tests::bench::{Bench, Running};
use shardlift_api::v1::operator_server::Operator as _;
use shardlift_api::{fault::Fault, v1};
use shardlift_migration::{BatchPhase, Direction, Event, Input, Stage, Verdict, When};
use shardlift_model::ShardId;
use shardlift_planner::{Plan, PlanBatch, SoakPolicy};
use shardlift_store::{MemoryStore, Seq};
use std::collections::BTreeSet;
use tonic::{Request, Status};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Path {
    /// From source to target, up to a good verdict.
    Forward,
    /// On from there, back to the source.
    Back,
    /// On from a good verdict: the way back up to the seal, undone.
    Rehearsal,
    /// Taken out of its batch while clients are parked.
    Abort,
    /// On from a good verdict: released, restored, soaking once more.
    Release,
    /// On from the way back: moved again and taken out of its batch, with an old copy at the target.
    AbortAgain,
    /// On from a good verdict: the target is gone, and its source takes over without it; then the target returns.
    Takeover,
}

impl Path {
    pub(super) const ALL: [Self; 7] =
        [Self::Forward, Self::Back, Self::Rehearsal, Self::Abort, Self::Release, Self::AbortAgain, Self::Takeover];

    /// The path whose steps it begins with: what goes wrong there is seen on that path already, unless it comes late.
    pub(super) const fn goes_on_from(self) -> Option<Self> {
        match self {
            Self::Forward => None,
            Self::Back | Self::Rehearsal | Self::Abort | Self::Release | Self::Takeover => Some(Self::Forward),
            Self::AbortAgain => Some(Self::Back),
        }
    }
}

/// What an operator sees of the node.
struct Moment {
    stage: Stage,
    batch: String,
    phase: BatchPhase,
    /// The target serves and the verdict is good.
    rests: bool,
    rehearsed: bool,
    /// An operator has set something for it.
    is_set: bool,
    plans: u64,
}

pub(super) struct Operator<'t> {
    pub(super) path: Path,
    /// Changes that clients make before the node goes on from a good verdict.
    pub(super) writes: u64,
    pub(super) store: &'t MemoryStore,
    pub(super) asked: bool,
    pub(super) wrote: bool,
}

impl Operator<'_> {
    /// True when the node has come to the end of its path.
    pub(super) async fn turn(&mut self, bench: &Bench, running: &Running) -> Result<bool, Status> {
        let moment = moment(running);
        if moment.phase == BatchPhase::Planned {
            let request = v1::BatchRequest { batch: moment.batch };
            running.operator.start_batch(Request::new(request)).await?;
            return Ok(false);
        }
        if moment.rests && self.path != Path::Forward && !self.wrote {
            self.wrote = true;
            bench.yard.with(|copies| copies.write(&node(), self.writes));
        }
        match self.path {
            Path::Forward => Ok(moment.rests),
            Path::Back => self.back(running, &moment).await,
            Path::Rehearsal if moment.rests && moment.rehearsed => Ok(true),
            Path::Rehearsal => self.ask_back(running, &moment, true).await,
            Path::Abort => abort(bench, running, &moment).await,
            Path::Release => self.release(running, &moment).await,
            Path::AbortAgain => self.abort_again(bench, running, &moment).await,
            Path::Takeover => self.take_over(bench, running, &moment).await,
        }
    }

    async fn ask_back(&mut self, running: &Running, moment: &Moment, rehearse: bool) -> Result<bool, Status> {
        if moment.rests && !self.asked {
            let request = v1::RollBackNodeRequest {
                node: node().to_string(),
                reason: String::new(),
                rehearse,
                accepted_loss: None,
            };
            running.operator.roll_back_node(Request::new(request)).await?;
            self.asked = true;
        }
        Ok(false)
    }

    async fn back(&mut self, running: &Running, moment: &Moment) -> Result<bool, Status> {
        if moment.stage == Stage::RolledBack {
            return Ok(moment.phase == BatchPhase::RolledBack);
        }
        self.ask_back(running, moment, false).await
    }

    /// What clients stored last is at the target alone when it goes.
    async fn take_over(&mut self, bench: &Bench, running: &Running, moment: &Moment) -> Result<bool, Status> {
        let target: ShardId = TARGET.parse().unwrap();
        if moment.stage == Stage::RolledBack {
            return Ok(moment.phase == BatchPhase::RolledBack);
        }
        if moment.stage == Stage::Deposing {
            bench.yard.with(|copies| copies.gone.remove(&target));
        }
        if !moment.rests || self.asked {
            return Ok(false);
        }
        if !moment.is_set {
            // The old copy does not hear of it.
            let request =
                v1::ChangeSettingsRequest { node: node().to_string(), append_only: Some(true), ..Default::default() };
            return running.operator.change_settings(Request::new(request)).await.map(|_set| false);
        }
        let followed = bench.yard.with(|copies| {
            let seq = |shard: &str| copies.all[&(shard.parse().unwrap(), node())].seq;
            let followed = seq("source");
            if !copies.gone.contains(&target) && followed == seq(TARGET) {
                copies.gone.insert(target.clone());
                copies.write(&node(), lost(self.writes));
                copies.accept_loss(&node(), followed);
            }
            copies.gone.contains(&target).then_some(followed)
        });
        let Some(after_seq) = followed else { return Ok(false) };
        let accepted_loss = Some(v1::AcceptedLoss { after_seq });
        let request = v1::RollBackNodeRequest { node: node().to_string(), accepted_loss, ..Default::default() };
        running.operator.roll_back_node(Request::new(request)).await?;
        self.asked = true;
        Ok(false)
    }

    async fn release(&self, running: &Running, moment: &Moment) -> Result<bool, Status> {
        if moment.stage == Stage::Released && moment.phase == BatchPhase::Released {
            let request = v1::RestoreNodeRequest { node: node().to_string() };
            running.operator.restore_node(Request::new(request)).await?;
        } else if moment.rests {
            let replayed = replay(self.store, Seq::ZERO).map_err(Status::internal)?;
            if replayed.has(|event| matches!(event, Event::RestoreStarted { .. })) {
                return Ok(true);
            }
            let request = v1::ReleaseBatchRequest { batch: moment.batch.clone(), force: false };
            running.operator.release_batch(Request::new(request)).await?;
        }
        Ok(false)
    }

    async fn abort_again(&mut self, bench: &Bench, running: &Running, moment: &Moment) -> Result<bool, Status> {
        if moment.plans > 1 {
            return abort(bench, running, moment).await;
        }
        if self.back(running, moment).await? {
            bench.yard.with(|copies| copies.mishaps.held = Some("seal"));
            apply_plan(running, 2).await?;
        }
        Ok(false)
    }
}

/// How many changes are lost with the target, of a path on which clients write.
pub(super) const fn lost(writes: u64) -> u64 {
    if writes == 0 { 0 } else { 2 }
}

fn moment(running: &Running) -> Moment {
    running.world(|world| {
        let (known, moving) = world.migration(&node()).unwrap();
        let batch = &world.batches[&moving.batch];
        let good = batch.phase == BatchPhase::Soaking && batch.verdict == Some(Verdict::Good);
        Moment {
            stage: moving.stage,
            batch: batch.batch.to_string(),
            phase: batch.phase,
            rests: good && moving.stage == Stage::Soaking && moving.direction == Direction::Forward,
            rehearsed: moving.rehearsed.is_some(),
            is_set: known.settings.is_some(),
            plans: world.plan_revision(),
        }
    })
}

/// The giver never answers to the seal, be it sealed or not; once it was told, the operator gives up.
async fn abort(bench: &Bench, running: &Running, moment: &Moment) -> Result<bool, Status> {
    if moment.stage == Stage::Aborted {
        return Ok(moment.phase == BatchPhase::Aborted);
    }
    let told = bench.yard.with(|copies| {
        let seals = copies.mishaps.taken.get(&("seal", "source".parse().unwrap()));
        seals.is_some_and(|seals| seals.len() as u64 == moment.plans) && !copies.mishaps.down
    });
    if moment.stage == Stage::Sealing && told {
        let request = v1::AbortNodeRequest { node: node().to_string(), reason: String::new() };
        running.operator.abort_node(Request::new(request)).await?;
    }
    Ok(false)
}

/// A plan that moves the node alone, with a soak that wants the copies compared.
pub(super) async fn apply_plan(running: &Running, revision: u64) -> Result<(), Status> {
    let at = usize::try_from(revision).unwrap() - 1;
    let batch = PlanBatch {
        name: BATCHES[at].parse().unwrap(),
        after: BTreeSet::new(),
        nodes: [(node(), TARGET.parse().unwrap())].into(),
        when: When::Idle,
        windows: vec![],
        force_after_ms: None,
        soak: SoakPolicy { verify: true, ..SoakPolicy::default() },
    };
    let plan = Plan::new(revision, revision - 1, "source".parse().unwrap(), BTreeSet::new(), vec![batch]).unwrap();
    let input = Input::ApplyPlan { plan, text: String::new(), reviewed_revision: revision };
    running.context.inputs.submit(input).await.map_err(|unheard| Fault::from(unheard).into())
}
