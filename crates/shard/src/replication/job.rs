//! What a replica job and those who steer it share: the wish, the answer, the end.
//!
//! A wish is never lost: it stays until the next one replaces it, and a job that is waiting or has failed takes it up.

use super::progress::Progress;
use crate::engine::FinalState;
use shardlift_model::Token;
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What a job is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Wish {
    /// Reach exactly this state, for the command with this token; without it, follow the source.
    pub(crate) complete: Option<(Token, FinalState)>,
    /// Compare with the source and read the own bytes again, for the command with this token.
    pub(crate) verify: Option<Token>,
}

/// How a completion ended.
#[derive(Debug, Clone)]
pub(crate) struct Completion {
    pub(crate) token: Token,
    /// The own state, or why it cannot be reached.
    pub(crate) outcome: Result<FinalState, String>,
}

/// The shared part of one job.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) progress: Progress,
    pub(crate) wish: watch::Sender<Wish>,
    pub(crate) completion: watch::Sender<Option<Completion>>,
    pub(crate) end: CancellationToken,
}

impl Shared {
    pub(crate) fn new(progress: Progress) -> Arc<Self> {
        Arc::new(Self {
            progress,
            wish: watch::Sender::new(Wish::default()),
            completion: watch::Sender::new(None),
            end: CancellationToken::new(),
        })
    }

    pub(crate) fn wish(&self) -> Wish {
        *self.wish.borrow()
    }

    /// The answer to the present wish to complete, if it was given already.
    pub(crate) fn completed(&self, token: Token) -> Option<Completion> {
        self.completion.borrow().clone().filter(|completion| completion.token == token)
    }
}
