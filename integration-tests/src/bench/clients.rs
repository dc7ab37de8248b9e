//! What clients feel of a move, and what the move gets: 16 clients back up to the source while 20 nodes leave it.
//!
//! In one run, on one cluster: the move without clients; clients without the move; both, clients first; clients without the move
//! once more; both, with clients first switched off. Each client runs `restic backup` over and over, and beside it stores one small
//! object after the other, each timed from outside: those are the requests whose p99 is told. A move's throughput is that of its
//! first copy, from the command until every node follows. Each move takes nodes of its own, so all start from nothing.

mod ground;
mod work;

use super::report::ClientsFirst;
use crate::tool;
use anyhow::{Context as _, Result, ensure};
use ground::Ground;
use std::time::{Duration, Instant};
use work::{AtWork, Felt};

/// How much to measure.
#[derive(Debug, Clone, Copy)]
pub struct ClientsBench {
    /// Clients that back up.
    pub clients: usize,
    /// Nodes that leave, in each of three moves.
    pub nodes: usize,
    /// Size of each of them, in MiB.
    pub mebibytes: u64,
    /// New bytes of each backup, in MiB.
    pub client_mebibytes: usize,
    /// From one backup of a client to its next, in seconds.
    pub backup_seconds: u64,
    /// How long clients are watched without a move, twice, in seconds.
    pub seconds: u64,
}

/// Objects that each client stores beside its backups.
const OBJECT_PACE: Duration = Duration::from_millis(200);

/// Reasons for a pace that are told one by one.
const TOLD_MAX: usize = 4;

/// Between a change of what goes on and the next measurement.
const CALM: Duration = Duration::from_secs(3);

/// A move, and what clients felt meanwhile.
struct Moved {
    mebibytes_per_second: f64,
    felt: Felt,
    /// The reasons for the source's pace that were seen, by their first words.
    reasons: Vec<String>,
}

async fn moved(ground: &Ground, bench: &ClientsBench, batch: &str, at_work: Option<&AtWork>) -> Result<Moved> {
    let began_ms = work::now_ms();
    let began = Instant::now();
    let reasons = ground.copy(batch).await.with_context(|| format!("the move {batch}"))?;
    let seconds = began.elapsed().as_secs_f64();
    let ended_ms = work::now_ms();
    let felt = match at_work {
        Some(at_work) => at_work.felt(began_ms, ended_ms)?,
        None => Felt::default(),
    };
    ground.verified(batch).await?;
    #[expect(clippy::cast_precision_loss, reason = "a size in MiB is far below 2^52")]
    let mebibytes = (bench.mebibytes * bench.nodes as u64) as f64;
    println!("{batch}: {mebibytes:.0} MiB in {seconds:.1} s, {felt}; {}", told(&reasons));
    Ok(Moved { mebibytes_per_second: mebibytes / seconds, felt, reasons })
}

/// The first and the last of many.
fn told(reasons: &[String]) -> String {
    match reasons {
        [first @ .., last] if first.len() > TOLD_MAX => {
            format!("{}; and {} more; {last}", first[..TOLD_MAX].join("; "), first.len() - TOLD_MAX)
        }
        few => few.join("; "),
    }
}

async fn watched(bench: &ClientsBench, at_work: &AtWork) -> Result<Felt> {
    tokio::time::sleep(CALM).await;
    let began_ms = work::now_ms();
    tokio::time::sleep(Duration::from_secs(bench.seconds)).await;
    let felt = at_work.felt(began_ms, work::now_ms())?;
    println!("no move: {felt}");
    Ok(felt)
}

/// Measures all of it on one cluster.
///
/// # Errors
/// When a part does not start, a client fails or a move does not get on.
pub async fn clients(bench: &ClientsBench) -> Result<ClientsFirst> {
    ensure!(bench.clients > 0 && bench.nodes > 0 && bench.mebibytes > 0 && bench.seconds > 0, "nothing: {bench:?}");
    let restic = tool("bench", "restic").context("restic is needed: apt-get install restic")?;
    let ground = Ground::lay(restic, bench).await?;
    let idle = moved(&ground, bench, "idle", None).await?;
    let at_work = AtWork::start(&ground, bench).await?;
    let measured = async {
        let mut usual = watched(bench, &at_work).await?;
        let on = moved(&ground, bench, "on", Some(&at_work)).await?;
        usual.add(watched(bench, &at_work).await?);
        ground.clients_first("off").await?;
        let off = moved(&ground, bench, "off", Some(&at_work)).await?;
        Ok::<_, anyhow::Error>((usual, on, off))
    };
    let measured = measured.await;
    let lived = at_work.stop().await;
    let (usual, on, off) = measured?;
    lived?;
    let figures = figures(bench, &idle, &usual, &on, &off)?;
    ground.end().await?;
    Ok(figures)
}

fn figures(bench: &ClientsBench, idle: &Moved, usual: &Felt, on: &Moved, off: &Moved) -> Result<ClientsFirst> {
    let usual_p99 = usual.request_ms(99)?;
    let latency = |moved: &Moved| Ok::<_, anyhow::Error>(moved.felt.request_ms(99)? / usual_p99);
    let throughput = |moved: &Moved| moved.mebibytes_per_second / idle.mebibytes_per_second;
    let (latency_on, latency_off) = (latency(on)?, latency(off)?);
    let mut reasons = on.reasons.clone();
    reasons.truncate(20);
    Ok(ClientsFirst {
        bench: "clients".to_owned(),
        clients: bench.clients,
        nodes: bench.nodes,
        mebibytes: bench.mebibytes,
        requests: usual.requests() + on.felt.requests() + off.felt.requests(),
        usual_p50_ms: usual.request_ms(50)?,
        usual_p99_ms: usual_p99,
        on_p50_ms: on.felt.request_ms(50)?,
        on_p99_ms: on.felt.request_ms(99)?,
        off_p50_ms: off.felt.request_ms(50)?,
        off_p99_ms: off.felt.request_ms(99)?,
        usual_backup_s: usual.backup_s(),
        on_backup_s: on.felt.backup_s(),
        off_backup_s: off.felt.backup_s(),
        idle_mebibytes_per_second: idle.mebibytes_per_second,
        on_mebibytes_per_second: on.mebibytes_per_second,
        off_mebibytes_per_second: off.mebibytes_per_second,
        latency_on,
        latency_off,
        throughput_on: throughput(on),
        throughput_off: throughput(off),
        reasons,
        latency_met: latency_on <= ClientsFirst::LATENCY_GOAL,
        throughput_met: throughput(on) >= ClientsFirst::THROUGHPUT_GOAL,
        off_is_worse: latency_off > latency_on,
    })
}
