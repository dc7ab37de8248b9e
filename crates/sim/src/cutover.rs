//! The model as the checker sees it: initial state, actions, steps.

use crate::client::{self, Fate};
use crate::controller;
use crate::healing::Healed;
use crate::journal::OBJECTS;
use crate::mutants::Mutant;
use crate::network::{Answer, Command, What};
use crate::properties;
use crate::shard;
use crate::state::{Gate, Mode, Request, SOURCE, State, TARGET, Told, other};
use crate::ways::Ways;
use shardlift_migration::Stage;
use stateright::{Model, Property};

/// What is limited. All else happens as often as it likes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// Client operations in all.
    pub operations: u8,
    /// Client requests at the same time.
    pub requests: u8,
    /// Changes of leadership, a controller's crash and restart among them.
    pub leaderships: u8,
    /// Ways back: rollbacks and rehearsals, undone ones too.
    pub ways_back: u8,
    /// Restores from quarantine.
    pub restores: u8,
    /// Moves planned anew after one that was undone or taken back.
    pub plans_again: u8,
    /// Takeovers: the writer is given up, gone for good or merely cut off. With any, clients come through the router only.
    pub takeovers: u8,
    /// Fences lost in one cutover before it is undone.
    pub fences_lost: u8,
    /// Whether an object may vanish at the writer during the soak, once.
    pub vanishing: bool,
}

impl Bound {
    /// What `cargo test` searches completely.
    pub const STANDARD: Self = Self {
        operations: 2,
        requests: 1,
        leaderships: 1,
        ways_back: 1,
        restores: 0,
        plans_again: 0,
        takeovers: 0,
        fences_lost: 1,
        vanishing: false,
    };

    /// A longer life with fewer clients, searched completely as well: there, back and there again, out of quarantine, and
    /// with an object that vanishes.
    pub const AGAIN: Self = Self { operations: 1, restores: 1, plans_again: 1, vanishing: true, ..Self::STANDARD };

    /// Two clients at the same time and one leader, searched completely as well.
    pub const SIDE_BY_SIDE: Self = Self { requests: 2, leaderships: 0, ..Self::STANDARD };

    /// The writer is given up at any moment, gone or merely cut off, in a way forward or back, and its node moves there again.
    /// Searched completely as well.
    pub const WITHOUT_WRITER: Self =
        Self { takeovers: 1, operations: 1, leaderships: 0, plans_again: 1, ..Self::STANDARD };

    /// The same with two operations, so that clients go on after a loss, and with a change of leadership, but forward only and
    /// once. Searched completely as well.
    pub const AFTER_A_LOSS: Self = Self { takeovers: 1, ways_back: 0, ..Self::STANDARD };

    /// What `SHARDLIFT_MODEL_BOUND=large` searches completely: two ways back, so that one follows a rehearsal or one that was undone, and
    /// a second move after them.
    pub const LARGE: Self = Self { ways_back: 2, operations: 1, plans_again: 1, ..Self::STANDARD };
}

/// The protocol, whole or without one of its lines.
#[derive(Debug)]
pub struct Cutover {
    /// What is limited.
    pub bound: Bound,
    /// The line that is missing.
    pub mutant: Option<Mutant>,
    /// Ways of the table that were taken.
    pub ways: Ways,
    /// States from which the move is known to end.
    pub(crate) healed: Healed,
}

/// One atomic step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The controller goes on without an answer.
    Advance,
    /// A command arrives.
    Deliver(Command),
    /// An answer arrives.
    Take(Answer),
    /// An answer arrives at the controller that leads no more.
    DeposedTakes(Answer),
    /// The controller that leads no more goes on.
    DeposedAdvances,
    /// Leadership moves, or a controller restarts.
    Lead,
    /// A deadline passes or an operator aborts.
    Undo,
    /// An operator or a verdict sends the node back.
    RollBack,
    /// An operator rehearses that.
    Rehearse,
    /// An operator ends the soak.
    Release,
    /// An operator takes the old copy back out.
    Restore,
    /// An operator plans the move anew.
    PlanAgain,
    /// A shard loses power and starts again.
    Crash(u8),
    /// The lease of a shard's fence runs out.
    LoseLease(u8),
    /// A fenced shard's last mutation has ended.
    Drain(u8),
    /// A copy takes one step.
    Pull(u8),
    /// A client asks a shard about an object.
    Ask(u8, u8),
    /// Something happens to a request.
    Meet(Request, Fate),
    /// An object vanishes at the writer, without a delete.
    Vanish(u8),
    /// An operator gives the writer up.
    TakeOver,
    /// An operator does not wait for the former writer any more.
    WriteOff,
    /// The target is gone for good.
    Lose,
}

/// What is decided outside of the protocol.
const DECISIONS: [Action; 10] = [
    Action::Lead,
    Action::Undo,
    Action::RollBack,
    Action::Rehearse,
    Action::Release,
    Action::Restore,
    Action::PlanAgain,
    Action::TakeOver,
    Action::WriteOff,
    Action::Lose,
];

impl Cutover {
    /// The protocol as it is.
    #[must_use]
    pub fn new(bound: Bound) -> Self {
        Self { bound, mutant: None, ways: Ways::default(), healed: Healed::default() }
    }

    /// The protocol without one of its lines.
    #[must_use]
    pub fn without(line: Mutant) -> Self {
        Self { mutant: Some(line), ..Self::new(line.bound()) }
    }

    /// True where a line is missing.
    #[must_use]
    pub fn lacks(&self, line: Mutant) -> bool {
        self.mutant == Some(line)
    }

    /// Takes a step. False when it is not possible, or changes nothing by itself.
    fn step(&self, state: &mut State, action: Action) -> bool {
        match action {
            Action::Advance => return controller::advance(self, state),
            Action::Deliver(command) => shard::deliver(self, state, command),
            Action::Take(answer) => return controller::take(self, state, answer),
            Action::DeposedTakes(answer) => {
                return self.as_deposed(state, |state| controller::take(self, state, answer));
            }
            Action::DeposedAdvances => return self.as_deposed(state, |state| controller::advance(self, state)),
            Action::Lead => return controller::lead(self, state),
            Action::Undo => return controller::undo(self, state),
            Action::RollBack => return controller::roll_back(self, state, false),
            Action::Rehearse => return controller::roll_back(self, state, true),
            Action::Release => return controller::release(self, state),
            Action::Restore => return controller::restore(self, state),
            Action::PlanAgain => return controller::plan_again(self, state),
            Action::Crash(at) => shard::crash(self, state, at),
            Action::LoseLease(at) => shard::lose_lease(self, state, at),
            Action::Drain(at) => return shard::drain(self, state, at),
            Action::Pull(at) => return shard::pull(self, state, at),
            Action::Ask(at, object) => return client::ask(self, state, at, object),
            Action::Meet(request, fate) => return client::meet(self, state, request, fate),
            Action::Vanish(object) => return self.vanish(state, object),
            Action::TakeOver => return controller::take_over(self, state),
            Action::WriteOff => return controller::write_off(self, state),
            Action::Lose => return shard::lose(self, state),
        }
        true
    }

    /// The store takes a record of a term that is over.
    fn as_deposed(&self, state: &mut State, act: impl FnOnce(&mut State) -> bool) -> bool {
        let Some(deposed) = state.deposed.take() else { return false };
        state.record = *deposed;
        act(state)
    }

    /// While the other shard follows and has it: otherwise it would be gone for good, whatever anybody does.
    fn vanish(&self, state: &mut State, object: u8) -> bool {
        let (writer, bit) = (state.record.writer, 1 << object);
        let followed = state.record.stage == Stage::Soaking && state.shard(other(writer)).content & bit != 0;
        let told = state.told[usize::from(object)] == Told::Present;
        if !self.bound.vanishing || state.vanished.is_some() || !followed || !told {
            return false;
        }
        state.shard_mut(writer).content &= !bit;
        state.vanished = Some(object);
        true
    }
}

impl Model for Cutover {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        // Where connections are ended it matters who can have one.
        let reach = [true, self.bound.takeovers == 0];
        vec![State { reach, ..State::initial() }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        actions.push(Action::Advance);
        actions.extend(state.commands.iter().copied().map(Action::Deliver));
        actions.extend(state.answers.iter().copied().map(Action::Take));
        actions.extend(DECISIONS);
        for at in [SOURCE, TARGET].into_iter().filter(|at| !state.is_gone(*at)) {
            let shard = state.shard(at);
            let in_memory = shard.gate != Gate::Open || shard.wish.is_some();
            if in_memory || self.mutant.is_some() || state.requests.iter().any(|request| request.admitted) {
                actions.push(Action::Crash(at));
            }
            if shard.gate != Gate::Open || (matches!(shard.mode, Mode::Sealed(_)) && self.mutant.is_some()) {
                actions.push(Action::LoseLease(at));
            }
            actions.extend([Action::Drain(at), Action::Pull(at)]);
            actions.extend((0..OBJECTS).map(|object| Action::Ask(at, object)));
        }
        for request in &state.requests {
            actions.extend(Fate::ALL.map(|fate| Action::Meet(*request, fate)));
        }
        if self.bound.vanishing {
            actions.extend((0..OBJECTS).map(Action::Vanish));
        }
        if state.deposed.is_some() {
            actions.push(Action::DeposedAdvances);
            actions.extend(state.answers.iter().copied().map(Action::DeposedTakes));
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        if self.is_idle(state, action) {
            return None;
        }
        let mut next = state.clone();
        let stepped = self.step(&mut next, action);
        next.forget(self);
        (stepped && next != *state).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all(self.bound.takeovers > 0)
    }
}

impl Cutover {
    /// What cannot change anything, told without a try: most of the time of a search goes into tries.
    fn is_idle(&self, state: &State, action: Action) -> bool {
        let stage = state.record.stage;
        match action {
            Action::Ask(..) => {
                state.operations >= self.bound.operations || state.requests.len() >= usize::from(self.bound.requests)
            }
            Action::Drain(at) => state.shard(at).gate != Gate::Draining,
            Action::Pull(at) => state.shard(at).mode != Mode::Incoming,
            Action::Lead => state.record.term > self.bound.leaderships,
            Action::Release => stage != Stage::Soaking,
            Action::Restore => stage != Stage::Released,
            Action::PlanAgain => !matches!(stage, Stage::Aborted | Stage::RolledBack),
            Action::RollBack | Action::Rehearse => state.record.ways_back >= self.bound.ways_back,
            Action::Undo => self.mutant.is_none() && stage.undo(state.record.direction).is_none(),
            Action::Meet(request, Fate::Admitted | Fate::Forwarded | Fate::LedAnew) => request.admitted,
            Action::Meet(request, _) => !request.admitted,
            Action::TakeOver => !state.record.held && state.record.takeovers >= self.bound.takeovers,
            Action::WriteOff => {
                self.bound.takeovers == 0 || (self.mutant.is_none() && stage.written_off(state.record.way()).is_none())
            }
            Action::Lose => self.bound.takeovers == 0 || state.gone,
            Action::Deliver(Command { what: What::SetRoutes(version, _), .. }) => {
                self.mutant.is_none() && version <= state.router.version
            }
            _ => false,
        }
    }
}
