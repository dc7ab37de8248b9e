//! What all hosts of one run share with the one who watches over them: the store, the folders, the story, and how far it all is.

use crate::ground::{CLUSTER, CONTROLLERS, Folders, NODES, SHARDS};
use crate::mutant::Mutant;
use crate::story::Story;
use anyhow::Result;
use shardlift_store::MemoryStore;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// What a shard may hold, in bytes, while its disk is not full.
pub const CAPACITY_BYTES: u64 = 1 << 30;

/// How far a run is. Only goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Phase {
    /// Parts come up, nodes enrol.
    Setup = 0,
    /// Batches are started and things go wrong.
    Moving = 1,
    /// All is mended; moves come to their ends.
    Healed = 2,
    /// Clients look whether all is as they were told.
    Looking = 3,
}

/// What the operator is to do, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Start a batch.
    Start(&'static str),
    /// Move one node back.
    RollBack(&'static str),
    /// Move a batch back.
    RollBackBatch(&'static str),
    /// Go the way back of a batch up to its commit, and return.
    Rehearse(&'static str),
    /// Take one node out of its batch before the commit.
    Abort(&'static str),
}

/// What all share.
#[derive(Debug)]
pub struct Shared {
    /// What happened.
    pub story: Story,
    /// Where files are.
    pub folders: Folders,
    /// The store of both controllers.
    pub store: MemoryStore,
    /// What is broken, if the oracles are to notice something.
    pub mutant: Option<Mutant>,
    phase: AtomicU8,
    called: [AtomicBool; CONTROLLERS.len()],
    full: [AtomicBool; SHARDS.len()],
    tokens: Mutex<BTreeMap<String, (String, String)>>,
    orders: Mutex<VecDeque<Order>>,
    rotten: Mutex<BTreeSet<(String, String)>>,
    working: AtomicUsize,
    done: AtomicUsize,
}

impl Shared {
    /// Before anything runs.
    ///
    /// # Errors
    /// When folders cannot be made.
    pub fn new(mutant: Option<Mutant>) -> Result<Self> {
        Ok(Self {
            story: Story::default(),
            folders: Folders::make()?,
            store: MemoryStore::new(CLUSTER.parse()?),
            mutant,
            phase: AtomicU8::new(Phase::Setup as u8),
            called: [AtomicBool::new(true), AtomicBool::new(false)],
            full: [const { AtomicBool::new(false) }; SHARDS.len()],
            tokens: Mutex::default(),
            orders: Mutex::default(),
            rotten: Mutex::default(),
            working: AtomicUsize::new(0),
            done: AtomicUsize::new(0),
        })
    }

    /// Whether it is at least as far.
    pub fn is_at(&self, phase: Phase) -> bool {
        self.phase.load(Ordering::SeqCst) >= phase as u8
    }

    /// It is so far now.
    pub fn go_on_to(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::SeqCst);
        self.story.tell("-", format_args!("{phase:?}"));
    }

    /// Whether a controller is to lead when it starts.
    pub fn is_called(&self, controller: usize) -> bool {
        self.called[controller].load(Ordering::SeqCst)
    }

    /// Lets a controller lead when it starts next, and no other.
    pub fn call(&self, controller: usize) {
        for (at, called) in self.called.iter().enumerate() {
            called.store(at == controller, Ordering::SeqCst);
        }
    }

    /// What a shard may hold.
    pub fn capacity(&self, shard: &str) -> u64 {
        let at = SHARDS.iter().position(|known| *known == shard).unwrap_or(0);
        if self.full[at].load(Ordering::SeqCst) { 1 } else { CAPACITY_BYTES }
    }

    /// Fills a shard's disk, or frees it, from its next start on.
    pub fn set_full(&self, shard: usize, full: bool) {
        self.full[shard].store(full, Ordering::SeqCst);
    }

    /// Hands a node its token and the CA's fingerprint.
    pub fn hand_over(&self, node: &str, token: String, fingerprint: String) {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.insert(node.to_owned(), (token, fingerprint));
    }

    /// A node's token and the CA's fingerprint, once they were handed over.
    pub fn token(&self, node: &str) -> Option<(String, String)> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).get(node).cloned()
    }

    /// Asks the operator for something.
    pub fn order(&self, order: Order) {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner).push_back(order);
    }

    /// What the operator should do next.
    pub fn next_order(&self) -> Option<Order> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// Changes a bit of a node's first pack on the source's disk, if it has one.
    pub fn rot(&self, node: &str) {
        let Some(path) = first_file(&self.folders.data(SHARDS[0]).join(node).join("data")) else { return };
        let Some(name) = path.file_name().map(|name| name.to_string_lossy().into_owned()) else { return };
        match std::fs::read(&path) {
            Ok(mut bytes) if !bytes.is_empty() => {
                bytes[0] ^= 1;
                if let Err(error) = std::fs::write(&path, bytes) {
                    self.story.violate("-", format_args!("{}: {error}", path.display()));
                }
                self.story.tell("-", format_args!("{node}: {} rots", &name[..name.len().min(8)]));
                self.rotten.lock().unwrap_or_else(PoisonError::into_inner).insert((node.to_owned(), name));
            }
            _ => {}
        }
    }

    /// Whether an object was made to rot: what is found of it proves nothing.
    pub fn is_rotten(&self, node: &str, name: &str) -> bool {
        let rotten = self.rotten.lock().unwrap_or_else(PoisonError::into_inner);
        rotten.contains(&(node.to_owned(), name.to_owned()))
    }

    /// One more connection of a client has been used for a while.
    pub fn is_working(&self) {
        self.working.fetch_add(1, Ordering::SeqCst);
    }

    /// Whether all have.
    pub fn all_work(&self) -> bool {
        self.working.load(Ordering::SeqCst) >= 2 * NODES.len()
    }

    /// One more client has looked at all that is its.
    pub fn is_done(&self) {
        self.done.fetch_add(1, Ordering::SeqCst);
    }

    /// Whether all clients have.
    pub fn all_done(&self) -> bool {
        self.done.load(Ordering::SeqCst) == NODES.len()
    }
}

/// The first file below a folder, by name.
fn first_file(folder: &Path) -> Option<PathBuf> {
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(folder).ok()?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    entries.sort();
    let is_object = |path: &PathBuf| path.file_name().is_some_and(|name| name.len() == 64);
    entries.into_iter().find_map(|path| if path.is_dir() { first_file(&path) } else { Some(path).filter(is_object) })
}
