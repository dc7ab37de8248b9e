//! The order of commands: (term, generation, step).
//!
//! A term alone is not a fence: a leader's own delayed `promote` must not land after its own rollback. So every command
//! carries all three, and whoever executes it persists the highest before acting (INV-03).

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! counter {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl $name {
            /// The one after this.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0 + 1)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

counter! {
    /// Leadership number of the controller. Grows with every start.
    Term
}
counter! {
    /// Per-node fence. Grows with every change of the writer, never shrinks.
    Generation
}
counter! {
    /// Number of a command within one node's moves under one generation.
    Step
}

/// What orders all commands for one node. Compared field by field, in the order of the fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Token {
    /// Leadership number of the controller that sent the command.
    pub term: Term,
    /// Generation of the node the command belongs to.
    pub generation: Generation,
    /// Number of the command.
    pub step: Step,
}

impl Token {
    /// A token from its three numbers.
    #[must_use]
    pub const fn new(term: u64, generation: u64, step: u64) -> Self {
        Self { term: Term(term), generation: Generation(generation), step: Step(step) }
    }

    /// The place of the command in its node's life, whoever leads: a later leader repeats a command at the same place.
    #[must_use]
    pub const fn place(self) -> (Generation, Step) {
        (self.generation, self.step)
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.term, self.generation, self.step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_compare_term_first_then_generation_then_step() {
        let ordered = [Token::new(1, 9, 9), Token::new(2, 1, 1), Token::new(2, 1, 2), Token::new(2, 2, 0)];
        assert!(ordered.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
