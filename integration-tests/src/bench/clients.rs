//! What clients feel of a move, and what the move gets: 16 clients back up to the source while 20 nodes leave it.
//!
//! In one run, on one cluster: the move without clients, in each round once; then, in each round, clients without the move, both with
//! clients first, clients without the move, both with clients first switched off. Each client runs `restic backup` over and over, and
//! beside it stores one small object after the other, each timed from outside: those are the requests whose p99 is told, over all
//! rounds. A move's throughput is that of its first copy, from the command until every node follows; of several, all bytes by all
//! time. After each move the nodes are taken back and their copies go, so that all moves are of the same bytes and start from nothing.

mod ground;
mod work;

use super::report::ClientsFirst;
use crate::tool;
use anyhow::{Context as _, Result, ensure};
use ground::Ground;
use std::time::Duration;
use work::{AtWork, Felt};

/// How much to measure.
#[derive(Debug, Clone, Copy)]
pub struct ClientsBench {
    /// Clients that back up.
    pub clients: usize,
    /// Nodes that leave, in each move.
    pub nodes: usize,
    /// Size of each of them, in MiB.
    pub mebibytes: u64,
    /// New bytes of each backup, in MiB.
    pub client_mebibytes: usize,
    /// From one backup of a client to its next, in seconds.
    pub backup_seconds: u64,
    /// How long clients are watched without a move before each move, in seconds.
    pub seconds: u64,
    /// How often it is all done.
    pub rounds: usize,
}

/// Objects that each client stores beside its backups.
const OBJECT_PACE: Duration = Duration::from_millis(200);

/// Reasons for a pace that are told one by one.
const TOLD_MAX: usize = 4;

/// Between a change of what goes on and the next measurement.
const CALM: Duration = Duration::from_secs(3);

/// Moves of one kind, and what clients felt meanwhile.
#[derive(Default)]
struct Moved {
    mebibytes: f64,
    seconds: f64,
    felt: Felt,
    /// The reasons for the source's pace that were seen.
    reasons: Vec<String>,
}

impl Moved {
    fn mebibytes_per_second(&self) -> f64 {
        self.mebibytes / self.seconds
    }

    /// One more move, with a name of its own.
    async fn once(
        &mut self,
        ground: &mut Ground,
        bench: &ClientsBench,
        batch: &str,
        at_work: Option<&AtWork>,
    ) -> Result<()> {
        let began_ms = work::now_ms();
        let (took, reasons) = ground.copy(batch).await.with_context(|| format!("the move {batch}"))?;
        let felt = match at_work {
            Some(at_work) => at_work.felt(began_ms, work::now_ms())?,
            None => Felt::default(),
        };
        ground.take_back().await?;
        #[expect(clippy::cast_precision_loss, reason = "a size in MiB is far below 2^52")]
        let mebibytes = (bench.mebibytes * bench.nodes as u64) as f64;
        println!("{batch}: {mebibytes:.0} MiB in {:.1} s, {felt}; {}", took.as_secs_f64(), told(&reasons));
        self.mebibytes += mebibytes;
        self.seconds += took.as_secs_f64();
        self.felt.add(felt);
        self.reasons.extend(reasons);
        Ok(())
    }
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
    ensure!(
        bench.clients > 0 && bench.nodes > 0 && bench.mebibytes > 0 && bench.seconds > 0 && bench.rounds > 0,
        "nothing: {bench:?}"
    );
    let restic = tool("bench", "restic").context("restic is needed: apt-get install restic")?;
    let mut ground = Ground::lay(restic, bench).await?;
    let (mut usual, mut idle) = (Felt::default(), Moved::default());
    let (mut on, mut off) = (Moved::default(), Moved::default());
    for round in 1..=bench.rounds {
        idle.once(&mut ground, bench, &format!("idle-{round}"), None).await?;
    }
    let at_work = AtWork::start(&ground, bench).await?;
    let measured = async {
        for round in 1..=bench.rounds {
            for (switch, moved) in [("on", &mut on), ("off", &mut off)] {
                ground.clients_first(switch).await?;
                usual.add(watched(bench, &at_work).await?);
                moved.once(&mut ground, bench, &format!("{switch}-{round}"), Some(&at_work)).await?;
            }
        }
        Ok::<_, anyhow::Error>(())
    };
    let measured = measured.await;
    let lived = at_work.stop().await;
    measured?;
    lived?;
    let figures = figures(bench, &idle, &usual, &on, &off)?;
    ground.end().await?;
    Ok(figures)
}

fn figures(bench: &ClientsBench, idle: &Moved, usual: &Felt, on: &Moved, off: &Moved) -> Result<ClientsFirst> {
    let usual_p99 = usual.request_ms(99)?;
    let latency = |moved: &Moved| Ok::<_, anyhow::Error>(moved.felt.request_ms(99)? / usual_p99);
    let throughput = |moved: &Moved| moved.mebibytes_per_second() / idle.mebibytes_per_second();
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
        idle_mebibytes_per_second: idle.mebibytes_per_second(),
        on_mebibytes_per_second: on.mebibytes_per_second(),
        off_mebibytes_per_second: off.mebibytes_per_second(),
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
