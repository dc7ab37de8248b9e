//! What all hosts of one run share with the one who watches over them: the store, the folders, the story, and how far it all is.

use crate::disk::SimDisk;
use crate::ground::{CLUSTER, CONTROLLERS, Folders, NODES, ROUTER, SHARDS};
use crate::mutant::Mutant;
use crate::story::Story;
use crate::tally::{Sort, Tally};
use crate::witness::Witness;
use anyhow::Result;
use rand::Rng as _;
use rand::rngs::StdRng;
use shardlift_store::MemoryStore;
use shardlift_store::faulty::{FaultPlan, FaultyStore};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
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
    /// Give up a node's writer, which is gone, and all that it stored after the last change that its follower has.
    GiveUp(&'static str),
    /// End a batch's soak, whatever its verdict.
    Release(&'static str),
    /// Take a released node's old copy out of quarantine.
    Restore(&'static str),
}

impl Order {
    /// What is counted when it is carried out.
    #[must_use]
    pub const fn sort(&self) -> Option<Sort> {
        Some(match self {
            Self::Start(_) => return None,
            Self::RollBack(_) => Sort::RolledBack,
            Self::RollBackBatch(_) => Sort::BatchRolledBack,
            Self::Rehearse(_) => Sort::Rehearsed,
            Self::Abort(_) => Sort::Aborted,
            Self::GiveUp(_) => Sort::LossAccepted,
            Self::Release(_) => Sort::Released,
            Self::Restore(_) => Sort::Restored,
        })
    }
}

/// A controller's handle on the store.
pub type Handle = Arc<FaultyStore<MemoryStore>>;

/// What all share.
#[derive(Debug)]
pub struct Shared {
    /// What happened.
    pub story: Story,
    /// Where files are.
    pub folders: Folders,
    /// The store of both controllers.
    pub store: MemoryStore,
    /// How often what happened.
    pub tally: Arc<Tally>,
    /// What the shards say of their clients' changes.
    pub witness: Arc<Witness>,
    /// The disks of the hosts that have one.
    pub disks: BTreeMap<&'static str, Arc<SimDisk>>,
    /// What is broken, if the oracles are to notice something.
    pub mutant: Option<Mutant>,
    phase: AtomicU8,
    called: [AtomicBool; CONTROLLERS.len()],
    full: [AtomicBool; SHARDS.len()],
    tokens: Mutex<BTreeMap<String, (String, String)>>,
    orders: Mutex<VecDeque<Order>>,
    rotten: Mutex<BTreeSet<(String, String)>>,
    /// Every handle on the store that was opened, by controller.
    handles: Mutex<Vec<(usize, Handle)>>,
    working: AtomicUsize,
    done: AtomicUsize,
}

impl Shared {
    /// Before anything runs.
    ///
    /// # Errors
    /// When folders cannot be made.
    pub fn new(mutant: Option<Mutant>) -> Result<Self> {
        let folders = Folders::make()?;
        let mut disks = BTreeMap::new();
        for host in SHARDS.into_iter().chain([ROUTER]) {
            disks.insert(host, SimDisk::new(folders.attic(host), mutant.and_then(|mutant| mutant.lie(host)))?);
        }
        Ok(Self {
            story: Story::default(),
            folders,
            tally: Arc::default(),
            witness: Arc::default(),
            disks,
            store: MemoryStore::new(CLUSTER.parse()?),
            mutant,
            phase: AtomicU8::new(Phase::Setup as u8),
            called: [AtomicBool::new(true), AtomicBool::new(false)],
            full: [const { AtomicBool::new(false) }; SHARDS.len()],
            tokens: Mutex::default(),
            orders: Mutex::default(),
            rotten: Mutex::default(),
            handles: Mutex::default(),
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

    /// Changes a bit of one of the packs that a node has on the source's disk at this moment, if it has one.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn rot(&self, node: &str, dice: &mut StdRng) -> Result<()> {
        let mut packs = Vec::new();
        packs_below(&self.folders.data(SHARDS[0]).join(node).join("data"), &mut packs)?;
        packs.sort();
        let Some(path) = (!packs.is_empty()).then(|| packs.swap_remove(dice.random_range(0..packs.len()))) else {
            self.story.tell("-", format_args!("{node}: nothing to rot"));
            return Ok(());
        };
        let changed = std::fs::metadata(&path)?.modified()?;
        let mut bytes = std::fs::read(&path)?;
        let at = dice.random_range(0..bytes.len());
        bytes[at] ^= 1 << dice.random_range(0..8);
        std::fs::write(&path, bytes)?;
        std::fs::File::options().write(true).open(&path)?.set_modified(changed)?;
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        self.story.tell("-", format_args!("{node}: {} rots", &name[..name.len().min(8)]));
        self.tally.count(Sort::Rot);
        self.rotten.lock().unwrap_or_else(PoisonError::into_inner).insert((node.to_owned(), name));
        Ok(())
    }

    /// A handle on the store for a controller that starts.
    pub fn open_store(&self, controller: usize) -> Handle {
        let handle = Arc::new(FaultyStore::new(self.store.clone(), FaultPlan::none()));
        self.handles.lock().unwrap_or_else(PoisonError::into_inner).push((controller, handle.clone()));
        handle
    }

    /// The handle that a controller has now.
    pub fn handle(&self, controller: usize) -> Option<Handle> {
        let handles = self.handles.lock().unwrap_or_else(PoisonError::into_inner);
        handles.iter().rev().find(|(whose, _)| *whose == controller).map(|(_, handle)| handle.clone())
    }

    /// Whether an object was made to rot: what is found of it proves nothing.
    pub fn is_rotten(&self, node: &str, name: &str) -> bool {
        let rotten = self.rotten.lock().unwrap_or_else(PoisonError::into_inner);
        rotten.contains(&(node.to_owned(), name.to_owned()))
    }

    /// Counts what the store has failed to do.
    pub fn count_store(&self) {
        for (_, handle) in self.handles.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let count = handle.count();
            self.tally.add(Sort::StoreRefused, count.fail_before);
            self.tally.add(Sort::StoreAnswerLost, count.fail_after + count.torn);
            self.tally.add(Sort::StoreOutOfReach, count.unreachable);
        }
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

/// All objects below a folder that is there, by the length of their names.
fn packs_below(folder: &Path, packs: &mut Vec<PathBuf>) -> Result<()> {
    if !folder.is_dir() {
        return Ok(());
    }
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            packs_below(&entry.path(), packs)?;
        } else if entry.file_name().len() == 64 && entry.metadata()?.len() > 0 {
            packs.push(entry.path());
        }
    }
    Ok(())
}
