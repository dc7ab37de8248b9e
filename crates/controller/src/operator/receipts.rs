//! Receipts as operators get them: the bytes that were recorded, and for whom there are none, why.

use super::OperatorService;
use super::fleet::unknown;
use crate::{clock, receipts};
use shardlift_api::convert;
use shardlift_api::fault::{Fault, FaultKind};
use shardlift_api::v1;
use shardlift_migration::{IssuedReceipt, Node};
use shardlift_model::BatchId;

impl OperatorService {
    pub(super) async fn receipt_of(&self, request: &v1::GetReceiptRequest) -> Result<v1::ReceiptFile, Fault> {
        let node = convert::node(&request.node)?;
        let batch = match request.batch.as_str() {
            "" => None,
            text => Some(convert::name::<BatchId>("batch", text)?),
        };
        let (issued, note, place) = self.context.shared.both(|recorded, observed| {
            let known = recorded.world.nodes.get(&node).ok_or_else(|| unknown(&node))?;
            let Some(issued) = last(known, batch.as_ref()) else {
                let waits = observed.receipt_waits.get(&node);
                let text = receipts::missing(&recorded.world, known, waits, clock::now());
                return Err(Fault::new(FaultKind::Refused, text));
            };
            let place = recorded.receipts.get(&(node.clone(), issued.generation)).copied();
            let place = place.ok_or_else(|| Fault::internal("the place of a receipt in the journal is not known"))?;
            Ok((issued.clone(), receipts::since(known, issued), place))
        })?;
        let receipt = self.context.archive.receipt(place, &node, issued.generation).await?;
        Ok(v1::ReceiptFile {
            node: node.to_string(),
            batch: issued.batch.to_string(),
            generation: issued.generation.0,
            issued_at_unix_ms: issued.at.0,
            receipt: receipt.into_bytes(),
            note,
        })
    }

    pub(super) fn receipts_of(&self, request: &v1::ListReceiptsRequest) -> Result<v1::ListReceiptsResponse, Fault> {
        let name: BatchId = convert::name("batch", &request.batch)?;
        self.context.shared.both(|recorded, observed| {
            let absent = || format!("batch {name} is not known\n`shardlift batch list` shows all batches");
            let batch = recorded.world.batches.get(&name).ok_or_else(|| Fault::new(FaultKind::NotFound, absent()))?;
            let known = batch.nodes.keys().filter_map(|node| recorded.world.nodes.get(node));
            let line = |node: &Node| {
                let issued = last(node, Some(&name));
                let waits = observed.receipt_waits.get(&node.node);
                let why = || receipts::missing(&recorded.world, node, waits, clock::now());
                v1::ReceiptLine {
                    node: node.node.to_string(),
                    generation: issued.map_or(0, |issued| issued.generation.0),
                    issued_at_unix_ms: issued.map_or(0, |issued| issued.at.0),
                    missing: if issued.is_some() { String::new() } else { why() },
                }
            };
            Ok(v1::ListReceiptsResponse { receipts: known.map(line).collect() })
        })
    }
}

/// The last receipt of a node, or that of its move in a batch.
fn last<'n>(node: &'n Node, batch: Option<&BatchId>) -> Option<&'n IssuedReceipt> {
    node.receipts.iter().rev().find(|issued| batch.is_none_or(|batch| issued.batch == *batch))
}
