//! Commands and answers on their way.
//!
//! A message stays until its receiver would refuse it for ever, and can be delivered as often as one likes until then. So a set
//! is all that is needed for delay, loss, duplication and reordering; and forgetting what can do nothing any more loses nothing.

use crate::cutover::Cutover;
use crate::journal::Final;
use crate::stamp::Stamp;
use crate::state::State;

/// A command to a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Command {
    /// Its place in the order.
    pub token: Stamp,
    /// To which shard; the router reads what is for it.
    pub to: u8,
    /// What.
    pub what: What,
}

/// What is commanded: [`shardlift_migration::Command`] for one node and two shards, and the two effects beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum What {
    /// Let the other shard read.
    Offer,
    /// Pull from the other shard.
    StartReplica,
    /// Stop admitting mutations.
    Fence,
    /// Prolong the fence; the answer tells when there is none.
    RenewFence,
    /// Pull up to the final state.
    Complete(Final),
    /// Give up the right to resume.
    Seal(Final),
    /// Become the writer.
    Promote,
    /// Forward to the new writer, and follow it from this seq.
    Retire(u8),
    /// Stop following.
    Detach,
    /// Rename aside.
    Quarantine,
    /// Take out of quarantine.
    Restore,
    /// End old credentials.
    EndLegacyCredentials,
    /// Admit mutations again.
    Unfence,
    /// Give up the copy.
    Discard,
    /// A copy whose writer is gone: stop following and forwarding, name what is there.
    TakeStock,
    /// A writer that was given up: give up the node.
    Depose,
    /// To the router: lead clients to `to` under this version; when it says so, end what was passed elsewhere first.
    SetRoutes(u8, bool),
}

/// An answer to the controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Answer {
    /// Of the command.
    pub token: Stamp,
    /// How it ended.
    pub outcome: Outcome,
}

/// How a command ended: [`shardlift_migration::Outcome`], as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// Done.
    Done,
    /// Fenced and drained at this state.
    Fenced(Final),
    /// The fence is gone, or holds another state.
    FenceLost,
    /// The copy is at this state.
    Completed(Final),
    /// The writer's own seq.
    Promoted(u8),
    /// What a copy has whose writer is gone.
    Stock(Final),
}

impl State {
    /// Puts a command into the network.
    pub fn send(&mut self, command: Command) {
        insert(&mut self.commands, command);
    }

    /// Puts an answer into the network.
    pub fn answer(&mut self, token: Stamp, outcome: Outcome) {
        insert(&mut self.answers, Answer { token, outcome });
    }

    /// Forgets what nobody would take any more.
    pub fn forget(&mut self, cutover: &Cutover) {
        if cutover.mutant.is_some_and(crate::Mutant::needs_old_messages) {
            return;
        }
        let (shards, router, token) = (self.shards, self.router, self.record.token());
        let gone = [self.is_gone(0), self.is_gone(1)];
        self.commands.retain(|command| match command.what {
            What::SetRoutes(version, _) => version > router.version,
            _ if gone[usize::from(command.to)] => false,
            _ => command.token >= shards[usize::from(command.to)].token,
        });
        self.answers.retain(|answer| answer.token == token);
    }
}

fn insert<T: Ord>(set: &mut Vec<T>, item: T) {
    if let Err(place) = set.binary_search(&item) {
        set.insert(place, item);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Bound, Mutant};

    #[test]
    fn only_what_its_receiver_would_refuse_for_ever_is_forgotten() {
        let mut state = State::initial();
        let token = |step| Stamp { term: 1, generation: 1, step };
        let command = |step| Command { token: token(step), to: 0, what: What::Fence };
        [3, 1, 2, 2].map(command).into_iter().for_each(|command| state.send(command));
        state.shard_mut(0).token = token(2);
        state.answer(state.record.token(), Outcome::Done);
        state.answer(token(1), Outcome::Done);
        let mut forgetful = state.clone();
        forgetful.forget(&Cutover::new(Bound::STANDARD));
        assert_eq!(forgetful.commands, [2, 3].map(command));
        assert_eq!(forgetful.answers.len(), 1);
        state.forget(&Cutover::without(Mutant::TokenChecked));
        assert_eq!(state.commands, [1, 2, 3].map(command));
    }
}
