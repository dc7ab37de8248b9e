//! What moves and deep verifies may take from a shard's clients, for people.

use super::{bytes, clean, fields, table};
use shardlift_api::v1;

pub(crate) fn limits_text(limits: &v1::ShardLimitsView) -> String {
    let rate = |count: u64| if count == 0 { "none".to_owned() } else { format!("{}/s", bytes(count)) };
    let or_none = |text: String, is_none| if is_none { "none".to_owned() } else { text };
    let origin =
        if limits.configured { "as configured".to_owned() } else { format!("set, revision {}", limits.revision) };
    let mut text = fields(&[
        ("shard", limits.shard.clone()),
        ("at present", limits.pace.clone()),
        ("waiting", if limits.waiting == 0 { String::new() } else { limits.waiting.to_string() }),
        ("limits", origin),
        ("cap", rate(limits.cap_bytes_per_second)),
        ("windows", or_none(limits.windows.clone(), limits.windows.is_empty())),
        ("streams", or_none(limits.streams.to_string(), limits.streams == 0)),
        ("clients first", if limits.clients_first { "on" } else { "off" }.to_owned()),
        ("floor", rate(limits.floor_bytes_per_second)),
    ]);
    if !limits.latencies.is_empty() {
        let row = |seen: &v1::ClientLatencyView| {
            let times = [seen.p50_us, seen.p99_us, seen.usual_p50_us, seen.usual_p99_us].map(millis);
            std::iter::once(seen.operation.clone()).chain(times).collect()
        };
        let headers = ["CLIENTS", "P50", "P99", "USUAL P50", "USUAL P99"];
        text.push_str(&format!("\n{}\n", table(&headers, limits.latencies.iter().map(row))));
    }
    text
}

/// The paces of shards that have something to say about it.
pub(super) fn pace_lines(shards: &[v1::ShardView]) -> String {
    let told = shards.iter().filter(|shard| shard.reachable && !shard.pace.is_empty());
    told.map(|shard| format!("moves at {}: {}\n", clean(&shard.shard), clean(&shard.pace))).collect()
}

fn millis(micros: u64) -> String {
    match micros {
        0 => "-".to_owned(),
        _ => format!("{}.{} ms", micros / 1000, micros % 1000 / 100),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_told_with_the_present_pace_and_what_clients_feel() {
        let latency = v1::ClientLatencyView {
            operation: "store".into(),
            p50_us: 20_100,
            p99_us: 210_000,
            usual_p50_us: 18_000,
            usual_p99_us: 0,
        };
        let mut limits = v1::ShardLimitsView {
            shard: "source".into(),
            revision: 3,
            cap_bytes_per_second: 50 << 20,
            clients_first: true,
            floor_bytes_per_second: 8 << 20,
            pace: "held at 48.0 MiB/s: the cap\u{1b}".into(),
            latencies: vec![latency],
            ..Default::default()
        };
        let text = limits_text(&limits);
        for line in [
            "at present:    held at 48.0 MiB/s: the cap\u{fffd}",
            "limits:        set, revision 3",
            "cap:           50.0 MiB/s",
            "windows:       none",
            "streams:       none",
            "clients first: on",
            "floor:         8.0 MiB/s",
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
        assert!(text.contains("20.1 ms") && text.contains("210.0 ms") && text.contains("18.0 ms"), "{text}");
        limits.configured = true;
        assert!(limits_text(&limits).contains("as configured"));
    }
}
