//! How long a plan takes, now and under other conditions, side by side.

use crate::cli::{Global, WhatIf};
use crate::connection::Connection;
use crate::exit::Failure;
use crate::output::{bytes, clean, estimate_text, print, table};
use shardlift_api::v1;

pub(super) async fn run(global: &Global, arguments: &WhatIf) -> Result<(), Failure> {
    let request = request(arguments)?;
    let connection = Connection::open(global)?;
    let answer = connection.answer(connection.client.clone().estimate_plan(request)).await?;
    print(global.output, &answer, text)
}

fn request(arguments: &WhatIf) -> Result<v1::EstimatePlanRequest, Failure> {
    let WhatIf { file, cap, windows, workers, target_caps } = arguments;
    let toml = file.as_ref().map(|file| super::read_plan(file)).transpose()?.unwrap_or_default();
    let target = |one: &crate::cli::ShardRate| v1::TargetCap {
        shard: one.shard.to_string(),
        bytes_per_second: one.rate.or(0, |rate| rate.0),
    };
    Ok(v1::EstimatePlanRequest {
        toml,
        bytes_per_second: cap.map(|cap| cap.or(0, |rate| rate.0)),
        windows: windows.as_ref().map(|windows| if windows == "none" { String::new() } else { windows.clone() }),
        workers: workers.unwrap_or(0),
        target_caps: target_caps.iter().map(target).collect(),
    })
}

fn text(answer: &v1::EstimatePlanResponse) -> String {
    let has_other = answer.other.is_some();
    let row = |name: &str, (nodes, size): (u64, u64), views: [&Option<v1::EstimateView>; 2]| {
        let mut row = vec![name.to_owned(), nodes.to_string(), bytes(size), estimate_text(views[0].as_ref())];
        if has_other {
            row.push(estimate_text(views[1].as_ref()));
        }
        row
    };
    let batches = answer.batches.iter();
    let mut rows: Vec<Vec<String>> =
        batches.map(|batch| row(&batch.batch, (batch.nodes, batch.bytes), [&batch.present, &batch.other])).collect();
    let sum = |of: fn(&v1::BatchOutlook) -> u64| answer.batches.iter().map(of).fold(0, u64::saturating_add);
    rows.push(row("all", (sum(|batch| batch.nodes), sum(|batch| batch.bytes)), [&answer.present, &answer.other]));
    let headers = ["BATCH", "NODES", "TO GO", "NOW", "THEN"];
    let shown = if has_other { &headers[..] } else { &headers[..4] };
    let mut text = format!("{}\n", table(shown, rows));
    for (title, lines) in [("measured", &answer.measured), ("now", &answer.conditions)] {
        text.extend(lines.iter().map(|line| format!("\n{title}: {}", clean(line))));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;
    use expect_test::expect;

    fn view(minutes: u64, limit: &str) -> Option<v1::EstimateView> {
        let (p50_ms, p90_ms) = (Some(minutes * 60_000), Some(minutes * 90_000));
        Some(v1::EstimateView { p50_ms, p90_ms, limited_by: limit.into(), unknown: String::new() })
    }

    #[test]
    fn now_and_then_stand_side_by_side() {
        let batch = |name: &str, nodes, minutes| v1::BatchOutlook {
            batch: name.into(),
            nodes,
            bytes: nodes << 30,
            present: view(minutes, "the throughput that was measured"),
            other: view(minutes * 2, "the cap of the source"),
        };
        let mut answer = v1::EstimatePlanResponse {
            batches: vec![batch("canary", 1, 10), batch("batch-1", 9, 90)],
            present: view(100, "the throughput that was measured"),
            other: view(200, "the cap of the source"),
            measured: vec!["source: 100.0 MiB/s with 4 nodes at a time, from 37 samples".into()],
            conditions: vec!["source: no cap; at most 4 at a time\u{1b}".into()],
        };
        expect![[r#"
            BATCH    NODES  TO GO     NOW                                                                          THEN
            canary   1      1.0 GiB   P50 10 min, P90 15 min; limited by the throughput that was measured          P50 20 min, P90 30 min; limited by the cap of the source
            batch-1  9      9.0 GiB   P50 1 h 30 min, P90 2 h 15 min; limited by the throughput that was measured  P50 3 h 00 min, P90 4 h 30 min; limited by the cap of the source
            all      10     10.0 GiB  P50 1 h 40 min, P90 2 h 30 min; limited by the throughput that was measured  P50 3 h 20 min, P90 5 h 00 min; limited by the cap of the source

            measured: source: 100.0 MiB/s with 4 nodes at a time, from 37 samples
            now: source: no cap; at most 4 at a time�"#]].assert_eq(&text(&answer));
        answer.other = None;
        answer.present =
            Some(v1::EstimateView { unknown: "no throughput was measured yet".into(), ..Default::default() });
        answer.batches.clear();
        expect![[r#"
            BATCH  NODES  TO GO  NOW
            all    0      0 B    no throughput was measured yet

            measured: source: 100.0 MiB/s with 4 nodes at a time, from 37 samples
            now: source: no cap; at most 4 at a time�"#]]
        .assert_eq(&text(&answer));
    }

    #[test]
    fn conditions_are_asked_as_they_are_given() {
        let of = |words: &[&str]| {
            let words = ["shardlift", "plan", "what-if"].iter().chain(words);
            let crate::cli::Command::Plan(crate::cli::PlanCommand::WhatIf(arguments)) =
                crate::cli::Cli::try_parse_from(words).unwrap().command
            else {
                panic!("another command")
            };
            request(&arguments).unwrap()
        };
        assert_eq!(of(&[]), v1::EstimatePlanRequest::default(), "nothing is supposed");
        let asked =
            of(&["--cap", "50MiB/s", "--windows", "02:00-06:00", "--workers", "3", "--target-cap", "shard-b=none"]);
        assert_eq!(
            (asked.bytes_per_second, asked.windows.as_deref(), asked.workers),
            (Some(50 << 20), Some("02:00-06:00"), 3)
        );
        assert_eq!((asked.target_caps[0].shard.as_str(), asked.target_caps[0].bytes_per_second), ("shard-b", 0));
        let none = of(&["--cap", "none", "--windows", "none"]);
        assert_eq!((none.bytes_per_second, none.windows.as_deref()), (Some(0), Some("")));
    }
}
