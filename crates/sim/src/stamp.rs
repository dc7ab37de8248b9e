//! Tokens, small enough for a state.

use shardlift_model::Token;
use std::cmp::Ordering;

/// A token in three bytes. Its order is that of [`Token`], which is asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Stamp {
    /// Leadership.
    pub term: u8,
    /// Of the node.
    pub generation: u8,
    /// Under the generation.
    pub step: u8,
}

impl Stamp {
    /// The real token.
    #[must_use]
    pub fn token(self) -> Token {
        Token::new(self.term.into(), self.generation.into(), self.step.into())
    }
}

impl PartialOrd for Stamp {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Stamp {
    fn cmp(&self, other: &Self) -> Ordering {
        self.token().cmp(&other.token())
    }
}
