//! Makes the receipt of a completed move: facts from the record, signed with the controller's own key, checked as a reader would
//! check it, and handed to the loop, which records it once.
//!
//! Until it is recorded nobody has seen it, so one that was signed and lost with the process is simply made again. One that
//! would not verify, because the own certificate is over or the clock is wrong, is never recorded: it is tried again.

use super::Context;
use crate::audit::{DONE, deed};
use crate::backoff::{Backoff, Bounds};
use crate::{clock, receipts};
use shardlift_api::fault::chain;
use shardlift_audit::{Entry, field};
use shardlift_migration::Input;
use shardlift_migration::record::RECEIPT_BYTES_MAX;
use shardlift_model::{Generation, NodeId};

/// What stands in the way, a certificate mostly, takes its time to be dealt with.
const PATIENCE: u32 = 15;

pub(super) async fn run(context: Context, node: NodeId, generation: Generation) {
    let retry = context.pace.retry;
    let mut backoff = Backoff::new(Bounds { max: retry.max * PATIENCE, ..retry });
    let mut told = None;
    loop {
        let made = match make(&context, &node, generation) {
            Ok(receipt) => note(&context, &node, generation).await.map(|()| receipt),
            Err(problem) => Err(problem),
        };
        let problem = made.as_ref().err().cloned();
        if problem != told {
            if let Some(reason) = &problem {
                tracing::warn!(%node, generation = generation.0, reason, "a receipt was not made");
            }
            context.shared.observe(|observed| observed.note_receipt_wait(&node, problem.clone()));
            told = problem;
        }
        if let Ok(receipt) = made {
            let input = Input::RecordReceipt { node: node.clone(), generation, receipt };
            if !context.inputs.report(input).await {
                return;
            }
        }
        backoff.wait().await;
    }
}

/// In the audit log before anybody can get it.
async fn note(context: &Context, node: &NodeId, generation: Generation) -> Result<(), String> {
    let audit = &context.audit;
    let entry = Entry::new(audit.own(), deed::SIGN_RECEIPT, node.as_str(), DONE).text(field::NODE, node.as_str());
    audit.record(vec![entry.number("generation", generation.0)]).await.map_err(|error| error.to_string())
}

fn make(context: &Context, node: &NodeId, generation: Generation) -> Result<String, String> {
    let facts = context.shared.world(|world| {
        let done = world.nodes.get(node)?.receipt_due(generation)?;
        Some(receipts::facts(world, node, done))
    });
    let facts = facts.ok_or_else(|| "no completed move waits for one".to_owned())?;
    let credentials = context.channels.credentials();
    let signer = credentials.statement_signer().map_err(|error| chain(&error))?;
    let text = shardlift_receipt::issue(facts, &signer, clock::now()).map_err(|error| chain(&error))?;
    if text.len() > RECEIPT_BYTES_MAX {
        return Err(format!("it would be longer than {RECEIPT_BYTES_MAX} bytes"));
    }
    receipts::is_good(&text, node, &signer.roots())?;
    Ok(text)
}
