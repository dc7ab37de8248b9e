//! The task that writes: takes what waits as one group, syncs once, then answers all of it.

use super::pen::Pen;
use super::refusals::{Asker, Refusals};
use shardlift_audit::{Entry, field, what};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// Jobs that may wait.
const QUEUE: usize = 1024;

/// Jobs of one group.
const GROUP_MAX: usize = 512;

/// How long things may wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// No record is longer without a signature.
    pub(super) checkpoint: Duration,
    /// Between looks whether there is room again.
    pub(super) retry: Duration,
    /// In which so many refusals are written down.
    pub(super) refusals: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        let (checkpoint, retry) = (Duration::from_secs(300), Duration::from_secs(1));
        Self { checkpoint, retry, refusals: Duration::from_secs(60) }
    }
}

/// What is to be written, and who waits for it.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) entries: Vec<Entry>,
    /// Set for a refusal: it may be counted in place of being written.
    pub(super) refused: Option<Asker>,
    pub(super) answer: oneshot::Sender<Result<(), String>>,
}

/// What everybody may look at.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Why nothing may be done that would have to be written down.
    full: Mutex<Option<String>>,
    /// The records in memory.
    #[cfg(test)]
    pub(super) kept: Mutex<Vec<shardlift_audit::Record>>,
    /// All fails as on a full disk.
    #[cfg(test)]
    fails: std::sync::atomic::AtomicBool,
}

impl State {
    #[cfg(test)]
    pub(super) fn set_failing(&self, fails: bool) {
        self.fails.store(fails, std::sync::atomic::Ordering::Relaxed);
    }

    #[cfg(test)]
    fn failure(&self) -> std::io::Result<()> {
        match self.fails.load(std::sync::atomic::Ordering::Relaxed) {
            true => Err(std::io::Error::other("no room")),
            false => Ok(()),
        }
    }

    pub(super) fn full(&self) -> Option<String> {
        self.full.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_full(&self, reason: Option<String>) {
        let mut full = self.full.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*full, &reason) {
            (None, Some(reason)) => {
                tracing::error!(reason, "the audit log cannot be written: whatever has to be in it is refused");
            }
            (Some(_), None) => tracing::info!("the audit log can be written again"),
            _ => {}
        }
        *full = reason;
    }
}

/// The task, which owns the pen.
pub(super) struct Writer {
    /// Away while it writes.
    pen: Option<Pen>,
    state: Arc<State>,
    refusals: Refusals,
    unsigned_since: Option<Instant>,
    pace: Pace,
}

impl Writer {
    /// Starts the task; it ends when it is told to or the last sender is gone, with a last checkpoint.
    pub(super) fn start(
        pen: Pen,
        pace: Pace,
        closing: CancellationToken,
    ) -> (mpsc::Sender<Job>, Arc<State>, JoinHandle<()>) {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let state = Arc::new(State::default());
        let refusals = Refusals::new(pace.refusals, Instant::now());
        let writer = Self { pen: Some(pen), state: state.clone(), refusals, unsigned_since: None, pace };
        (jobs, state, tokio::spawn(writer.run(queue, closing)))
    }

    async fn run(mut self, mut queue: mpsc::Receiver<Job>, closing: CancellationToken) {
        // What fails here and below is in the state, which tells of it and refuses what comes.
        let _told = self.with_pen(|_| Ok(())).await;
        loop {
            let mut group = Vec::new();
            let wakes = self.wakes();
            let taken = tokio::select! {
                biased;
                // What waits already is still written.
                () = closing.cancelled(), if !queue.is_closed() => {
                    queue.close();
                    continue;
                }
                taken = queue.recv_many(&mut group, GROUP_MAX) => Some(taken),
                () = sleep_until(wakes.unwrap_or_else(Instant::now)), if wakes.is_some() => None,
            };
            match taken {
                Some(0) => break,
                Some(_) => self.write(group).await,
                None => self.turn().await,
            }
        }
        let rest = self.refusals.rest(Instant::now());
        let ending = self.with_pen(move |pen| {
            if !rest.is_empty() {
                pen.write(counted(&rest))?;
            }
            pen.checkpoint();
            Ok(())
        });
        let _told = ending.await;
    }

    /// When there is something to do even if nobody asks.
    fn wakes(&self) -> Option<Instant> {
        let retry = self.state.full().map(|_| Instant::now() + self.pace.retry);
        let checkpoint = self.unsigned_since.map(|since| since + self.pace.checkpoint);
        // While there is no room, what was counted is counted on.
        let refusals = self.refusals.due().filter(|_| retry.is_none());
        [retry, checkpoint, refusals].into_iter().flatten().min()
    }

    async fn turn(&mut self) {
        let now = Instant::now();
        let counts = if self.state.full().is_some() { Vec::new() } else { self.refusals.turn(now) };
        let is_due = self.is_due(now);
        self.unsigned_since = self.unsigned_since.filter(|_| !is_due);
        let turning = self.with_pen(move |pen| {
            if !counts.is_empty() {
                pen.write(counted(&counts))?;
            }
            if is_due {
                pen.checkpoint();
            }
            Ok(())
        });
        let _told = turning.await;
    }

    fn is_due(&self, now: Instant) -> bool {
        self.unsigned_since.is_some_and(|since| now >= since + self.pace.checkpoint)
    }

    async fn write(&mut self, group: Vec<Job>) {
        let now = Instant::now();
        let is_full = self.state.full().is_some();
        let counts = if is_full { Vec::new() } else { self.refusals.turn(now) };
        let is_due = self.is_due(now);
        self.unsigned_since = self.unsigned_since.filter(|_| !is_due);
        let mut entries = counted(&counts);
        let mut waiting = Vec::with_capacity(group.len());
        for job in group {
            let is_written = job.refused.is_none_or(|asker| self.refusals.take(asker, !is_full));
            if is_written {
                entries.extend(job.entries);
            }
            waiting.push(job.answer);
        }
        let written = self.with_pen(move |pen| {
            if !entries.is_empty() {
                pen.write(entries)?;
            }
            if is_due {
                pen.checkpoint();
            }
            Ok(())
        });
        let written = written.await;
        for answer in waiting {
            // Who asked may have gone; what was written stands.
            let _unheard = answer.send(written.clone());
        }
    }

    /// Works on a thread that may block. What came of it, and whether more may be asked for.
    async fn with_pen(
        &mut self,
        work: impl FnOnce(&mut Pen) -> std::io::Result<()> + Send + 'static,
    ) -> Result<(), String> {
        let Some(mut pen) = self.pen.take() else { return Err("its writer has ended badly".to_owned()) };
        #[cfg(test)]
        let state = self.state.clone();
        let worked = shardlift_net::spawn_blocking(move || {
            #[cfg(test)]
            if let Err(error) = state.failure() {
                return (pen, Err(error), Ok(()));
            }
            let done = work(&mut pen);
            // What was written stands, whether or not there is room for more.
            let room = pen.reserve();
            (pen, done, room)
        });
        let Ok((pen, done, room)) = worked.await else {
            self.state.set_full(Some("its writer has ended badly: start the controller again".to_owned()));
            return Err("its writer has ended badly".to_owned());
        };
        self.unsigned_since = (pen.unsigned > 0).then(|| self.unsigned_since.unwrap_or_else(Instant::now));
        #[cfg(test)]
        {
            *self.state.kept.lock().unwrap_or_else(PoisonError::into_inner) = pen.kept();
        }
        self.pen = Some(pen);
        let full = done.as_ref().err().or(room.as_ref().err()).map(ToString::to_string);
        self.state.set_full(full);
        done.map_err(|error| error.to_string())
    }
}

fn counted(counts: &[(Asker, u64)]) -> Vec<Entry> {
    let entry = |(asker, count): &(Asker, u64)| {
        Entry::new(asker.as_str(), what::MORE_REFUSED, "", "refused").number(field::COUNT, *count)
    };
    counts.iter().map(entry).collect()
}
