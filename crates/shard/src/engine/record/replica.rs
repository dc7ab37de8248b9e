//! What is kept about a copy: how far it is, and where its clients' requests go while another shard is the writer.

use super::FinalState;
use crate::engine::EngineError;
use serde::{Deserialize, Serialize};
use shardlift_model::{ShardId, Token, UnixMillis};

/// Where the requests of a node's clients are forwarded to: the writer that this shard has handed the node to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forward {
    /// The writer.
    pub shard: ShardId,
    /// Where it serves clients.
    pub client_address: String,
    /// When this shard was retired.
    pub since: UnixMillis,
}

/// How far an incoming copy is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReplicaPhase {
    /// Objects of the first listing are being pulled.
    #[default]
    Seeding,
    /// The source's journal is being followed.
    Following,
    /// The final state is reached.
    Complete,
}

/// What an incoming copy must not forget in a crash. Numbers of the SOURCE's journal.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaRecord {
    /// How far it is.
    pub phase: ReplicaPhase,
    /// Seq of the first page of the first listing: following starts after it.
    pub journal_from: Option<u64>,
    /// Changes up to here are durable here.
    pub applied_seq: u64,
    /// Objects that were damaged at the source already.
    pub damaged_at_source: u64,
    /// The last equal comparison.
    pub verified: Option<VerifiedRecord>,
    /// Why it cannot go on without an operator.
    pub failure: Option<String>,
    /// It was equal to its source at `journal_from`: only the source's journal may take anything from it, never a listing (INV-07:
    /// deletion on positive evidence only).
    #[serde(default)]
    pub resumed: bool,
    /// A comparison was asked for and has not come to its end.
    #[serde(default)]
    pub verify_asked: bool,
    /// Of the last command to compare. The same one again, also from a later leader, changes nothing.
    #[serde(default)]
    pub(crate) verify_token: Option<Token>,
}

/// An equal comparison with the source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifiedRecord {
    /// At which state.
    pub state: FinalState,
    /// Own objects read and hashed again.
    pub objects_read: u64,
    /// Own bytes read and hashed again.
    pub bytes_read: u64,
}

impl ReplicaRecord {
    /// Records that the source's journal is here up to `seq`.
    pub(crate) fn advance(&mut self, seq: u64) -> Result<(), EngineError> {
        if seq < self.applied_seq {
            return Err(EngineError::refused(format!("seq {} is applied already", self.applied_seq)));
        }
        self.applied_seq = seq;
        Ok(())
    }

    /// A command to compare: one that is new wants a new proof. The answer is the token that names the comparison.
    pub(crate) fn ask_to_verify(&mut self, token: Token) -> Token {
        match self.verify_token {
            Some(known) if known.place() == token.place() => known,
            _ => {
                (self.verified, self.verify_asked, self.verify_token) = (None, true, Some(token));
                token
            }
        }
    }

    /// Of a former writer, which held what the new one held at `seq` of its journal.
    #[must_use]
    pub fn equal_at(seq: u64) -> Self {
        Self {
            phase: ReplicaPhase::Following,
            journal_from: Some(seq),
            applied_seq: seq,
            resumed: true,
            ..Self::default()
        }
    }
}
