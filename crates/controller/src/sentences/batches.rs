//! Sentences about batches.

use super::Told;
use shardlift_migration::{Event, Verdict};

pub(super) fn tell_of_batch(event: &Event) -> Told {
    match event {
        Event::BatchStarted { batch, .. } => {
            let text = format!("Batch {batch} was started: its nodes are copied while backups go on.");
            Told::batch(batch, text.clone(), &text)
        }
        Event::BatchPaused { batch } => {
            let text = format!("Batch {batch} is on hold.");
            Told::batch(batch, text.clone(), &text)
        }
        Event::BatchResumed { batch } => {
            let text = format!("Batch {batch} goes on.");
            Told::batch(batch, text.clone(), &text)
        }
        Event::BatchReady { batch, .. } => {
            let text = format!("Batch {batch} is ready: all its nodes are copied and verified.");
            Told::batch(batch, text.clone(), &text)
        }
        Event::CutoverStarted { batch, .. } => {
            let text = format!("Batch {batch} changes over: writes wait for a few seconds.");
            Told::batch(batch, text.clone(), &text)
        }
        Event::BatchCommitted { batch, placements, .. } => Told::batch(
            batch,
            format!("Batch {batch} is committed: {} nodes.", placements.len()),
            &format!("Batch {batch} has changed over to its new servers."),
        ),
        other => tell_of_soak(other),
    }
}

fn tell_of_soak(event: &Event) -> Told {
    match event {
        Event::RollbackCommitted { placements, .. } => {
            let names: Vec<&str> = placements.iter().map(|placement| placement.node.as_str()).collect();
            Told::operators(format!("The way back is committed for {}.", names.join(", ")))
        }
        Event::BatchSettled { batch } => {
            let text = format!("Batch {batch} is served by its new servers.");
            Told::batch(batch, text.clone(), &text)
        }
        Event::BatchReleased { batch, .. } => {
            let text = format!("Batch {batch} is released: old credentials end.");
            Told::batch(batch, text.clone(), &text)
        }
        Event::VerdictReached { batch, verdict } => {
            // The reason names a node: not for every customer of the batch.
            let (operator, customer) = match verdict {
                Verdict::Good => (format!("The soak of batch {batch} came to a good end."), "is proved good"),
                Verdict::Bad { reason } => {
                    (format!("The soak of batch {batch} is bad: {reason}."), "is being looked at")
                }
            };
            Told::batch(batch, operator, &format!("Batch {batch} {customer}."))
        }
        Event::BatchRolledBack { batch } => {
            let text = format!("Batch {batch} was moved back: its nodes are where they were before.");
            Told::batch(batch, text.clone(), &text)
        }
        Event::BatchAborted { batch } => {
            let text = format!("Batch {batch} was given up: its nodes stay where they were.");
            Told::batch(batch, text.clone(), &text)
        }
        other => Told::operators(format!("{other:?}")),
    }
}
