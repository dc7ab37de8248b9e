//! What an input leads to. Changes nothing: the answer is the events to record, or a refusal in an operator's words.
//!
//! Answers of effects are never refused: one that does not belong to the present stage and token came late and is ignored.
//! Decisions record the fact alone; the stages that follow from it are entered by [`crate::advance()`], so that a crash
//! between the two changes nothing.

mod answer;
mod back;
mod batches;
mod enrolment;
mod fleet;
mod moves;
mod plan;
mod receipt;
mod refusal;
mod renewal;
mod revocation;
mod soak;
mod takeover;

pub use refusal::{Refusal, RefusalKind};

use crate::event::Event;
use crate::input::Input;
use crate::world::World;
use batches::Clear;
use shardlift_model::UnixMillis;

/// Longest reason that is recorded, in characters.
pub const REASON_CHARS_MAX: usize = 500;

/// What follows from an input.
///
/// # Errors
/// [`Refusal`] when an operator asked for what cannot be; nothing is recorded then.
pub fn decide(world: &World, input: &Input, now: UnixMillis) -> Result<Vec<Event>, Refusal> {
    match input {
        Input::Lead { term } => world.checked(Event::LeadershipTaken { term: *term }),
        Input::SetLimits { limits } if *limits == world.limits => Ok(vec![]),
        Input::SetLimits { limits } => world.checked(Event::LimitsSet { limits: limits.clone() }),
        Input::AdviseSeeding { count } => fleet::advise_seeding(world, *count),
        Input::RecordShard { shard } => fleet::record_shard(world, shard),
        Input::RecordRouter { router } => fleet::record_router(world, router),
        Input::NodeListed { .. } => fleet::list_node(world, input),
        Input::DefineNode { node, customer, server_name } => {
            fleet::define_node(world, node, customer.as_ref(), server_name.as_ref())
        }
        Input::ApplyPlan { plan, text, reviewed_revision } => plan::apply(world, plan, text, *reviewed_revision, now),
        Input::StartBatch { batch } => batches::start(world, batch, now),
        Input::PauseBatch { batch } => batches::pause(world, batch),
        Input::ResumeBatch { batch } => batches::resume(world, batch),
        Input::ReleaseBatch { batch, force } => soak::release(world, batch, *force, now),
        Input::RollBackBatch { batch, reason, losses } => back::roll_back_batch(world, batch, reason, losses, now),
        Input::CutoverClear { batch, idle, routers } => {
            Ok(batches::cutover_clear(world, batch, Clear { idle: *idle, routers: *routers }, now))
        }
        Input::AbortNode { node, reason } => moves::abort(world, node, reason),
        Input::RollBackNode { node, reason } => back::roll_back(world, node, reason, now),
        Input::RehearseRollback { node } => back::rehearse(world, node, now),
        Input::TakeOver { node, after_seq, reason } => takeover::take_over(world, node, *after_seq, reason, now),
        Input::WriteOffWriter { node } => takeover::write_off(world, node, now),
        Input::RehearseBatch { batch } => back::rehearse_batch(world, batch, now),
        Input::RestoreNode { node } => back::restore(world, node, now),
        Input::RecordSettings { node, generation, settings } => {
            fleet::record_settings(world, node, *generation, settings)
        }
        Input::SoakSeen { node, fact } => Ok(soak::seen(world, node, fact, now)),
        Input::RetryNode { node, accept_damaged } => moves::retry(world, node, *accept_damaged),
        Input::GrantEnrolment { node, token, expires_at } => enrolment::grant(world, node, *token, *expires_at, now),
        Input::Enrol { token, public_key, serial, not_after } => {
            enrolment::enrol(world, token, public_key, (serial, *not_after), now)
        }
        Input::RecordCertificate { serial, holder, not_after } => revocation::record(world, serial, holder, *not_after),
        Input::RenewCertificate { shown, serial, holder, not_after } => {
            renewal::renew(world, shown, holder, (serial, *not_after), now)
        }
        Input::Revoke(wish) => revocation::revoke(world, wish, now),
        Input::RenewRevocationList => Ok(revocation::renew_list(world, now)),
        Input::GrantStatus { customer, token, expires_at } => {
            enrolment::grant_status(world, customer, *token, *expires_at, now)
        }
        Input::CertificateSeen { node, serial } => Ok(enrolment::certificate_seen(world, node, serial)),
        Input::Answer { node, token, outcome } => Ok(answer::answer(world, node, *token, outcome, now)),
        Input::RoutesConfirmed { version } => Ok(answer::routes_confirmed(world, *version, now)),
        Input::Ordered { by, input } => receipt::ordered(world, by, input, now),
        Input::RecordReceipt { node, generation, receipt } => {
            Ok(receipt::record(world, node, *generation, receipt, now))
        }
        Input::Tick => Ok(vec![]),
    }
}

impl World {
    /// The one event, if it may happen.
    pub(crate) fn checked(&self, event: Event) -> Result<Vec<Event>, Refusal> {
        self.legal(&event).map_err(Refusal::from)?;
        Ok(vec![event])
    }
}

/// Reasons come from other machines: what is recorded of them is bounded and one line.
pub(crate) fn bounded(reason: &str) -> String {
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    reason.trim().chars().take(REASON_CHARS_MAX).map(clean).collect()
}

#[cfg(test)]
mod tests;
