//! The replica jobs of a shard: one for each incoming node, listed, started, steered and ended here.
//!
//! What must survive a restart is in the engine's record of the incoming copy; a job itself is only memory.

use super::channels::Channels;
use super::copy::Copy;
use super::job::{Completion, Shared, Wish};
use super::memory::Memory;
use super::progress::Progress;
use super::replica::Replica;
use super::source::Source;
use super::verify::Verification;
use crate::auth::htpasswd::Passwords;
use crate::control::fault::of_engine;
use crate::control::message;
use crate::engine::{Engine, FinalState, Mode, NodeSnapshot, ReplicaPhase};
use shardlift_api::fault::{Fault, FaultKind};
use shardlift_api::v1;
use shardlift_model::{NodeId, Token};
use shardlift_pki::tls::Credentials;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::OwnedMutexGuard;
use tokio::task::JoinHandle;

/// How long a completion may keep its caller; the job goes on, and the same command asks again.
const COMPLETION_WAIT: Duration = Duration::from_secs(120);

/// Nodes looked at at a time when jobs are resumed.
const RESUME_PAGE: usize = 500;

/// All jobs of a shard.
pub struct ReplicaJobs {
    engine: Arc<Engine>,
    passwords: Arc<Passwords>,
    channels: Channels,
    memory: Arc<Memory>,
    running: Mutex<BTreeMap<NodeId, Running>>,
    /// One for each node that was ever steered; so many nodes, so many bytes.
    steering: Mutex<BTreeMap<NodeId, Arc<tokio::sync::Mutex<()>>>>,
}

struct Running {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl std::fmt::Debug for ReplicaJobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReplicaJobs").field("nodes", &self.lock().keys()).finish_non_exhaustive()
    }
}

impl ReplicaJobs {
    /// No jobs yet: see [`Self::resume`]. `credentials` are the own ones, shown to sources.
    #[must_use]
    pub fn new(engine: &Arc<Engine>, passwords: &Arc<Passwords>, credentials: &Arc<Credentials>) -> Arc<Self> {
        Arc::new(Self {
            engine: Arc::clone(engine),
            passwords: Arc::clone(passwords),
            channels: Channels::new(credentials),
            memory: Memory::new(),
            running: Mutex::default(),
            steering: Mutex::default(),
        })
    }

    /// Starts the job of every incoming node and ends the removal of every discarded copy. Call once, at start.
    ///
    /// # Errors
    /// When what is left of a discarded copy cannot be removed.
    pub async fn resume(&self) -> Result<(), Fault> {
        let mut after: Option<NodeId> = None;
        loop {
            let page = self.engine.nodes_after(after.as_ref(), RESUME_PAGE);
            for snapshot in &page {
                match snapshot.mode {
                    Mode::Incoming { .. } => self.start(snapshot),
                    Mode::Discarded => {
                        // Its own last command again: what is gone already counts as done.
                        let again = self.engine.discard(&snapshot.node, snapshot.token).await;
                        again.map_err(of_engine)?;
                    }
                    _ => {}
                }
            }
            match page.last() {
                Some(last) if page.len() == RESUME_PAGE => after = Some(last.node.clone()),
                _ => return Ok(()),
            }
        }
    }

    /// Starts the job of an incoming node unless it runs already.
    pub(crate) fn start(&self, snapshot: &NodeSnapshot) {
        let Mode::Incoming { source, source_peer_address, accept_damaged } = &snapshot.mode else { return };
        let mut running = self.lock();
        if running.get(&snapshot.node).is_some_and(|job| !job.task.is_finished()) {
            return;
        }
        let record = snapshot.replica.clone().unwrap_or_default();
        let shared = Shared::new(Progress::resumed(source.as_str(), &record));
        // A wish is only memory: a copy that was asked to prove itself and has not come to it does so now.
        if record.verify_asked && record.phase != ReplicaPhase::Complete {
            let token = record.verify_token.unwrap_or(snapshot.token);
            shared.wish.send_replace(Wish { verify: Some(token), complete: None });
        }
        let seats = self.channels.seats(source, source_peer_address);
        let replica = Replica {
            shared: Arc::clone(&shared),
            source: Source::new(seats, snapshot.node.clone()),
            copy: Copy::new(Arc::clone(&self.engine), Arc::clone(&self.passwords), snapshot.node.clone()),
            memory: Arc::clone(&self.memory),
            accept_damaged: *accept_damaged,
            resumed: record.resumed,
            absent: BTreeSet::new(),
            damaged: BTreeSet::new(),
            seeded: false,
            verification: Verification::default(),
        };
        tracing::info!(node = %snapshot.node, %source, "the copy of a node is pulled");
        let task = self.engine.background().spawn(replica.run());
        running.insert(snapshot.node.clone(), Running { shared, task });
    }

    /// Commands that start or end the job of one node come one after the other.
    pub(crate) async fn steer(&self, node: &NodeId) -> OwnedMutexGuard<()> {
        let lane = {
            let mut lanes = self.steering.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(lanes.entry(node.clone()).or_default())
        };
        lane.lock_owned().await
    }

    /// Ends a job and waits until it writes nothing more. No job is fine.
    pub(crate) async fn stop(&self, node: &NodeId) {
        let job = self.lock().remove(node);
        if let Some(job) = job {
            end(node, job).await;
        }
    }

    /// Ends all jobs; the nodes stay incoming.
    pub async fn close(&self) {
        let jobs = std::mem::take(&mut *self.lock());
        for job in jobs.values() {
            job.shared.end.cancel();
        }
        for (node, job) in jobs {
            end(&node, job).await;
        }
    }

    /// How many password lines the account of a node has here.
    pub(crate) async fn credential_lines(&self, node: &NodeId) -> Result<u64, Fault> {
        let (passwords, account) = (Arc::clone(&self.passwords), node.account().to_owned());
        let counted = shardlift_net::spawn_blocking(move || passwords.lines_of(&account).len() as u64).await;
        counted.map_err(Fault::internal)
    }

    /// What an operator sees of a job.
    #[must_use]
    pub fn status(&self, node: &NodeId) -> Option<v1::Replica> {
        self.lock().get(node).map(|job| job.shared.progress.snapshot())
    }

    /// Has the copy prove itself, as its record says already. The comparison is named by the token of the first command for it.
    pub(crate) fn verify(&self, node: &NodeId, token: Token) -> Result<(), Fault> {
        let shared = self.shared(node)?;
        let proof = self.engine.node(node).and_then(|snapshot| snapshot.replica).and_then(|replica| replica.verified);
        shared.progress.update(|replica| replica.verified = proof.as_ref().map(message::verified));
        shared.wish.send_if_modified(|wish| {
            let new = wish.verify != Some(token);
            *wish = Wish { verify: Some(token), complete: None };
            new
        });
        Ok(())
    }

    /// Goes to the final state; the answer is the own one. A repetition gets the same answer.
    pub(crate) async fn complete(
        &self,
        node: &NodeId,
        token: Token,
        expected: FinalState,
    ) -> Result<FinalState, Fault> {
        let shared = self.shared(node)?;
        let mut completion = shared.completion.subscribe();
        shared.wish.send_if_modified(|wish| {
            let new = wish.complete != Some((token, expected));
            wish.complete = Some((token, expected));
            new
        });
        let answered = completion.wait_for(|answer| answer.as_ref().is_some_and(|answer| answer.token == token));
        let answer = tokio::select! {
            biased;
            () = shared.end.cancelled() => None,
            answer = tokio::time::timeout(COMPLETION_WAIT, answered) => match answer {
                Ok(Ok(answer)) => answer.clone(),
                Ok(Err(_)) | Err(_) => None,
            },
        };
        match answer {
            Some(Completion { outcome: Ok(state), .. }) => Ok(state),
            Some(Completion { outcome: Err(reason), .. }) => Err(Fault::new(FaultKind::Refused, reason)),
            None => {
                let waiting_for = shared.progress.snapshot().waiting_for;
                Err(Fault::new(FaultKind::Unavailable, format!("the copy is not complete yet: {waiting_for}")))
            }
        }
    }

    fn shared(&self, node: &NodeId) -> Result<Arc<Shared>, Fault> {
        let absent = || Fault::new(FaultKind::Refused, "no copy of this node is being pulled here");
        self.lock().get(node).map(|job| Arc::clone(&job.shared)).ok_or_else(absent)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<NodeId, Running>> {
        // Entries are put in and taken out whole.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn end(node: &NodeId, job: Running) {
    job.shared.end.cancel();
    if let Err(error) = job.task.await {
        tracing::error!(%node, %error, "the job of a copy ended badly");
    }
}

impl Drop for ReplicaJobs {
    fn drop(&mut self) {
        for job in self.lock().values() {
            job.shared.end.cancel();
        }
    }
}
