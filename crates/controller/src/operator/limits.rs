//! What replication and deep verify are allowed at a shard. The shard keeps it; here it is only passed on, with the term and the
//! revision that it changes.

use super::OperatorService;
use crate::channels::{Deadline as _, Within as _};
use shardlift_api::fault::{Fault, FaultKind};
use shardlift_api::{convert, v1};
use shardlift_model::ShardId;
use std::time::Duration;
use tonic::Status;

/// How long the shard may take.
const DEADLINE: Duration = Duration::from_secs(10);

impl OperatorService {
    pub(super) async fn limit_shard_checked(
        &self,
        request: v1::LimitShardRequest,
    ) -> Result<v1::ShardLimitsView, Fault> {
        let shard: ShardId = convert::name("shard", &request.shard)?;
        let unknown = || format!("shard {shard} is not known\n`shardlift shard list` shows all shards");
        let address = self.context.shard_address(&shard);
        let address = address.ok_or_else(|| Fault::new(FaultKind::NotFound, unknown()))?;
        let mut client = self.context.channels.shard(&shard, &address);
        let _others_wait = self.changing_settings.lock().await;
        let asked = client.get_limits(DEADLINE.on(v1::GetLimitsRequest {})).within(DEADLINE).await;
        let mut status = asked.map_err(|status| unanswered(&shard, &status))?.into_inner();
        if changes(&request) {
            let term = self.context.shared.world(|world| world.term.0);
            let change = v1::SetLimitsRequest {
                term,
                revision: status.revision,
                reset: request.reset,
                bytes_per_second: request.bytes_per_second,
                windows: request.windows,
                streams: request.streams,
                clients_first: request.clients_first,
                floor_bytes_per_second: request.floor_bytes_per_second,
            };
            let set = client.set_limits(DEADLINE.on(change)).within(DEADLINE).await;
            status = set.map_err(|status| unanswered(&shard, &status))?.into_inner();
        }
        Ok(view(&shard, status))
    }
}

/// Whether anything is to be changed, or only looked at.
pub(super) fn changes(request: &v1::LimitShardRequest) -> bool {
    *request != v1::LimitShardRequest { shard: request.shard.clone(), ..Default::default() }
}

fn view(shard: &ShardId, status: v1::LimitsStatus) -> v1::ShardLimitsView {
    let latency = |latency: v1::ClientLatency| v1::ClientLatencyView {
        operation: latency.operation,
        p50_us: latency.p50_us,
        p99_us: latency.p99_us,
        usual_p50_us: latency.usual_p50_us,
        usual_p99_us: latency.usual_p99_us,
    };
    v1::ShardLimitsView {
        shard: shard.to_string(),
        revision: status.revision,
        configured: status.configured,
        cap_bytes_per_second: status.cap_bytes_per_second,
        windows: status.windows,
        streams: status.streams,
        clients_first: status.clients_first,
        floor_bytes_per_second: status.floor_bytes_per_second,
        bytes_per_second: status.bytes_per_second,
        pace: status.pace,
        waiting: status.waiting,
        latencies: status.latencies.into_iter().map(latency).collect(),
    }
}

fn unanswered(shard: &ShardId, status: &Status) -> Fault {
    let kind = FaultKind::from(status);
    let advice = if kind.is_retryable() { "the outcome is unknown; give the command again" } else { "" };
    let text = format!("shard {shard}: {}\n{advice}", status.message());
    Fault::new(kind, text.trim_end().to_owned())
}
