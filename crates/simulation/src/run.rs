//! One run: its hosts, and what came of it.

use crate::cluster::Shared;
use crate::faults::{Planned, plan};
use crate::ground::{CONTROLLERS, Ground, NODES, ROUTER, SHARDS};
use crate::machine::Virtual;
use crate::mutant::Mutant;
use crate::story::Line;
use crate::tally::Sort;
use crate::witness::Listener;
use crate::world::World;
use crate::{client, operator, parts};
use anyhow::Result;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tracing_subscriber::filter::{EnvFilter, filter_fn};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use turmoil::Sim;

/// How much virtual time passes before the next host has its turn. Also what a message takes at least.
const TICK: Duration = Duration::from_millis(10);

/// What a message takes from host to host.
const LATENCY: Duration = Duration::from_millis(2);

/// Segments on their way in one direction of a connection.
const SEGMENTS_MAX: usize = 4096;

/// No run takes longer, in virtual time.
const TIME_MAX: Duration = Duration::from_secs(900);

/// What came of a run.
#[derive(Debug)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// What should not have happened.
    pub violations: Vec<String>,
    /// Hash of the story.
    pub trace: String,
    /// The story.
    pub lines: Vec<Line>,
    /// How often what really happened.
    pub counts: BTreeMap<Sort, u64>,
    /// Virtual time that passed.
    pub lasted: Duration,
}

/// Runs a seed from beginning to end.
///
/// # Errors
/// When the machine itself fails: files, certificates.
pub fn run(seed: u64) -> Result<Report> {
    run_with(seed, plan(seed), None, None)
}

/// Runs a seed with something broken and nothing else that goes wrong.
///
/// # Errors
/// As [`run`].
pub fn run_mutant(seed: u64, mutant: Mutant) -> Result<Report> {
    run_with(seed, mutant.plan(seed), Some(mutant), None)
}

/// As [`run`] or [`run_mutant`], with what the parts log on stdout.
///
/// # Errors
/// As [`run`].
pub fn replay(seed: u64, mutant: Option<Mutant>, log: Option<EnvFilter>) -> Result<Report> {
    let planned = mutant.map_or_else(|| plan(seed), |mutant| mutant.plan(seed));
    run_with(seed, planned, mutant, log)
}

fn run_with(seed: u64, ahead: Vec<Planned>, mutant: Option<Mutant>, log: Option<EnvFilter>) -> Result<Report> {
    let ground = Ground::here()?;
    let shared = Arc::new(Shared::new(mutant)?);
    let story = shared.story.clone();
    let disks = shared.disks.iter().map(|(host, disk)| (shared.folders.of(host), disk.clone())).collect();
    let machine = Virtual::new(seed, ground.epoch, disks);
    let _installed = shardlift_net::install(machine.clone());
    let listener = Listener {
        machine: machine.clone(),
        witness: shared.witness.clone(),
        tally: shared.tally.clone(),
        story: story.clone(),
    };
    let heard = listener.with_filter(filter_fn(|metadata| Listener::listens_to(metadata.target())));
    let written = log.map(|filter| tracing_subscriber::fmt::layer().without_time().with_filter(filter));
    let _listening = tracing::subscriber::set_default(tracing_subscriber::registry().with(heard).with(written));
    let panics = panics();
    let sim = hosts(&ground, &shared, &machine, seed);
    let mut world = World::new(sim, shared.clone(), machine, ahead, seed);
    world.go();
    let lasted = world.elapsed();
    // What the parts would tidy up on their way out belongs to nobody's story.
    shared.disks.values().for_each(|disk| disk.power_off());
    drop(world);
    shared.count_store();
    for _panic in panics..self::panics() {
        story.violate("-", "a panic");
    }
    let (violations, trace, lines) = (story.violations(), story.trace(), story.lines());
    Ok(Report { seed, violations, trace, lines, counts: shared.tally.counts(), lasted })
}

thread_local! {
    static PANICS: Cell<u64> = const { Cell::new(0) };
}

/// Panics of this thread so far, caught or not.
fn panics() -> u64 {
    static HOOK: std::sync::Once = std::sync::Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            PANICS.set(PANICS.get() + 1);
            before(info);
        }));
    });
    PANICS.get()
}

/// A part that ends says why and leaves its host dark.
async fn told(
    (shared, machine): (Arc<Shared>, Arc<Virtual>),
    name: &'static str,
    part: impl Future<Output = Result<()>>,
) -> turmoil::Result {
    let story = &shared.story;
    machine.is_host(name);
    story.tell(name, "starts");
    match part.await {
        Ok(()) => story.tell(name, "ended"),
        Err(error) => story.tell(name, format_args!("ended: {error:#}")),
    }
    Ok(())
}

fn hosts<'a>(ground: &Rc<Ground>, shared: &Arc<Shared>, machine: &Arc<Virtual>, seed: u64) -> Sim<'a> {
    let mut sim = turmoil::Builder::new()
        .tick_duration(TICK)
        .simulation_duration(TIME_MAX)
        .min_message_latency(LATENCY)
        .max_message_latency(LATENCY)
        .tcp_capacity(SEGMENTS_MAX)
        .rng_seed(seed)
        .build();
    for name in SHARDS {
        let (ground, here) = (ground.clone(), (shared.clone(), machine.clone()));
        sim.host(name, move || told(here.clone(), name, parts::shard(ground.clone(), here.0.clone(), name)));
    }
    for name in CONTROLLERS {
        let (ground, here) = (ground.clone(), (shared.clone(), machine.clone()));
        sim.host(name, move || told(here.clone(), name, parts::controller(ground.clone(), here.0.clone(), name)));
    }
    let (ground_, here) = (ground.clone(), (shared.clone(), machine.clone()));
    sim.host(ROUTER, move || told(here.clone(), ROUTER, parts::router(ground_.clone(), here.0.clone())));
    for (number, (node, host)) in NODES.into_iter().enumerate() {
        let own = seed.wrapping_mul(31).wrapping_add(number as u64);
        let client = client::run(ground.clone(), shared.clone(), (node, host), own);
        let machine = machine.clone();
        sim.client(host, async move {
            machine.is_host(host);
            Ok(client.await?)
        });
    }
    let operator = operator::run(ground.clone(), shared.clone());
    sim.client("operator", async move { Ok(operator.await?) });
    sim
}
