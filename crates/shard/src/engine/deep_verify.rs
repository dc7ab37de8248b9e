//! Deep verify: all recorded objects of a copy are read again from the disk, in the background and at a pace.
//!
//! What is wanted is in the node's record before the first byte is read, and so is, every now and then, how far it is: a restart goes
//! on from there. At most one run of a node is under way; a higher one takes its place. While a fence holds, a run waits:
//! what it finds may go into the journal. A copy that is put into quarantine or discarded ends it.
//!
//! An object that is stored while a run is past its place is not read: it was hashed when it came.

use super::error::EngineError;
use super::nodes::{NodeCell, lock};
use super::pace::{Pace, SEATS};
use super::record::{Accepted, DeepVerifyId, DeepVerifyRecord, DeepVerifyState, Mode, NAMES_MAX, NodeRecord};
use super::reread::{Finding, ReadAgain, Walk};
use super::writer::Work;
use super::{Engine, now};
use shardlift_api::fault::chain;
use shardlift_model::{NodeId, ObjectRecord, Token};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::SemaphorePermit;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How far it is is recorded after so many objects,
const OBJECTS_BETWEEN: u64 = 500;

/// or after this time.
const TIME_BETWEEN: Duration = Duration::from_secs(5);

/// Between two looks at what a run waits for.
const LOOK: Duration = Duration::from_millis(100);

/// Before an object that could not be read for want of something is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// The pace is measured over so long.
const MEASURE: Duration = Duration::from_secs(2);

/// A run under way.
#[derive(Debug)]
pub(crate) struct Run {
    id: DeepVerifyId,
    progress: Mutex<Progress>,
    end: CancellationToken,
}

#[derive(Debug)]
struct Progress {
    state: DeepVerifyState,
    measured: (Instant, u64),
}

impl Run {
    fn new(record: DeepVerifyRecord) -> Arc<Self> {
        let (id, measured) = (record.id(), (Instant::now(), record.bytes_read));
        let state = DeepVerifyState { record, bytes_per_second: 0, waiting_for: String::new() };
        Arc::new(Self { id, progress: Mutex::new(Progress { state, measured }), end: CancellationToken::new() })
    }

    pub(crate) fn state(&self) -> DeepVerifyState {
        lock(&self.progress).state.clone()
    }

    fn wait(&self, reason: &str) {
        reason.clone_into(&mut lock(&self.progress).state.waiting_for);
    }

    /// Takes in what was read; `None`: an object that is gone.
    fn note(&self, record: &ObjectRecord, read: Option<ReadAgain>) {
        let mut progress = lock(&self.progress);
        let Progress { state, measured } = &mut *progress;
        let run = &mut state.record;
        run.after = Some(record.key);
        let Some(read) = read else { return };
        run.objects_read += 1;
        run.bytes_read += read.bytes;
        match read.finding {
            Finding::Good => {}
            Finding::KnownDamaged => run.known_damaged += 1,
            Finding::Damaged => run.damaged += 1,
            Finding::Missing => run.missing += 1,
        }
        if matches!(read.finding, Finding::Damaged | Finding::Missing) && run.names.len() < NAMES_MAX {
            run.names.push(read.key);
        }
        let elapsed = measured.0.elapsed();
        if elapsed >= MEASURE {
            let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
            state.bytes_per_second = (run.bytes_read - measured.1).saturating_mul(1000) / millis;
            *measured = (Instant::now(), run.bytes_read);
        }
    }
}

/// The edit that begins a run, or finds it begun or a higher one in its place.
fn begin(wanted: DeepVerifyRecord) -> impl FnOnce(&mut NodeRecord) -> Result<(), EngineError> + Send + 'static {
    move |record| {
        check_readable(&record.mode)?;
        if record.deep_verify.as_ref().is_none_or(|present| present.id() < wanted.id()) {
            record.deep_verify = Some(wanted);
        }
        Ok(())
    }
}

/// The files of a copy in these modes are not in their place.
fn check_readable(mode: &Mode) -> Result<(), EngineError> {
    match mode {
        Mode::Discarded | Mode::Quarantined { .. } => {
            Err(EngineError::refused(format!("the node is {} here; its objects cannot be read", mode.word())))
        }
        _ => Ok(()),
    }
}

impl Engine {
    /// Begins to read all objects of a copy again, or leaves it going. The token is durable, and so is the run, when this returns.
    ///
    /// # Errors
    /// As [`Engine::command`]; [`EngineError::Refused`] when the copy is in quarantine or was discarded.
    pub async fn deep_verify(
        self: &Arc<Self>,
        node: &NodeId,
        token: Token,
        run: u64,
        bytes_per_second: u64,
    ) -> Result<Accepted, EngineError> {
        let wanted = DeepVerifyRecord::begun(token, run, bytes_per_second, now());
        let accepted = self.command(node, token, begin(wanted)).await?;
        self.go_on_reading(&self.cell(node)?);
        Ok(accepted)
    }

    /// The same for a command whose token is persisted already.
    pub(crate) async fn deep_verify_under(self: &Arc<Self>, node: &NodeId, token: Token) -> Result<(), EngineError> {
        let wanted = DeepVerifyRecord::begun(token, 0, 0, now());
        self.writer.submit(node, Work::Edit(Box::new(begin(wanted)))).await?;
        self.go_on_reading(&self.cell(node)?);
        Ok(())
    }

    /// This run, or the higher one that took its place, once it has ended.
    pub(crate) fn deep_verified(&self, node: &NodeId, id: DeepVerifyId) -> Option<DeepVerifyRecord> {
        let record = self.nodes.get(node)?.record();
        let run = record.deep_verify.as_ref()?;
        (run.id() >= id && run.ended_at.is_some()).then(|| run.clone())
    }

    /// Goes on with what was begun before a restart. Called once, when the store is open.
    pub(super) fn resume_reading(self: &Arc<Self>) {
        self.nodes.all().iter().for_each(|cell| self.go_on_reading(cell));
    }

    /// Starts what the node's record wants, unless it is under way.
    fn go_on_reading(self: &Arc<Self>, cell: &Arc<NodeCell>) {
        let wanted = cell.record().deep_verify.clone();
        let Some(wanted) = wanted.filter(|wanted| wanted.ended_at.is_none()) else { return };
        let mut slot = lock(&cell.reading);
        if slot.as_ref().is_some_and(|run| run.id >= wanted.id()) {
            return;
        }
        let run = Run::new(wanted);
        if let Some(before) = slot.replace(Arc::clone(&run)) {
            before.end.cancel();
        }
        let reader = Reader { engine: Arc::clone(self), cell: Arc::clone(cell), run };
        self.background.spawn(reader.work());
    }
}

/// Who carries a run out.
struct Reader {
    engine: Arc<Engine>,
    cell: Arc<NodeCell>,
    run: Arc<Run>,
}

impl Reader {
    async fn work(self) {
        let (node, stopped) = (self.cell.id.clone(), self.engine.stopped());
        let read = tokio::select! {
            biased;
            () = self.run.end.cancelled() => return,
            () = stopped.cancelled() => return,
            read = self.read_all() => read,
        };
        let failure = match read {
            Ok(()) => None,
            Err(error) if error.is_refusal() => Some(error.to_string()),
            // The store has stopped; a restart goes on.
            Err(error) => {
                tracing::warn!(%node, error = chain(&error), "reading the own bytes stops");
                return;
            }
        };
        if let Err(error) = self.end(failure).await {
            tracing::warn!(%node, error = chain(&error), "the end of reading the own bytes is not recorded");
        }
    }

    async fn read_all(&self) -> Result<(), EngineError> {
        let begun = self.run.state().record;
        tracing::info!(node = %self.cell.id, token = %begun.token, from = begun.objects_read, "the own bytes are read again");
        let pace = self.engine.readers.pace(&self.cell.id, begun.bytes_per_second);
        let mut walk = Walk::new(&self.engine, &self.cell, begun.after);
        let (mut recorded_at, mut since) = (Instant::now(), 0);
        while let Some(record) = walk.next().await? {
            let read = self.read(&mut walk, &record, &pace).await?;
            self.run.note(&record, read);
            since += 1;
            if since >= OBJECTS_BETWEEN || recorded_at.elapsed() >= TIME_BETWEEN {
                self.record(|_| ()).await?;
                (recorded_at, since) = (Instant::now(), 0);
            }
        }
        Ok(())
    }

    /// Waits until the copy may be read and one of the seats is free.
    async fn turn(&self) -> Result<Option<SemaphorePermit<'_>>, EngineError> {
        while self.cell.gate.is_fenced() {
            self.run.wait("the end of the fence");
            tokio::time::sleep(LOOK).await;
        }
        check_readable(&self.cell.record().mode)?;
        let seat = match self.engine.readers.try_seat() {
            Some(seat) => Some(seat),
            None => {
                self.run.wait(&format!("its turn: {SEATS} copies are read at a time"));
                self.engine.readers.seat().await
            }
        };
        self.run.wait("");
        Ok(seat)
    }

    /// What is short passes by: files to open, memory, rights that an operator has to give back. Others have the seat meanwhile.
    async fn read(
        &self,
        walk: &mut Walk,
        record: &ObjectRecord,
        pace: &Pace<'_>,
    ) -> Result<Option<ReadAgain>, EngineError> {
        loop {
            let seat = self.turn().await?;
            let read = walk.read(record, pace).await;
            drop(seat);
            match read {
                Err(EngineError::Io { source, what, path }) => {
                    tracing::warn!(node = %self.cell.id, what, path = %path.display(), error = %source, "an object cannot be read now");
                    self.run.wait(&format!("{} to be readable: {}", record.key, source.kind()));
                    tokio::time::sleep(RETRY).await;
                }
                read => {
                    let read = read?;
                    let is = |finding| read.is_some_and(|read| read.finding == finding);
                    self.engine.readers.found(is(Finding::Damaged), is(Finding::Missing));
                    return Ok(read);
                }
            }
        }
    }

    /// Persists how far it is, unless another run has taken its place.
    async fn record(&self, change: impl FnOnce(&mut DeepVerifyRecord)) -> Result<(), EngineError> {
        let mut present = self.run.state().record;
        change(&mut present);
        let edit = move |record: &mut NodeRecord| {
            if let Some(kept) = record.deep_verify.as_mut().filter(|kept| kept.id() == present.id()) {
                *kept = present;
            }
            Ok(())
        };
        self.engine.writer.submit(&self.cell.id, Work::Edit(Box::new(edit))).await.map(drop)
    }

    async fn end(&self, failure: Option<String>) -> Result<(), EngineError> {
        let DeepVerifyRecord { token, objects_read, bytes_read, damaged, missing, known_damaged, .. } =
            self.run.state().record;
        tracing::info!(
            node = %self.cell.id, %token, objects_read, bytes_read, damaged, missing, known_damaged, failure,
            "the own bytes were read again"
        );
        let at = now();
        self.record(move |record| {
            record.ended_at = Some(at);
            record.failure = failure;
        })
        .await?;
        // From here on the record tells.
        let mut slot = lock(&self.cell.reading);
        if slot.as_ref().is_some_and(|run| run.id == self.run.id) {
            *slot = None;
        }
        Ok(())
    }
}
