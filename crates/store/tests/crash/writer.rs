//! A process that writes to a store and says on a pipe what was acknowledged, and the side that starts and ends it.

use shardlift_model::Term;
use shardlift_store::{Seq, SledStore, Store, StoreError};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The variable that makes this binary a writer: `<kind>:<folder>`.
pub(crate) const JOB: &str = "SHARDLIFT_STORE_WRITER_JOB";

/// Records in a large batch: several megabytes, so that it spans segments of the database's log.
pub(crate) const BATCH: u64 = 2000;

/// What a writer does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Job {
    /// Opens once and appends until it is ended.
    Append,
    /// The same, [`BATCH`] records at a time.
    AppendBatches,
    /// As `Append` without syncing.
    AppendUnsynced,
    /// Opens, appends a little, closes, and again.
    OpenAndClose,
    /// Appends until the disk is full.
    Fill,
}

/// The record that belongs at a place: any change, loss, swap or repetition shows.
pub(crate) fn record(seq: Seq) -> Vec<u8> {
    let length = if seq.0.is_multiple_of(61) { 90_000 } else { seq.0 * 7919 % 900 };
    (0..length).map(|n| (n.wrapping_mul(31) ^ seq.0.wrapping_mul(17) ^ (n >> 7)).to_le_bytes()[0]).collect()
}

/// Opens a store and holds it against what was acknowledged. Returns its last record.
pub(crate) fn check(dir: &Path, acknowledged: &Progress) -> Result<Seq, String> {
    let store = open_when_free(dir, SledStore::open).map_err(|error| format!("does not open: {error:?}"))?;
    let last = store.last().map_err(|error| error.to_string())?;
    let term = store.term().map_err(|error| error.to_string())?;
    if last < acknowledged.last || term < acknowledged.term {
        return Err(format!("ends at {last} of term {term}, acknowledged was {acknowledged:?}"));
    }
    let mut after = Seq(0);
    while after < last {
        let page = store.read(after, 10_000).map_err(|error| format!("cannot be read: {error:?}"))?;
        for (seq, found) in page {
            if seq != after.next() || found != record(seq) {
                return Err(format!("record {seq} is wrong"));
            }
            after = seq;
        }
    }
    Ok(last)
}

/// A writer's job, until it is ended or cannot go on.
pub(crate) fn run(job: &str) {
    let (kind, dir) = job.split_once(':').unwrap();
    let dir = Path::new(dir);
    match kind {
        "Append" => append(&open(dir, false), append_some),
        "AppendBatches" => append(&open(dir, false), append_batch),
        "AppendUnsynced" => append(&open(dir, true), append_some),
        "OpenAndClose" => loop {
            let store = open(dir, false);
            let term = lead(&store);
            for _ in 0..3 {
                say("ack", append_some(&store, term).unwrap().0);
            }
        },
        "Fill" => fill(&open(dir, false)),
        other => panic!("unknown job {other}"),
    }
    std::process::exit(0);
}

/// A line to the parent. Written past the test harness, which would keep it; a parent that is gone ends the writer.
fn say(word: &str, number: u64) {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(format!("\n{word} {number}\n").as_bytes()).unwrap();
    stdout.flush().unwrap();
}

/// Opens a store whose lock may be held for a moment longer: a process that another test is just starting has a copy of
/// every open file of this one until it becomes another program.
fn open_when_free(dir: &Path, open: fn(&Path) -> Result<SledStore, StoreError>) -> Result<SledStore, StoreError> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        match open(dir) {
            Err(error) if error.is_retryable() && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(5));
            }
            outcome => return outcome,
        }
    }
}

fn open(dir: &Path, unsynced: bool) -> SledStore {
    say("opening", 0);
    let how = if unsynced { shardlift_store::unprotected::open_without_sync } else { SledStore::open };
    let store = open_when_free(dir, how).unwrap();
    say("open", 0);
    store
}

fn lead(store: &SledStore) -> Term {
    let term = store.campaign().unwrap();
    say("term", term.0);
    term
}

fn append_some(store: &SledStore, term: Term) -> Result<Seq, StoreError> {
    let last = store.last()?;
    let records: Vec<_> = (1..=1 + last.0 % 4).map(|n| record(Seq(last.0 + n))).collect();
    store.append(term, last, &records)
}

fn append_batch(store: &SledStore, term: Term) -> Result<Seq, StoreError> {
    let last = store.last()?;
    let records: Vec<_> = (1..=BATCH).map(|n| record(Seq(last.0 + n))).collect();
    say("batch", last.0);
    store.append(term, last, &records)
}

fn append(store: &SledStore, write: fn(&SledStore, Term) -> Result<Seq, StoreError>) {
    let term = lead(store);
    while let Ok(seq) = write(store, term) {
        say("ack", seq.0);
    }
}

fn fill(store: &SledStore) {
    let term = lead(store);
    let error = loop {
        match append_some(store, term) {
            Ok(seq) => say("ack", seq.0),
            Err(error) => break error,
        }
    };
    assert!(error.is_unknown(), "{error:?}");
    assert!(matches!(append_some(store, term), Err(StoreError::Poisoned)));
    assert!(matches!(store.campaign(), Err(StoreError::Poisoned)));
    say("full", 0);
}

/// What a writer has said so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    pub(crate) last: Seq,
    pub(crate) term: Term,
    pub(crate) acknowledgements: u64,
    pub(crate) opening: bool,
    pub(crate) openings: u64,
    /// Large batches begun.
    pub(crate) batches: u64,
    pub(crate) full: bool,
    /// What it wrote to its error output, once it has ended.
    pub(crate) complaint: String,
    /// It says no more.
    pub(crate) ended: bool,
}

impl Progress {
    fn hear(&mut self, line: &str) {
        let Some((word, number)) = line.split_once(' ') else { return };
        let Ok(number) = number.parse() else { return };
        match word {
            "opening" => (self.opening, self.openings) = (true, self.openings + 1),
            "open" => self.opening = false,
            "batch" => self.batches += 1,
            "term" => self.term = Term(number),
            "ack" => (self.last, self.acknowledgements) = (Seq(number), self.acknowledgements + 1),
            "full" => self.full = true,
            _ => {}
        }
    }
}

/// A running writer; ended when dropped.
pub(crate) struct Writer {
    child: Child,
    heard: Arc<(Mutex<Progress>, Condvar)>,
    listener: Option<JoinHandle<()>>,
}

impl Writer {
    pub(crate) fn start(job: Job, dir: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "the_writer", "--nocapture", "--test-threads=1"])
            .env(JOB, format!("{job:?}:{}", dir.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let heard = Arc::new((Mutex::new(Progress::default()), Condvar::new()));
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let shared = Arc::clone(&heard);
        // What it complains of is short: it ends with the first complaint.
        let complaints = std::thread::spawn(move || std::io::read_to_string(stderr).unwrap_or_default());
        let listener = std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines() {
                let Ok(line) = line else { break };
                shared.0.lock().unwrap().hear(&line);
                shared.1.notify_all();
            }
            let complaint = complaints.join().unwrap();
            let mut progress = shared.0.lock().unwrap();
            (progress.complaint, progress.ended) = (complaint, true);
            drop(progress);
            shared.1.notify_all();
        });
        Self { child, heard, listener: Some(listener) }
    }

    /// Waits until the writer has come that far, at most a minute.
    pub(crate) fn wait_until(&self, reached: impl Fn(&Progress) -> bool) -> Progress {
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut progress = self.heard.0.lock().unwrap();
        while !reached(&progress) {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero() && !progress.ended, "the writer did not get there: {progress:?}");
            progress = self.heard.1.wait_timeout(progress, left).unwrap().0;
        }
        progress.clone()
    }

    /// Kills the writer and returns all that it had said by then.
    pub(crate) fn kill(mut self) -> Progress {
        self.end();
        self.heard.0.lock().unwrap().clone()
    }

    fn end(&mut self) {
        // SIGKILL; an error means that it has ended by itself, which `wait` then reports.
        let _ = self.child.kill();
        self.child.wait().unwrap();
        if let Some(listener) = self.listener.take() {
            listener.join().unwrap();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.end();
    }
}
