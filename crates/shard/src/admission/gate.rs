//! The gate of one node. Knows clients and leases; knows no disk and no token but the fence's.
//!
//! A lease is judged by the monotonic clock. The one who opens a gate whose lease ran out is a task that watches it; being late
//! only keeps the node closed a little longer.

mod permit;

pub use permit::{Onward, Permit};

use super::{Access, Unavailable};
use crate::engine::nodes::{NodeCell, lock};
use crate::engine::{EngineError, FinalState, Forward, Mode, NodeRecord};
use crate::witness;
use permit::Parked;
use shardlift_model::Token;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A fence and its lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fence {
    /// Of the command that made it or took it over.
    pub(crate) token: Token,
    pub(crate) deadline: Instant,
    /// Set once nobody writes any more.
    pub(crate) last: Option<FinalState>,
    /// Tells it from earlier ones.
    number: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    Open,
    Fenced(Fence),
    /// The seal is on its way to disk. The lease no longer opens the gate.
    Sealing,
    Sealed,
    /// Another shard is the writer and takes what comes here.
    Forwarding(Arc<Forward>),
    Closed(Unavailable),
}

#[derive(Debug)]
struct State {
    phase: Phase,
    reading: u64,
    mutating: u64,
    parked: u64,
    forwarding: u64,
    fences: u64,
    /// Of the mutations that are in now.
    cancel: CancellationToken,
    /// Of the requests that are forwarded now.
    cancel_forwarding: CancellationToken,
}

/// Lets requests in, counts them, parks them.
#[derive(Debug)]
pub(crate) struct Gate {
    state: Mutex<State>,
    changed: watch::Sender<u64>,
}

pub(crate) enum Entering {
    Admitted(Permit),
    Forwarded(Onward),
    Refused(Unavailable),
}

enum Answer {
    In(CancellationToken),
    Onward(Arc<Forward>, CancellationToken),
    Wait,
    Out(Unavailable),
}

/// Lets a request in, or parks it, among `parked_max` at most, until the gate opens or `deadline`.
pub(crate) async fn enter(cell: &Arc<NodeCell>, access: Access, deadline: Instant, parked_max: usize) -> Entering {
    let gate = &cell.gate;
    let mut changed = gate.changed.subscribe();
    let mut parked = None;
    loop {
        // Marked before the look: a change after it wakes this up.
        changed.mark_unchanged();
        match gate.ask(access) {
            Answer::In(cancelled) => return Entering::Admitted(Permit::new(Arc::clone(cell), access, cancelled)),
            Answer::Onward(forward, cancelled) => {
                return Entering::Forwarded(Onward::new(Arc::clone(cell), forward, cancelled));
            }
            Answer::Out(why) => return Entering::Refused(why),
            Answer::Wait => {}
        }
        if parked.is_none() {
            match gate.park(parked_max) {
                Some(place) => {
                    if matches!(access, Access::Mutate) {
                        tracing::trace!(target: witness::PARKED, node = %cell.id, "a mutation is parked");
                    }
                    parked = Some(place);
                }
                None => return Entering::Refused(Unavailable::TooManyParked),
            }
        }
        tokio::select! {
            biased;
            () = tokio::time::sleep_until(deadline) => return Entering::Refused(Unavailable::ParkedTooLong),
            // The sender lives in the cell that is held here.
            _ = changed.changed() => {}
        }
    }
}

impl Gate {
    pub(crate) fn new(record: &NodeRecord) -> Self {
        let (cancel, cancel_forwarding) = Default::default();
        let phase = phase_of(record);
        let state =
            State { phase, reading: 0, mutating: 0, parked: 0, forwarding: 0, fences: 0, cancel, cancel_forwarding };
        Self { state: Mutex::new(state), changed: watch::Sender::new(0) }
    }

    fn signal(&self) {
        self.changed.send_modify(|version| *version = version.wrapping_add(1));
    }

    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Takes over the durable mode. It is looked up inside, so that of two who follow the later one sees the newer mode. A live
    /// fence, which is part of serving, stays.
    pub(crate) fn follow(&self, current: impl FnOnce() -> Arc<NodeRecord>) {
        let mut state = lock(&self.state);
        let record = current();
        if !matches!((&state.phase, &record.mode), (Phase::Fenced(_), Mode::Serving)) {
            state.phase = phase_of(&record);
        }
        drop(state);
        self.signal();
    }

    pub(crate) fn is_fenced(&self) -> bool {
        matches!(lock(&self.state).phase, Phase::Fenced(_) | Phase::Sealing)
    }

    /// True while clients are sent away.
    pub(crate) fn is_closed(&self) -> bool {
        matches!(lock(&self.state).phase, Phase::Closed(_))
    }

    /// Counts somebody who waits; `None` when all places are taken.
    pub(crate) fn park(&self, parked_max: usize) -> Option<Parked<'_>> {
        Parked::new(self, parked_max)
    }

    /// True while clients are forwarded or sent away.
    pub(crate) fn is_away(&self) -> bool {
        matches!(lock(&self.state).phase, Phase::Forwarding(_) | Phase::Closed(_))
    }

    /// Comes back once clients are forwarded or sent away.
    pub(crate) async fn away(&self) {
        let mut changed = self.changed.subscribe();
        // The sender lives in this gate.
        drop(changed.wait_for(|_| self.is_away()).await);
    }

    /// Where requests are forwarded to.
    pub(crate) fn forward(&self) -> Option<Arc<Forward>> {
        match &lock(&self.state).phase {
            Phase::Forwarding(forward) => Some(Arc::clone(forward)),
            _ => None,
        }
    }

    /// Forwarded requests that are not answered to the end.
    pub(crate) fn forwarding(&self) -> u64 {
        lock(&self.state).forwarding
    }

    pub(crate) fn in_flight(&self) -> u64 {
        let state = lock(&self.state);
        state.reading + state.mutating + state.parked
    }

    /// Mutations that are in.
    pub(crate) fn mutating(&self) -> u64 {
        lock(&self.state).mutating
    }

    fn ask(&self, access: Access) -> Answer {
        let mut state = lock(&self.state);
        match (&state.phase, access) {
            (Phase::Open, Access::Mutate) => {
                state.mutating += 1;
                Answer::In(still_live(&mut state.cancel))
            }
            (Phase::Open | Phase::Fenced(_) | Phase::Sealing, Access::Read) => {
                state.reading += 1;
                Answer::In(CancellationToken::new())
            }
            (Phase::Forwarding(forward), _) => {
                let forward = Arc::clone(forward);
                state.forwarding += 1;
                Answer::Onward(forward, still_live(&mut state.cancel_forwarding))
            }
            (Phase::Closed(why), _) => Answer::Out(*why),
            _ => Answer::Wait,
        }
    }

    /// Closes the gate to mutations, or takes over the fence that is there.
    pub(crate) fn fence(&self, token: Token, lease: Duration) -> Result<u64, EngineError> {
        let mut state = lock(&self.state);
        let deadline = Instant::now() + lease;
        let number = match &mut state.phase {
            Phase::Open => {
                state.fences += 1;
                let number = state.fences;
                state.phase = Phase::Fenced(Fence { token, deadline, last: None, number });
                number
            }
            Phase::Fenced(fence) if Instant::now() < fence.deadline => {
                (fence.token, fence.deadline) = (token, deadline);
                fence.number
            }
            Phase::Fenced(_) => return Err(EngineError::FenceLost("the lease has run out")),
            Phase::Sealing | Phase::Sealed => return Err(EngineError::refused("the node is sealed")),
            Phase::Forwarding(_) => return Err(EngineError::refused(Unavailable::Retired.to_string())),
            Phase::Closed(why) => return Err(EngineError::refused(why.to_string())),
        };
        drop(state);
        self.signal();
        Ok(number)
    }

    /// Prolongs the lease of a live fence. A renewal that crosses the seal on its way has nothing left to prolong and nothing
    /// to complain about: what was fenced is as it was.
    pub(crate) fn renew(&self, token: Token, lease: Duration) -> Result<(), EngineError> {
        if matches!(lock(&self.state).phase, Phase::Sealing | Phase::Sealed) {
            return Ok(());
        }
        self.with_live(|fence| (fence.token, fence.deadline) = (token, Instant::now() + lease))?;
        self.signal();
        Ok(())
    }

    /// Notes what the node holds with nobody writing.
    pub(crate) fn settle(&self, number: u64, last: FinalState) -> Result<(), EngineError> {
        let settled = self.with_live(|fence| {
            let same = fence.number == number;
            if same {
                fence.last = Some(last);
            }
            same
        })?;
        if settled { Ok(()) } else { Err(EngineError::FenceLost("another fence has taken its place")) }
    }

    fn with_live<T>(&self, act: impl FnOnce(&mut Fence) -> T) -> Result<T, EngineError> {
        match &mut lock(&self.state).phase {
            Phase::Fenced(fence) if Instant::now() < fence.deadline => Ok(act(fence)),
            Phase::Fenced(_) => Err(EngineError::FenceLost("the lease has run out")),
            _ => Err(EngineError::FenceLost("there is no fence")),
        }
    }

    /// INV-01: from a live fence at exactly this state, and in one step, to where the lease cannot open the gate any more.
    pub(crate) fn begin_seal(&self, expected: &FinalState, margin: Duration) -> Result<(), EngineError> {
        let mut state = lock(&self.state);
        let Phase::Fenced(fence) = &state.phase else { return Err(EngineError::FenceLost("there is no fence")) };
        if Instant::now() + margin >= fence.deadline {
            return Err(EngineError::FenceLost("the lease has run out, or is about to"));
        }
        let last = fence.last.ok_or(EngineError::FenceLost("mutations are still in flight"))?;
        if last != *expected {
            let text = format!(
                "fenced at seq {} root {}, asked for seq {} root {}",
                last.seq, last.root, expected.seq, expected.root
            );
            return Err(EngineError::DigestDiffers(text));
        }
        state.phase = Phase::Sealing;
        Ok(())
    }

    /// Waits while a seal is on its way to disk, until it is there or was refused, or until `deadline`.
    pub(crate) async fn seal_decided(&self, deadline: Instant) {
        let mut changed = self.changed.subscribe();
        let decided = changed.wait_for(|_| !matches!(lock(&self.state).phase, Phase::Sealing));
        if tokio::time::timeout_at(deadline, decided).await.is_err() {
            tracing::warn!("a seal takes long to reach the disk");
        }
    }

    /// Opens a fenced gate. True if it was fenced.
    pub(crate) fn unfence(&self) -> bool {
        self.open_if(|fence| fence.is_some())
    }

    /// Opens the gate if this fence still closes it and its lease has run out.
    fn expire(&self, number: u64) -> bool {
        self.open_if(|fence| fence.is_some_and(|fence| fence.number == number && Instant::now() >= fence.deadline))
    }

    /// Opens the gate if this fence still closes it and has told nobody a final state. One that has is somebody's ground to
    /// seal on: only its lease or a command ends it.
    pub(crate) fn abandon(&self, number: u64) -> bool {
        self.open_if(|fence| fence.is_some_and(|fence| fence.number == number && fence.last.is_none()))
    }

    fn open_if(&self, which: impl FnOnce(Option<&Fence>) -> bool) -> bool {
        let mut state = lock(&self.state);
        let fence = match &state.phase {
            Phase::Fenced(fence) => Some(fence),
            _ => None,
        };
        if !which(fence) {
            return false;
        }
        state.phase = Phase::Open;
        drop(state);
        self.signal();
        true
    }

    fn deadline(&self, number: u64) -> Option<Instant> {
        match &lock(&self.state).phase {
            Phase::Fenced(fence) if fence.number == number => Some(fence.deadline),
            _ => None,
        }
    }

    /// Breaks off the mutations that are in.
    pub(crate) fn cancel_mutations(&self) -> u64 {
        let state = lock(&self.state);
        state.cancel.cancel();
        state.mutating
    }

    /// Breaks off the requests that are forwarded, and waits until none is. True if that came to pass before `deadline`.
    pub(crate) async fn end_forwarding(&self, deadline: Instant) -> bool {
        lock(&self.state).cancel_forwarding.cancel();
        let mut changed = self.changed.subscribe();
        tokio::time::timeout_at(deadline, changed.wait_for(|_| self.forwarding() == 0)).await.is_ok()
    }

    /// Waits until no mutation is in. True if that came to pass before `deadline`.
    pub(crate) async fn drained(&self, deadline: Instant) -> bool {
        let mut changed = self.changed.subscribe();
        tokio::time::timeout_at(deadline, changed.wait_for(|_| self.mutating() == 0)).await.is_ok()
    }
}

/// Watches a lease and opens the gate when it runs out. Ends with the fence.
pub(crate) async fn watch_lease(cell: Arc<NodeCell>, number: u64) {
    let mut changed = cell.gate.changed.subscribe();
    while let Some(deadline) = cell.gate.deadline(number) {
        tokio::select! {
            biased;
            () = tokio::time::sleep_until(deadline) => {
                if cell.gate.expire(number) {
                    tracing::warn!(node = %cell.id, "the lease of a fence has run out; the node takes mutations again");
                }
            }
            _ = changed.changed() => {}
        }
    }
}

/// Those that were broken off are not to take later ones with them.
fn still_live(cancel: &mut CancellationToken) -> CancellationToken {
    if cancel.is_cancelled() {
        *cancel = CancellationToken::new();
    }
    cancel.clone()
}

fn phase_of(record: &NodeRecord) -> Phase {
    match (&record.mode, &record.forward) {
        (Mode::Serving | Mode::Fenced, _) => Phase::Open,
        (Mode::Sealed { .. }, _) => Phase::Sealed,
        (Mode::Incoming { .. } | Mode::Retired { .. }, Some(forward)) => Phase::Forwarding(Arc::new(forward.clone())),
        (Mode::Incoming { .. }, None) | (Mode::Stocked { .. }, _) => Phase::Closed(Unavailable::Incoming),
        (Mode::Retired { .. } | Mode::Quarantined { .. }, _) => Phase::Closed(Unavailable::Retired),
        (Mode::Discarded, _) => Phase::Closed(Unavailable::Discarded),
    }
}
