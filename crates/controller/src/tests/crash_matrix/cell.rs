//! One cell: a cluster, a path, one mishap at one step of it, and all that must be true in the end.

use super::commit_store::{CommitStore, commit_of};
use super::inventory::{self, Certified};
use super::path::{Operator, Path, apply_plan};
use super::steps::{RENEWAL, Replayed, replay};
use super::{BYSTANDER, NODE, node};
use crate::runtime::RuntimeError;
use crate::tests::bench::{Bench, CLUSTER, Ca, Running};
use crate::tests::yard::{Mishap, Mutant, Spot, Taken};
use shardlift_api::v1;
use shardlift_api::v1::operator_server::Operator as _;
use shardlift_migration::{CertificateState, Stage, effects};
use shardlift_model::{ShardId, Term};
use shardlift_store::{MemoryStore, Seq, Store as _, StoreError};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tonic::Request;

/// How long a path may take.
const PATH_MAX: Duration = Duration::from_secs(60);

/// How long the parts may take to come to rest at its end.
const REST_MAX: Duration = Duration::from_secs(20);

/// Between looks.
const LOOK: Duration = Duration::from_millis(3);

/// Changes of clients between the verdict and what follows it.
const WRITES: u64 = 5;

/// Which steps each shard has taken, whatever the term.
pub(super) type TakenSteps = BTreeMap<(&'static str, ShardId), BTreeSet<Taken>>;

#[derive(Debug, Clone)]
pub(super) struct Cell {
    pub(super) path: Path,
    /// `None`: nothing goes wrong.
    pub(super) mishap: Option<(Spot, Mishap)>,
    pub(super) mutant: Option<Mutant>,
    /// The steps of the path on which nothing goes wrong: no others may be taken.
    pub(super) taken: TakenSteps,
}

/// What a path came to.
pub(super) struct Walked {
    pub(super) steps: Vec<Spot>,
    pub(super) taken: TakenSteps,
}

impl Cell {
    pub(super) const fn calm(path: Path) -> Self {
        Self { path, mishap: None, mutant: None, taken: BTreeMap::new() }
    }

    fn is(&self, mishap: Mishap) -> bool {
        self.mishap.as_ref().is_some_and(|(_, planned)| *planned == mishap)
    }

    /// Late commands meet the very content that they were made for: no digest keeps them out.
    fn writes(&self) -> u64 {
        let writes = if self.is(Mishap::Late) { 0 } else { WRITES };
        if matches!(self.path, Path::Forward | Path::Abort) { 0 } else { writes }
    }

    /// How many controllers lead until the end.
    fn lives(&self) -> u64 {
        let dies = match &self.mishap {
            Some((_, mishap)) if mishap.is_crash() => true,
            // An append whose outcome is unknown ends the loop.
            Some((Spot::Commit(_), Mishap::AnswerLost)) => true,
            _ => false,
        };
        1 + u64::from(dies)
    }

    pub(super) async fn run(self, ca: Arc<Ca>) -> Result<Walked, String> {
        let bench = Bench::on(ca, &[NODE, BYSTANDER]).await;
        let store = MemoryStore::new(CLUSTER.parse().unwrap());
        let ledger = Arc::new(CommitStore::new(store.clone(), bench.yard.clone(), node()));
        let running = bench.lead(ledger.clone()).await;
        let mut walk = Walk { cell: &self, bench: &bench, store, ledger, running: Some(running), lives: 1 };
        let walked = walk.walk().await;
        if let Some(running) = walk.running.take() {
            // It is of no more use; how it ended was looked at, or the walk has failed.
            let _ended = running.die().await;
        }
        bench.end().await;
        walked
    }
}

struct Walk<'t> {
    cell: &'t Cell,
    bench: &'t Bench,
    store: MemoryStore,
    ledger: Arc<CommitStore>,
    running: Option<Running>,
    lives: u64,
}

impl Walk<'_> {
    fn running(&self) -> Result<&Running, String> {
        self.running.as_ref().ok_or_else(|| "nobody leads".to_owned())
    }

    async fn walk(&mut self) -> Result<Walked, String> {
        let before = self.prepare().await?;
        let armed = self.store.last().unwrap();
        self.arm();
        self.go().await?;
        self.check_mishap()?;
        let taken = self.check_taken()?;
        let replayed = self.rest(&before, armed).await?;
        let term = self.store.term().unwrap();
        if (term, replayed.world.term, self.lives) != (Term(self.lives), Term(self.lives), self.cell.lives()) {
            return Err(format!("{} lives, term {term}, recorded {}", self.lives, replayed.world.term));
        }
        self.diagnose().await?;
        match self.running.take().ok_or("nobody leads")?.end().await {
            Ok(()) => Ok(Walked { steps: replayed.steps, taken }),
            Err(error) => Err(format!("the controller ended badly: {error}")),
        }
    }

    /// Up to a plan and a certificate in use; nothing has moved.
    async fn prepare(&self) -> Result<Certified, String> {
        let running = self.running()?;
        let said = |status: tonic::Status| status.message().to_owned();
        running.add_parts(self.bench, 2).await.map_err(said)?;
        apply_plan(running, 1).await.map_err(said)?;
        running.enrol(self.bench, NODE).await.map_err(said)?;
        let in_use =
            || running.world(|world| matches!(world.nodes[&node()].certificate, CertificateState::InUse { .. }));
        let until = Instant::now() + REST_MAX;
        while !in_use() {
            if Instant::now() > until {
                return Err("the certificate was never seen in use".to_owned());
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(running.world(Certified::of))
    }

    fn arm(&self) {
        self.bench.yard.with(|copies| {
            let mishaps = &mut copies.mishaps;
            mishaps.node = Some(node());
            mishaps.plan.clone_from(&self.cell.mishap);
            mishaps.mutant = self.cell.mutant;
            // A renewal comes at once, but what it waits for may be faster.
            if let Some((Spot::Command(RENEWAL, giver, _), _)) = &self.cell.mishap {
                mishaps.held_until_fired = Some(("complete_replica", giver.clone()));
            }
            mishaps.held = (self.cell.path == Path::Abort).then_some("seal");
        });
    }

    /// Leads the node along its path, and a new controller whenever one died.
    async fn go(&mut self) -> Result<(), String> {
        let store = self.store.clone();
        let (path, writes) = (self.cell.path, self.cell.writes());
        let mut operator = Operator { path, writes, store: &store, asked: false, wrote: false };
        let until = Instant::now() + PATH_MAX;
        let mut last = String::new();
        loop {
            self.check_sound()?;
            self.follow_the_leader().await?;
            let running = self.running()?;
            match operator.turn(self.bench, running).await {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(status) => last = status.message().to_owned(),
            }
            let stands = running.world(|world| {
                let moving = world.nodes[&node()].migration.as_ref().unwrap();
                (moving.stage, moving.held.clone())
            });
            if Instant::now() > until || stands.1.is_some() {
                return Err(format!("it stands at {stands:?}; the operator was told {last:?}"));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn check_sound(&self) -> Result<(), String> {
        let violations = self.bench.yard.with(|copies| copies.violations.clone());
        if violations.is_empty() { Ok(()) } else { Err(violations.join("; ")) }
    }

    async fn follow_the_leader(&mut self) -> Result<(), String> {
        let down = self.bench.yard.with(|copies| copies.mishaps.down);
        if !down && !self.running()?.has_ended() {
            return Ok(());
        }
        let ended = self.running.take().ok_or("nobody leads")?.die().await;
        let lost_an_append = matches!(ended, Some(Err(RuntimeError::Store(StoreError::Unknown { .. }))));
        if !down && !lost_an_append {
            return Err(format!("the controller ended by itself: {ended:?}"));
        }
        if down {
            self.check_unrecorded()?;
        }
        self.bench.yard.with(|copies| copies.mishaps.down = false);
        self.lives += 1;
        self.running = Some(self.bench.lead(self.ledger.clone()).await);
        Ok(())
    }

    /// The controller died between the effect and its record: what it did is still to be done.
    fn check_unrecorded(&self) -> Result<(), String> {
        let Some((spot, mishap)) = &self.cell.mishap else { return Err("a crash that nobody planned".to_owned()) };
        let replayed = replay(&self.store, Seq::ZERO)?;
        let stage = replayed.world.migration(&node()).map(|(_, moving)| moving.stage);
        let open = match spot {
            Spot::Command(..) => {
                let hit = self.bench.yard.with(|copies| copies.mishaps.hit);
                effects(&replayed.world).iter().any(|effect| effect.token() == hit && hit.is_some())
            }
            Spot::Commit(generation) => {
                let recorded = replayed.has(|event| commit_of(event, &node()) == Some(*generation));
                recorded == (*mishap == Mishap::CrashAfter)
            }
            Spot::Routes(_) => matches!(stage, Some(Stage::Retiring | Stage::Routing | Stage::Redirecting)),
            Spot::Probe(_) => stage == Some(Stage::Probing),
        };
        if open { Ok(()) } else { Err(format!("it was recorded before the crash: {stage:?}")) }
    }

    /// The mishap has happened where it was to; what is late comes once more, after all.
    fn check_mishap(&self) -> Result<(), String> {
        if let Some((spot, _)) = &self.cell.mishap
            && !self.bench.yard.with(|copies| copies.mishaps.fired)
        {
            return Err(format!("the mishap did not happen: {spot:?} never came"));
        }
        self.ledger.arrive_late();
        let late = self.bench.yard.with(|copies| {
            copies.arrive_late();
            copies.mishaps.late_routes.clone()
        });
        if let Some(late) = late {
            let violation = self.bench.table.lock().unwrap().arrive_late(&late);
            self.bench.yard.with(|copies| copies.violations.extend(violation));
        }
        let times = self.bench.yard.with(|copies| copies.mishaps.arrived_late);
        if self.cell.is(Mishap::Late) && times == 0 { Err("nothing came late".to_owned()) } else { Ok(()) }
    }

    /// Followers and routers come to what is recorded, and stay there.
    async fn rest(&self, before: &Certified, armed: Seq) -> Result<Replayed, String> {
        let until = Instant::now() + REST_MAX;
        let running = self.running()?;
        loop {
            self.check_sound()?;
            let replayed = replay(&self.store, armed)?;
            let end = (self.cell.path, self.cell.writes());
            match inventory::check((self.bench, running), end, before, &replayed) {
                Ok(()) => return Ok(replayed),
                Err(differs) if Instant::now() > until => return Err(differs),
                Err(_not_yet) => tokio::time::sleep(LOOK).await,
            }
        }
    }

    /// No step was taken that the calm path does not take: nothing was undone or begun anew.
    fn check_taken(&self) -> Result<TakenSteps, String> {
        let mut taken = self.bench.yard.with(|copies| copies.mishaps.taken.clone());
        taken.retain(|(word, _), _| *word != RENEWAL);
        if self.cell.mishap.is_some() && taken != self.cell.taken {
            return Err(format!("other steps were taken: {taken:?}, calm were {:?}", self.cell.taken));
        }
        Ok(taken)
    }

    async fn diagnose(&self) -> Result<(), String> {
        let asked = self.running()?.operator.diagnose(Request::new(v1::DiagnoseRequest::default())).await;
        let answer = asked.map_err(|status| status.message().to_owned())?.into_inner();
        if (answer.nodes_checked, &answer.findings[..], &answer.unchecked[..]) == (2, &[], &[]) {
            return Ok(());
        }
        Err(format!("the doctor found {answer:?}"))
    }
}
