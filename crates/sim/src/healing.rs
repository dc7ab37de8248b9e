//! No dead end: from every state, without a further fault, the move ends and nobody is left waiting.
//!
//! That is shown by a schedule, not by a search: each kind of step gets its turn in a fixed order of preference, what was
//! sent arrives, nothing is lost any more, and an operator ends the soak and gives up what will not return. The schedule is
//! a function of the state, so a state that leads to one from which the move is known to end is known, too, and is not
//! looked at again.

use crate::client::Fate;
use crate::cutover::{Action, Cutover};
use crate::network::What;
use crate::state::{Gate, SOURCE, State, TARGET};
use ahash::RandomState;
use shardlift_migration::Stage;
use stateright::Model;
use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

/// Longest schedule. The real ones are far shorter; one that goes round in circles reaches it.
const STEPS_MAX: usize = 500;

const PARTS: usize = 64;

/// Hashes of states from which the move ends.
#[derive(Debug)]
pub(crate) struct Healed {
    hasher: RandomState,
    parts: Vec<Mutex<HashSet<u64, RandomState>>>,
}

impl Default for Healed {
    fn default() -> Self {
        // The same in every run: a search can be repeated.
        let hasher = RandomState::with_seeds(1, 2, 3, 4);
        Self { parts: (0..PARTS).map(|_| Mutex::new(HashSet::with_hasher(hasher.clone()))).collect(), hasher }
    }
}

impl Healed {
    fn with<T>(&self, hash: u64, act: impl FnOnce(&mut HashSet<u64, RandomState>) -> T) -> T {
        // A set of hashes is whole whatever its last user did.
        act(&mut self.parts[hash as usize % PARTS].lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// True when the schedule leads from here to an end.
pub fn ends(cutover: &Cutover, state: &State) -> bool {
    let mut on_the_way = Vec::new();
    let mut now = state.clone();
    loop {
        let hash = cutover.healed.hasher.hash_one(&now);
        if cutover.healed.with(hash, |known| known.contains(&hash)) || is_end(&now) {
            for hash in on_the_way {
                cutover.healed.with(hash, |known| known.insert(hash));
            }
            return true;
        }
        on_the_way.push(hash);
        match next(cutover, &now) {
            Some(next) if on_the_way.len() < STEPS_MAX => now = next,
            _ => return false,
        }
    }
}

/// The move is over, its writer is open, every client has its answer.
fn is_end(state: &State) -> bool {
    state.record.stage.is_over() && state.requests.is_empty() && state.shard(state.record.writer).is_open()
}

fn next(cutover: &Cutover, state: &State) -> Option<State> {
    let token = state.record.token();
    let meet = |fates: &'static [Fate]| {
        state.requests.iter().flat_map(move |request| fates.iter().map(|fate| Action::Meet(*request, *fate)))
    };
    let by_themselves = [SOURCE, TARGET].into_iter().flat_map(|at| [Action::Drain(at), Action::Pull(at)]);
    let routes = state.commands.iter().rev().filter(|command| matches!(command.what, What::SetRoutes(..)));
    let present = state.commands.iter().filter(|command| command.token == token);
    let leases = [SOURCE, TARGET].into_iter().filter(|at| state.shard(*at).gate != Gate::Open);
    // An operator looks at what is held, and gives up what will not return.
    let given_up = [Action::TakeOver, Action::WriteOff].into_iter().filter(|_| state.gone || state.record.held);
    // The time of a seal that is never answered is over.
    let over = (state.gone && state.record.stage == Stage::Sealing).then_some(Action::Undo);
    // Unanswered: only whose client was led away.
    let mut schedule = meet(&[Fate::Acknowledged, Fate::Unanswered])
        .chain(by_themselves)
        .chain(meet(&[Fate::Admitted, Fate::Forwarded]))
        .chain(routes.copied().map(Action::Deliver))
        .chain(state.answers.iter().copied().map(Action::Take))
        .chain(present.copied().map(Action::Deliver))
        .chain([Action::Advance, Action::Release])
        .chain(meet(&[Fate::LedAnew]))
        .chain(leases.map(Action::LoseLease))
        .chain(given_up)
        .chain(over);
    schedule.find_map(|action| cutover.next_state(state, action))
}
