//! What replication and deep verify are allowed: asked for and changed.

use super::Control;
use crate::throttle::{LimitsChange, SetLimitsError, Standing, Windows};
use shardlift_api::fault::{Fault, FaultKind};
use shardlift_api::v1;
use std::time::Duration;

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn status(standing: Standing) -> v1::LimitsStatus {
    let Standing { limits, .. } = standing;
    let measured = standing.operations.iter().filter(|seen| seen.now.requests + seen.usual.requests >= 1.0);
    let latency = |seen: &crate::throttle::OperationSeen| {
        let of = |requests: f64, time| if requests >= 1.0 { micros(time) } else { 0 };
        v1::ClientLatency {
            operation: seen.operation.word().to_owned(),
            p50_us: of(seen.now.requests, seen.now.p50),
            p99_us: of(seen.now.requests, seen.now.p99),
            usual_p50_us: of(seen.usual.requests, seen.usual.p50),
            usual_p99_us: of(seen.usual.requests, seen.usual.p99),
        }
    };
    v1::LimitsStatus {
        revision: standing.revision,
        configured: standing.is_configured,
        cap_bytes_per_second: limits.cap.unwrap_or(0),
        windows: limits.windows.map(|windows| windows.to_string()).unwrap_or_default(),
        streams: limits.streams.unwrap_or(0),
        clients_first: limits.clients_first,
        floor_bytes_per_second: limits.floor,
        bytes_per_second: standing.rate.unwrap_or(0),
        pace: standing.reason,
        waiting: standing.waiting,
        latencies: measured.map(latency).collect(),
    }
}

fn change(request: v1::SetLimitsRequest) -> Result<LimitsChange, Fault> {
    let windows = |text: String| match text.as_str() {
        "" => Ok(None),
        text => text.parse::<Windows>().map(Some),
    };
    let windows = request.windows.map(windows).transpose();
    Ok(LimitsChange {
        reset: request.reset,
        cap: request.bytes_per_second.map(|rate| (rate > 0).then_some(rate)),
        windows: windows.map_err(|error| Fault::new(FaultKind::Invalid, format!("windows, {error}")))?,
        streams: request.streams.map(|streams| (streams > 0).then_some(streams)),
        clients_first: request.clients_first,
        floor: request.floor_bytes_per_second.map(|rate| (rate > 0).then_some(rate)),
    })
}

fn of_set(error: SetLimitsError) -> Fault {
    let kind = match error {
        SetLimitsError::StaleTerm { .. } => FaultKind::StaleToken,
        SetLimitsError::Superseded { .. } => FaultKind::Refused,
        SetLimitsError::Senseless(_) => FaultKind::Invalid,
        SetLimitsError::Keeping(_) => return Fault::internal(error),
    };
    Fault::new(kind, error.to_string())
}

impl Control {
    pub(super) async fn get_limits(&self, _: v1::GetLimitsRequest) -> Result<v1::LimitsStatus, Fault> {
        Ok(status(self.engine.throttle().standing()))
    }

    pub(super) async fn set_limits(&self, request: v1::SetLimitsRequest) -> Result<v1::LimitsStatus, Fault> {
        let (term, revision) = (request.term, request.revision);
        self.engine.throttle().set_limits(term, revision, change(request)?).await.map_err(of_set)?;
        Ok(status(self.engine.throttle().standing()))
    }
}
