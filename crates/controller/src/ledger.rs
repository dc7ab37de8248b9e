//! The store on a thread of its own: its calls block, and the loop must not.
//!
//! One call at a time, in the order in which they were made. When the thread is gone in the middle of a call, the outcome
//! of that call is unknown, and so it is reported. In a simulation the thread is a task.

use crate::journal::Entry;
use shardlift_api::fault::{Fault, FaultKind};
use shardlift_migration::Event;
use shardlift_model::{Generation, NodeId, Term};
use shardlift_store::{Seq, Store, StoreError};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

type Job = Box<dyn FnOnce(&dyn Store) + Send>;

/// A handle on the store's thread. The store is closed when the handle is dropped.
#[derive(Debug)]
pub(crate) struct Ledger {
    jobs: mpsc::Sender<Job>,
    server: Option<Server>,
}

/// What serves the calls.
#[derive(Debug)]
enum Server {
    Thread(std::thread::JoinHandle<()>),
    Task(tokio::task::JoinHandle<()>),
}

#[derive(Debug, thiserror::Error)]
#[error("the store's thread has ended")]
struct ThreadGone;

fn gone() -> StoreError {
    StoreError::Unknown { source: Box::new(ThreadGone) }
}

impl Ledger {
    /// Starts the thread.
    pub(crate) fn start(store: Arc<dyn Store>) -> std::io::Result<Self> {
        let (jobs, mut queue) = mpsc::channel::<Job>(4);
        let server = if shardlift_net::is_simulated() {
            Server::Task(tokio::spawn(async move {
                while let Some(job) = queue.recv().await {
                    job(&*store);
                }
            }))
        } else {
            let serve = move || {
                while let Some(job) = queue.blocking_recv() {
                    job(&*store);
                }
            };
            Server::Thread(std::thread::Builder::new().name("store".to_owned()).spawn(serve)?)
        };
        Ok(Self { jobs, server: Some(server) })
    }

    async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, result) = oneshot::channel();
        let job: Job = Box::new(move |store| {
            // Nobody waits any more: the caller's task was ended together with the process's work.
            let _unheard = answer.send(work(store));
        });
        self.jobs.send(job).await.map_err(|_closed| gone())?;
        result.await.map_err(|_dropped| gone())?
    }

    /// Takes leadership.
    pub(crate) async fn campaign(&self) -> Result<Term, StoreError> {
        self.call(|store| store.campaign()).await
    }

    /// Appends; durable when it returns.
    pub(crate) async fn append(&self, term: Term, after: Seq, records: Vec<Vec<u8>>) -> Result<Seq, StoreError> {
        self.call(move |store| store.append(term, after, &records)).await
    }

    /// Reads on.
    pub(crate) async fn read(&self, after: Seq, limit: usize) -> Result<Vec<(Seq, Vec<u8>)>, StoreError> {
        self.call(move |store| store.read(after, limit)).await
    }

    /// A way to read old records that does not keep the store open.
    pub(crate) fn archive(&self) -> Archive {
        Archive { jobs: self.jobs.downgrade() }
    }

    /// Waits until the store is closed, so that the next process can open it.
    pub(crate) async fn close(mut self) {
        let server = self.server.take();
        drop(self);
        let ended = match server {
            None => return,
            Some(Server::Task(task)) => task.await.is_ok(),
            Some(Server::Thread(thread)) => {
                matches!(tokio::task::spawn_blocking(move || thread.join()).await, Ok(Ok(())))
            }
        };
        if !ended {
            tracing::error!("the store's thread ended badly");
        }
    }
}

/// Reads single records back, for as long as the ledger is there.
#[derive(Debug, Clone)]
pub(crate) struct Archive {
    jobs: mpsc::WeakSender<Job>,
}

impl Archive {
    /// The receipt in a record of the journal.
    pub(crate) async fn receipt(&self, at: Seq, node: &NodeId, generation: Generation) -> Result<String, Fault> {
        let gone = || Fault::new(FaultKind::Unavailable, "the controller is stopping: try again");
        let (answer, result) = oneshot::channel();
        let before = Seq(at.0.saturating_sub(1));
        let job: Job = Box::new(move |store| {
            // Who asked may have gone.
            let _unheard = answer.send(store.read(before, 1));
        });
        let jobs = self.jobs.upgrade().ok_or_else(gone)?;
        jobs.send(job).await.map_err(|_closed| gone())?;
        drop(jobs);
        let records = result.await.map_err(|_dropped| gone())?.map_err(Fault::internal)?;
        let found = records.first().filter(|(seq, _)| *seq == at).map(|(_, record)| Entry::from_record(record));
        match found.transpose().map_err(Fault::internal)?.map(|entry| entry.event) {
            Some(Event::ReceiptIssued { node: of, generation: under, receipt, .. })
                if of == *node && under == generation =>
            {
                Ok(receipt)
            }
            _ => Err(Fault::internal(format!("record {at} of the journal is not the receipt of {node}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shardlift_store::MemoryStore;

    #[tokio::test]
    async fn calls_arrive_in_order_and_a_closed_ledger_lets_go_of_the_store() {
        let store = Arc::new(MemoryStore::new("c1".parse().unwrap()));
        let ledger = Ledger::start(store.clone()).unwrap();
        let term = ledger.campaign().await.unwrap();
        for n in 0..5_u8 {
            let last = ledger.append(term, Seq(n.into()), vec![vec![n]]).await.unwrap();
            assert_eq!(last, Seq(u64::from(n) + 1));
        }
        assert_eq!(ledger.read(Seq(3), 10).await.unwrap(), vec![(Seq(4), vec![3]), (Seq(5), vec![4])]);
        let archive = ledger.archive();
        ledger.close().await;
        assert_eq!(Arc::strong_count(&store), 1);
        let refused = archive.receipt(Seq(4), &"n1".parse().unwrap(), Generation(1)).await.unwrap_err();
        assert_eq!(refused.kind(), FaultKind::Unavailable);
    }

    #[tokio::test]
    async fn a_record_that_is_not_the_receipt_asked_for_is_not_given_out() {
        let store = Arc::new(MemoryStore::new("c1".parse().unwrap()));
        let ledger = Ledger::start(store).unwrap();
        let term = ledger.campaign().await.unwrap();
        let node: NodeId = "n1".parse().unwrap();
        let at = shardlift_model::UnixMillis(1);
        let event = Event::ReceiptIssued { node: node.clone(), generation: Generation(2), receipt: "r".to_owned(), at };
        let receipt = Entry { at, event }.to_record().unwrap();
        let other = Entry { at, event: Event::LeadershipTaken { term } }.to_record().unwrap();
        ledger.append(term, Seq::ZERO, vec![receipt, other, vec![9]]).await.unwrap();
        let archive = ledger.archive();
        assert_eq!(archive.receipt(Seq(1), &node, Generation(2)).await.unwrap(), "r");
        for (place, name, generation) in [(1, "n1", 1), (1, "n2", 2), (2, "n1", 2), (3, "n1", 2), (4, "n1", 2)] {
            let name = name.parse().unwrap();
            let refused = archive.receipt(Seq(place), &name, Generation(generation)).await;
            assert!(refused.is_err(), "{place} {name} {generation}");
        }
        ledger.close().await;
    }
}
