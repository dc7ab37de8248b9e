//! Why a node stands at its stage, in words for each.

use crate::node::{CertificateState, Migration, Node, Takeover};
use crate::stage::Stage;
use crate::world::World;

pub(super) fn why(world: &World, node: &Node, moving: &Migration) -> String {
    if let Some(takeover) = &moving.takeover {
        return taken_over(moving, takeover);
    }
    if moving.is_back() {
        return way_back(moving);
    }
    if let Some(reason) = &moving.undo_reason {
        return match moving.stage {
            Stage::Aborted => format!("its move was undone: {reason}"),
            _ => format!("its move is being undone: {reason}"),
        };
    }
    if moving.reenter {
        return "its copy begins anew: an operator let the move go on".to_owned();
    }
    let Migration { source, target, .. } = moving;
    match moving.stage {
        Stage::Planned => format!("revision {} of the plan moves it; nothing was done yet", world.plan_revision()),
        Stage::Offering => format!("`{source}` is told to let `{target}` read"),
        Stage::Starting => format!("`{target}` is told to begin its copy"),
        Stage::Copying => format!("`{target}` copies all objects"),
        Stage::CatchingUp => format!("`{target}` has all objects and follows the changes"),
        Stage::VerifyRequested | Stage::Verifying => format!("`{target}` compares its copy with `{source}`"),
        Stage::AwaitingCertificate => match &node.certificate {
            CertificateState::Issued { .. } => "the client has its new certificate but did not use it yet".to_owned(),
            CertificateState::TokenCreated => "the client did not use its enrolment token yet".to_owned(),
            _ => "the client has no new certificate".to_owned(),
        },
        Stage::Ready => "the copy was compared equal and the new certificate is in use".to_owned(),
        Stage::Soaking => soaking(moving),
        Stage::Releasing => "old credentials are being ended".to_owned(),
        Stage::Quarantining => format!("the old copy on `{source}` is renamed aside"),
        Stage::Released => format!("its move is over; its old copy on `{source}` is in quarantine"),
        Stage::Restoring => format!("the old copy on `{source}` is taken out of quarantine"),
        Stage::Resuming => format!("`{source}` is told to follow `{target}` again"),
        Stage::Unfencing | Stage::Discarding | Stage::Aborted => "its move was undone".to_owned(),
        _ => flip(moving),
    }
}

/// The stages from the fence to the probe, the same both ways.
fn flip(moving: &Migration) -> String {
    let (giver, taker) = (moving.giver(), moving.taker());
    match moving.stage {
        Stage::Fencing => with_attempts(format!("`{giver}` stops admitting changes; clients wait"), moving),
        Stage::Completing => with_attempts(format!("`{taker}` pulls the last changes; clients wait"), moving),
        Stage::Sealing => with_attempts(format!("`{giver}` gives up its right to resume; clients wait"), moving),
        Stage::Sealed => "both sides are equal and nobody takes writes; clients wait".to_owned(),
        Stage::Promoting => format!("committed: `{taker}` becomes the writer; clients wait"),
        Stage::Retiring => {
            format!("`{taker}` is the writer; `{giver}` begins to forward clients to it and to follow it")
        }
        Stage::Routing => format!("`{giver}` forwards clients to `{taker}`; routers learn the way there"),
        Stage::Probing => format!("routers are asked whether `{taker}` answers"),
        Stage::Detaching => format!("`{taker}` serves it; `{giver}` stops following and keeps its copy"),
        _ => String::new(),
    }
}

fn soaking(moving: &Migration) -> String {
    let Migration { source, target, .. } = moving;
    let told = format!("`{target}` serves it; `{source}` keeps its copy and follows");
    let told = match &moving.soak.alert {
        Some(alert) => format!("{told}; alert: {alert}"),
        None => told,
    };
    match (&moving.rollback_failed, &moving.rehearsed) {
        (Some(reason), _) => format!("{told}; the last way back was undone: {reason}"),
        (None, Some(rehearsal)) => format!("{told}; its way back was rehearsed and took {} ms", rehearsal.took_ms),
        (None, None) => told,
    }
}

fn way_back(moving: &Migration) -> String {
    let Migration { source, target, .. } = moving;
    let reason = moving.rollback_reason.as_deref().unwrap_or("no reason was given");
    let what = match (&moving.undo_reason, moving.stage) {
        (_, Stage::RolledBack) if moving.written_off => {
            return format!(
                "it was moved back to `{source}`, nothing was lost, and `{target}` was written off before its answer: {reason}"
            );
        }
        (_, Stage::RolledBack) => return format!("it was moved back to `{source}`: {reason}"),
        (Some(_), Stage::Resuming) => format!("`{target}` serves on; `{source}` is told to follow it again"),
        (Some(undo), _) => format!("the way back is being undone, `{target}` will serve on: {undo}"),
        (None, _) => flip(moving),
    };
    let word = if moving.rehearsal { "the way back is rehearsed" } else { "it is moved back" };
    format!("{word} ({reason}): {what}")
}

fn taken_over(moving: &Migration, takeover: &Takeover) -> String {
    let (giver, taker) = (moving.giver(), moving.taker());
    let reason = moving.rollback_reason.as_deref().unwrap_or("no reason was given");
    let what = match moving.stage {
        Stage::TakingStock => format!("`{taker}` stops following and names what it has; clients wait"),
        Stage::Redirecting => {
            format!("committed: routers lead its clients to `{taker}` and to nobody else; clients wait")
        }
        Stage::Promoting => format!("committed: `{taker}` becomes the writer; clients wait"),
        Stage::Probing => format!("routers are asked whether `{taker}` answers"),
        Stage::Deposing => format!("`{taker}` serves it; `{giver}` must give up what it has when it returns"),
        _ => format!("`{taker}` serves it"),
    };
    let lost = match &takeover.stock {
        Some(stock) => format!("what `{giver}` stored after its change {} is lost", stock.seq),
        None => format!(
            "what `{giver}` stored after its change {} at the latest is given up, and there is no way out of this",
            takeover.after_seq
        ),
    };
    let word = if moving.stage.is_over() { "was" } else { "is" };
    format!("it {word} taken over from `{giver}` without it ({reason}): {what}; {lost}")
}

fn with_attempts(text: String, moving: &Migration) -> String {
    match &moving.fence_lost {
        Some(reason) => format!("{text}; fences lost so far: {}, the last time: {reason}", moving.fence_attempts),
        None => text,
    }
}
