//! When a batch flipped, to the millisecond, as the status API tells it from the controller's record.

use crate::bench::line::Line;
use crate::cluster::Cluster;
use crate::eventually;
use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use serde_json::Value;
use std::time::Duration;
use tokio::sync::Mutex;

/// Pages of the worklog that are read; it is bounded itself.
const PAGES_MAX: usize = 100;

/// From the first fence to the last probe, in milliseconds of the Unix epoch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flip {
    pub(super) began_ms: f64,
    pub(super) probed_ms: f64,
}

/// Reads the worklog of a customer who has nodes in the batch.
pub(super) async fn of_batch(cluster: &Cluster, customer: &str, batch: &str) -> Result<Flip> {
    let answer = cluster.cli().json(&["token", "status", "--customer", customer]).await?;
    let token = answer["token"].as_str().context("no status token")?;
    let ca = std::fs::read_to_string(cluster.folder().join("cluster/ca.pem"))?;
    let line = Line::new(cluster.address("controller", "status")?, "localhost", &ca, None)?.bearer(token);
    let line = Mutex::new(line);
    // The status API is a moment behind the record.
    eventually("the worklog tells of the flip", Duration::from_secs(30), || async {
        read(&mut *line.lock().await, batch).await
    })
    .await
}

async fn read(line: &mut Line, batch: &str) -> Result<Flip> {
    let (began, probed) = (format!("Batch {batch} changes over:"), format!("Batch {batch} is served by"));
    let (mut began_ms, mut probed_ms, mut after) = (None, None, 0);
    for _page in 0..PAGES_MAX {
        let (status, body) = line.ask("GET", &format!("/v1/worklog?after={after}&limit=1000"), Bytes::new()).await?;
        ensure!(status == 200, "the status API answers {status}: {}", String::from_utf8_lossy(&body));
        let page: Value = serde_json::from_slice(&body).context("the worklog is no JSON")?;
        let entries = page["entries"].as_array().context("the worklog has no entries")?;
        for entry in entries {
            let text = entry["text"].as_str().unwrap_or_default();
            let at = || entry["at"].as_f64().with_context(|| format!("no time in {entry}"));
            if text.starts_with(&began) {
                began_ms = Some(at()?);
            } else if text.starts_with(&probed) {
                probed_ms = Some(at()?);
            }
            after = entry["id"].as_u64().unwrap_or(after);
        }
        if entries.is_empty() {
            break;
        }
    }
    let began_ms = began_ms.with_context(|| format!("batch {batch} has not begun to flip"))?;
    Ok(Flip { began_ms, probed_ms: probed_ms.with_context(|| format!("batch {batch} has not flipped"))? })
}
