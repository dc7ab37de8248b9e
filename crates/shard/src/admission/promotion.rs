//! The target's side of a cutover: it becomes the writer.

use super::Admission;
use super::cutover::refused;
use crate::engine::{Accepted, EngineError, FinalState, Mode, NodeRecord, now};
use shardlift_model::{NodeId, ShardId, Token};

impl Admission {
    /// Makes an incoming copy the writer under the token's generation. `expected` is the state that the source was sealed at: the
    /// copy must hold exactly that, and must have applied the source's journal exactly up to its seq (INV-05). From then on the
    /// `follower`, and no other shard, may read the node: the former writer, which held the same and follows from the seq that
    /// the own journal has now. Of a copy whose stock was taken, `expected` is that stock: there is no other side left to be equal to.
    ///
    /// INV-04: durable when this returns, and no client mutation is admitted before.
    ///
    /// # Errors
    /// [`EngineError::DigestDiffers`]; [`EngineError::Refused`] when the node is not incoming; [`EngineError::StaleToken`].
    pub async fn promote(
        &self,
        node: &NodeId,
        token: Token,
        expected: FinalState,
        follower: Option<ShardId>,
    ) -> Result<Accepted, EngineError> {
        let accepted = self.engine.accept_token(node, token).await?;
        let cell = self.cell(node)?;
        let record = cell.record();
        match record.mode {
            Mode::Serving if record.generation == token.generation => return Ok(accepted),
            Mode::Incoming { .. } | Mode::Stocked { .. } => {}
            _ => return Err(refused(&record)),
        }
        let (digest, own_seq) = self.engine.digest(node).await?;
        let own = FinalState::new(&digest, own_seq);
        if !own.same_content(&expected) {
            let text = format!(
                "here {} objects, {} bytes, root {}; sealed were {}, {}, {}",
                own.objects, own.bytes, own.root, expected.objects, expected.bytes, expected.root
            );
            return Err(EngineError::DigestDiffers(text));
        }
        let promoted_at = now();
        let edit = move |record: &mut NodeRecord| {
            match record.mode {
                Mode::Incoming { .. } => {}
                Mode::Stocked { state, .. } if state == expected => {}
                Mode::Stocked { state, .. } => {
                    let text = format!(
                        "stock was taken at seq {} of the writer that is gone, asked for {}",
                        state.seq, expected.seq
                    );
                    return Err(EngineError::DigestDiffers(text));
                }
                Mode::Serving if record.generation == token.generation => return Ok(()),
                _ => return Err(refused(record)),
            }
            let applied = record.replica.as_ref().map_or(0, |replica| replica.applied_seq);
            if applied != expected.seq {
                return Err(EngineError::DigestDiffers(format!(
                    "applied up to seq {applied}, sealed at {}",
                    expected.seq
                )));
            }
            if record.seq() != own_seq {
                return Err(EngineError::DigestDiffers("the copy changed while it was compared".to_owned()));
            }
            record.mode = Mode::Serving;
            record.generation = token.generation;
            record.promoted_seq = own_seq;
            record.promoted_at = Some(promoted_at);
            record.taken_over_from.clone_from(&follower);
            record.offered_to = follower;
            record.forward = None;
            record.replica = None;
            Ok(())
        };
        let accepted = self.engine.command(node, token, edit).await?;
        // INV-04: only now, with the promotion durable, may anybody in.
        cell.follow_mode();
        Ok(accepted)
    }
}
