//! The one loop: inputs in, events appended, applied, effects brought in line.
//!
//! A group of inputs is decided against the loop's own world, which runs ahead of the store for the length of one append
//! and is seen by nobody else. Only when the append is acknowledged do the shared world, the answers and the effects
//! follow: nothing is acknowledged and nothing is done before it is durable. When the outcome of an append is not known,
//! the loop ends; a restart reads back what took place.

use crate::backoff::{Backoff, Bounds};
use crate::clock;
use crate::effects::Runner;
use crate::inputs::Request;
use crate::journal::{Entry, EntryError};
use crate::ledger::Ledger;
use crate::metrics::Metrics;
use crate::state::Shared;
use shardlift_migration::{Event, Input, Refusal, World, advance, decide, effects};
use shardlift_model::{Term, UnixMillis};
use shardlift_store::{APPEND_BYTES_MAX, APPEND_RECORDS_MAX, Seq, StoreError};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// How often time itself is an input.
const TICK: Duration = Duration::from_millis(200);

/// Most inputs decided before one append.
const GROUP_MAX: usize = 256;

/// Most rounds of `advance` after one group. A world that needs more never settles: a bug that must not spin.
const ADVANCE_ROUNDS_MAX: usize = 10_000;

/// How long a store that is out of reach is asked again.
const UNAVAILABLE_TRIES_MAX: u32 = 20;

/// Why the loop ended.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The store failed, or somebody else leads.
    #[error("the store did not take an append")]
    Store(#[from] StoreError),
    /// An event that cannot be written.
    #[error("an event cannot be recorded")]
    Entry(#[from] EntryError),
    /// A bug: what was decided may not happen.
    #[error("a decision was not legal: {0}")]
    Illegal(String),
}

/// Answers that wait for an append.
type Answers = Vec<(oneshot::Sender<Result<(), Refusal>>, Result<(), Refusal>)>;

/// The loop's state.
#[derive(Debug)]
pub(crate) struct Runtime {
    /// Ahead of the shared world by at most the group that is being appended.
    world: World,
    ledger: Ledger,
    term: Term,
    last: Seq,
    shared: Arc<Shared>,
    requests: mpsc::Receiver<Request>,
    runner: Runner,
    metrics: Metrics,
}

/// What a loop is made of.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) ledger: Ledger,
    pub(crate) term: Term,
    pub(crate) shared: Arc<Shared>,
    pub(crate) requests: mpsc::Receiver<Request>,
    pub(crate) runner: Runner,
    pub(crate) metrics: Metrics,
}

impl Runtime {
    /// A loop over what was recovered.
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { ledger, term, shared, requests, runner, metrics } = parts;
        let (world, last) = shared.recorded(|recorded| (recorded.world.clone(), recorded.revision));
        Self { world, ledger, term, last, shared, requests, runner, metrics }
    }

    /// Leads until told to stop or until the store fails. The effects end with it, and the store is closed.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) -> Result<(), RuntimeError> {
        let result = self.lead(&shutdown).await;
        let Self { ledger, mut runner, requests, .. } = self;
        // Whoever waits for an answer learns that the loop is gone, before the effects are waited for.
        drop(requests);
        runner.end().await;
        ledger.close().await;
        result
    }

    async fn lead(&mut self, shutdown: &CancellationToken) -> Result<(), RuntimeError> {
        self.decide_group(vec![], &[Input::Lead { term: self.term }]).await?;
        self.reconcile();
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let mut group = Vec::new();
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(()),
                _ = tick.tick() => self.decide_group(group, &[Input::Tick]).await?,
                taken = self.requests.recv_many(&mut group, GROUP_MAX) => {
                    if taken == 0 {
                        return Ok(());
                    }
                    self.decide_group(group, &[]).await?;
                }
            }
        }
    }

    /// Decides inputs in order, then what follows by itself; appends; then answers.
    async fn decide_group(&mut self, group: Vec<Request>, own: &[Input]) -> Result<(), RuntimeError> {
        let now = clock::now();
        let mut events = Vec::new();
        let mut answers: Answers = Vec::with_capacity(group.len());
        for input in own {
            match decide(&self.world, input, now) {
                Ok(decided) => self.take_in(decided, &mut events)?,
                Err(refusal) => return Err(RuntimeError::Illegal(refusal.message)),
            }
        }
        for Request { input, answer } in group {
            self.metrics.inputs.inc();
            match decide(&self.world, &input, now) {
                Ok(decided) => {
                    self.take_in(decided, &mut events)?;
                    answers.push((answer, Ok(())));
                }
                Err(refusal) => {
                    self.metrics.refusals.inc();
                    answers.push((answer, Err(refusal)));
                }
            }
        }
        self.settle(now, &mut events)?;
        self.commit(events, now).await?;
        for (answer, result) in answers {
            // Who asked may have gone; what was decided stands.
            let _unheard = answer.send(result);
        }
        Ok(())
    }

    fn take_in(&mut self, decided: Vec<Event>, events: &mut Vec<Event>) -> Result<(), RuntimeError> {
        for event in decided {
            self.world.legal(&event).map_err(|illegal| RuntimeError::Illegal(illegal.to_string()))?;
            self.world.apply(&event);
            events.push(event);
        }
        Ok(())
    }

    fn settle(&mut self, now: UnixMillis, events: &mut Vec<Event>) -> Result<(), RuntimeError> {
        for _round in 0..ADVANCE_ROUNDS_MAX {
            let following = advance(&self.world, now);
            if following.is_empty() {
                return Ok(());
            }
            self.take_in(following, events)?;
        }
        tracing::error!(rounds = ADVANCE_ROUNDS_MAX, "the world does not settle");
        Ok(())
    }

    /// Makes events durable, then visible, then effective.
    async fn commit(&mut self, events: Vec<Event>, now: UnixMillis) -> Result<(), RuntimeError> {
        if events.is_empty() {
            return Ok(());
        }
        let entries: Vec<Entry> = events.into_iter().map(|event| Entry { at: now, event }).collect();
        let mut first = self.last.next();
        for (taken, records) in pages(&entries)? {
            self.last = self.append(records).await?;
            let (start, end) = taken;
            self.shared.take(first, &entries[start..end]);
            first = self.last.next();
        }
        self.metrics.events.inc_by(entries.len() as u64);
        self.metrics.revision.set(i64::try_from(self.last.0).unwrap_or(i64::MAX));
        for entry in &entries {
            tracing::debug!(at = entry.at.0, event = ?entry.event, "recorded");
        }
        self.reconcile();
        Ok(())
    }

    async fn append(&self, records: Vec<Vec<u8>>) -> Result<Seq, StoreError> {
        let bounds = Bounds { min: Duration::from_millis(50), max: Duration::from_secs(1) };
        let mut backoff = Backoff::new(bounds);
        let mut tries = 0;
        loop {
            let started = std::time::Instant::now();
            let result = self.ledger.append(self.term, self.last, records.clone()).await;
            self.metrics.append_seconds.observe(started.elapsed().as_secs_f64());
            match result {
                // Nothing was done: the same append may be made again.
                Err(error) if error.is_retryable() && tries < UNAVAILABLE_TRIES_MAX => {
                    tries += 1;
                    tracing::warn!(%error, tries, "the store is out of reach");
                    backoff.wait().await;
                }
                other => return other,
            }
        }
    }

    fn reconcile(&mut self) {
        self.shared.observe(|observed| observed.forget_ended(&self.world));
        let derived = effects(&self.world);
        self.metrics.effects.set(i64::try_from(derived.len()).unwrap_or(i64::MAX));
        self.runner.reconcile(derived);
    }
}

/// Records of one append and which entries they are.
type Page = ((usize, usize), Vec<Vec<u8>>);

/// Cuts into appends that a store takes. What one input led to is nearly always in one.
fn pages(entries: &[Entry]) -> Result<Vec<Page>, EntryError> {
    let mut pages: Vec<Page> = Vec::new();
    let mut bytes = 0;
    for (index, entry) in entries.iter().enumerate() {
        let record = entry.to_record()?;
        let fits = pages.last().is_some_and(|(_, records)| records.len() < APPEND_RECORDS_MAX)
            && bytes + record.len() <= APPEND_BYTES_MAX;
        if fits && let Some(((_, end), records)) = pages.last_mut() {
            bytes += record.len();
            *end = index + 1;
            records.push(record);
        } else {
            bytes = record.len();
            pages.push(((index, index + 1), vec![record]));
        }
    }
    Ok(pages)
}
