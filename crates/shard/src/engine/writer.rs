//! The one thread that writes the index.
//!
//! It takes jobs from a bounded channel, puts all that wait into one transaction and answers them after the commit is
//! durable (group commit: many clients, few fsyncs). All changes of a node pass here in one order, so a node's mode and its
//! journal cannot disagree: once a seal is committed, no mutation of a client comes after it.
//!
//! In a simulation the thread is a task, so that its turn is the simulation's to choose.
//!
//! A commit that fails ends the thread: nothing is retried, nothing more is acknowledged (INV-11).

use super::apply::Transaction;
use super::error::EngineError;
use super::nodes::Nodes;
use super::record::{Accepted, Mode, NodeRecord, SeenCertificate, SessionRecord};
use super::tables::Op;
use crate::witness::Mutation;
use redb::{Database, Durability};
use shardlift_model::{NodeId, ObjectKey, Sha256, Token, UnixMillis};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// Jobs that may wait; whoever comes later waits for a place.
const QUEUE_MAX: usize = 1024;

/// Jobs in one transaction.
const GROUP_MAX: usize = 512;

/// Changes a record; on an error the record stays as it was.
pub(crate) type Edit = Box<dyn FnOnce(&mut NodeRecord) -> Result<(), EngineError> + Send>;

/// Who asks for a mutation; decides in which modes it is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A client: only while serving.
    Client,
    /// The pull from the source: only while incoming.
    Replica,
    /// What the disk holds, found by reading it: only while serving. A sealed node's state was named already, and an
    /// incoming copy's damage is its own to fetch again.
    Reconcile,
}

pub(crate) enum Work {
    /// Makes the node if it is unknown.
    Create(Mode),
    /// Index and journal, and with `applied` how far the source's journal is here then.
    Record {
        origin: Origin,
        at: UnixMillis,
        ops: Vec<Op>,
        applied: Option<u64>,
    },
    /// As found at start: each with its own time.
    Adopt(Vec<(Op, UnixMillis)>),
    /// Without a token.
    Edit(Edit),
    /// Token and record in one; makes the node in this mode if it is unknown.
    Command {
        token: Token,
        create: Option<Mode>,
        edit: Edit,
    },
    /// These files are off the disk.
    Unlinked(Vec<(ObjectKey, u64)>),
    /// When the source of an incoming copy stored its newest snapshot and its locks.
    Times {
        last_snapshot: Option<UnixMillis>,
        locks: Vec<(Sha256, UnixMillis)>,
    },
    Sessions(Vec<SessionRecord>),
    Certificates(Vec<SeenCertificate>),
    /// As encoded; in place of what was there.
    Activity(Vec<u8>),
    /// Drops objects and journal of a discarded copy.
    Forget,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Done {
    /// True: it was made.
    Created(bool),
    /// For each operation its seq, `None` when it changed nothing.
    Recorded(Vec<Option<u64>>),
    Accepted(Accepted),
    Nothing,
}

pub(crate) struct Job {
    pub(crate) node: NodeId,
    pub(crate) work: Work,
    reply: oneshot::Sender<Result<Done, EngineError>>,
}

enum Message {
    Job(Box<Job>),
    Stop,
}

/// The way to the writer thread.
#[derive(Debug)]
pub(crate) struct Writer {
    queue: mpsc::Sender<Message>,
    server: std::sync::Mutex<Option<Server>>,
}

/// Who takes the jobs.
#[derive(Debug)]
enum Server {
    Thread(std::thread::JoinHandle<()>),
    Task(tokio::task::JoinHandle<()>, Arc<Thread>),
}

impl Writer {
    pub(crate) fn start(
        db: Arc<Database>,
        nodes: Arc<Nodes>,
        window: Duration,
        stopped: CancellationToken,
    ) -> Result<Self, EngineError> {
        let (queue, jobs) = mpsc::channel(QUEUE_MAX);
        let thread = Thread { db, nodes, window };
        let server = if shardlift_net::is_simulated() {
            let thread = Arc::new(thread);
            Server::Task(tokio::spawn(Arc::clone(&thread).run_as_task(jobs, stopped)), thread)
        } else {
            let run = move || {
                thread.run(jobs);
                stopped.cancel();
            };
            let spawned = std::thread::Builder::new().name("shard-index".to_owned()).spawn(run);
            Server::Thread(spawned.map_err(EngineError::io("start the thread of", "index"))?)
        };
        Ok(Self { queue, server: std::sync::Mutex::new(Some(server)) })
    }

    /// Durable when it returns.
    pub(crate) async fn submit(&self, node: &NodeId, work: Work) -> Result<Done, EngineError> {
        let (reply, answer) = oneshot::channel();
        let job = Message::Job(Box::new(Job { node: node.clone(), work, reply }));
        self.queue.send(job).await.map_err(|_| EngineError::Stopped)?;
        answer.await.map_err(|_| EngineError::Stopped)?
    }

    /// Without waiting for the outcome; done after everything submitted before.
    pub(crate) async fn notify(&self, node: &NodeId, work: Work) -> Result<(), EngineError> {
        let (reply, _) = oneshot::channel();
        let job = Message::Job(Box::new(Job { node: node.clone(), work, reply }));
        self.queue.send(job).await.map_err(|_| EngineError::Stopped)
    }

    /// As [`Self::submit`], from a thread that may block.
    pub(crate) fn submit_blocking(&self, node: &NodeId, work: Work) -> Result<Done, EngineError> {
        let (reply, mut answer) = oneshot::channel();
        let job = Box::new(Job { node: node.clone(), work, reply });
        if let Some(Server::Task(_, thread)) = &*super::nodes::lock(&self.server) {
            // Nobody else has a turn before this is done.
            thread.write(vec![*job])?;
            answer.try_recv().map_err(|_| EngineError::Stopped)?
        } else {
            self.queue.blocking_send(Message::Job(job)).map_err(|_| EngineError::Stopped)?;
            answer.blocking_recv().map_err(|_| EngineError::Stopped)?
        }
    }

    /// Lets the thread finish what it was given, then ends it.
    pub(crate) async fn stop(&self) {
        // An error says that the thread has ended already.
        let _ = self.queue.send(Message::Stop).await;
        let server = super::nodes::lock(&self.server).take();
        let joined = match server {
            None => return,
            Some(Server::Task(task, _)) => task.await.is_ok(),
            Some(Server::Thread(thread)) => {
                tokio::task::spawn_blocking(move || thread.join().is_ok()).await.unwrap_or(false)
            }
        };
        if !joined {
            tracing::error!("the index's thread ended in a panic");
        }
    }
}

#[derive(Debug)]
struct Thread {
    db: Arc<Database>,
    nodes: Arc<Nodes>,
    window: Duration,
}

impl Thread {
    fn run(&self, mut jobs: mpsc::Receiver<Message>) {
        while let Some(Message::Job(first)) = jobs.blocking_recv() {
            if !self.window.is_zero() {
                std::thread::sleep(self.window);
            }
            if !self.write_all_that_wait(*first, &mut jobs) {
                return;
            }
        }
    }

    async fn run_as_task(self: Arc<Self>, mut jobs: mpsc::Receiver<Message>, stopped: CancellationToken) {
        while let Some(Message::Job(first)) = jobs.recv().await {
            if !self.write_all_that_wait(*first, &mut jobs) {
                break;
            }
        }
        stopped.cancel();
    }

    /// One transaction; false when it was the last.
    fn write_all_that_wait(&self, first: Job, jobs: &mut mpsc::Receiver<Message>) -> bool {
        let mut group = vec![first];
        let mut stop = false;
        while group.len() < GROUP_MAX && !stop {
            match jobs.try_recv() {
                Ok(Message::Job(job)) => group.push(*job),
                Ok(Message::Stop) => stop = true,
                Err(_) => break,
            }
        }
        self.write(group).is_ok() && !stop
    }

    fn write(&self, group: Vec<Job>) -> Result<(), EngineError> {
        let mut replies = Vec::with_capacity(group.len());
        match self.commit(group, &mut replies) {
            Ok(()) => {
                for (reply, result) in replies {
                    // Whoever asked may be gone; the change stands.
                    let _ = reply.send(result);
                }
                Ok(())
            }
            Err(error) => {
                tracing::error!(error = %shardlift_api::fault::chain(&error), "the index failed; no more changes are taken");
                Err(error)
            }
        }
    }

    fn commit(&self, group: Vec<Job>, replies: &mut Vec<Reply>) -> Result<(), EngineError> {
        let mut write = self.db.begin_write().map_err(EngineError::index)?;
        write.set_durability(Durability::Immediate).map_err(EngineError::index)?;
        let published = {
            let mut transaction = Transaction::open(&write)?;
            for Job { node, work, reply } in group {
                let result = transaction.apply(&node, work)?;
                replies.push((reply, result));
            }
            transaction.finish()?
        };
        write.commit().map_err(EngineError::index)?;
        // INV-11: durable from here on; only now may anybody see it.
        published.mutations.iter().for_each(Mutation::say);
        for (node, record) in published.records {
            self.nodes.publish(&node, record);
        }
        for change in published.certificates {
            let Some(cell) = self.nodes.get(&change.node) else { continue };
            let mut known = super::nodes::lock(&cell.certificates);
            match change.seen {
                Some(seen) => known.insert((change.issuer, change.serial), seen),
                None => known.remove(&(change.issuer, change.serial)),
            };
        }
        Ok(())
    }
}

type Reply = (oneshot::Sender<Result<Done, EngineError>>, Result<Done, EngineError>);
