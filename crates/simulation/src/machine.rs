//! What the parts stand on: turmoil's network and virtual time instead of the system's sockets and clock.

use crate::disk::SimDisk;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use shardlift_net::disk::Disk;
use shardlift_net::{Accepted, Listening, Machine, Pending, Socket};
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::{Handle, Id};
use turmoil::net::{TcpListener, TcpStream};

/// The machine under all parts of one run.
#[derive(Debug)]
pub struct Virtual {
    /// What the clock shows when the run begins.
    epoch: Duration,
    hosts: Mutex<Hosts>,
    disks: Vec<(PathBuf, Arc<SimDisk>)>,
    dice: Mutex<StdRng>,
}

/// Which host is which: each has a runtime of its own, and another one after a crash.
#[derive(Debug, Default)]
struct Hosts {
    // Looked up, never gone through: the order of ids is no seed's.
    names: HashMap<Id, &'static str>,
    /// How far a host's wall clock is off, in milliseconds.
    skews_ms: BTreeMap<&'static str, i64>,
}

impl Virtual {
    /// A machine whose dice fall as the seed says, with a disk for each of these folders.
    #[must_use]
    pub fn new(seed: u64, epoch: Duration, disks: Vec<(PathBuf, Arc<SimDisk>)>) -> Arc<Self> {
        let dice = Mutex::new(StdRng::seed_from_u64(seed));
        Arc::new(Self { epoch, hosts: Mutex::default(), disks, dice })
    }

    fn hosts(&self) -> MutexGuard<'_, Hosts> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The present runtime is this host's.
    pub fn is_host(&self, name: &'static str) {
        if let Ok(handle) = Handle::try_current() {
            self.hosts().names.insert(handle.id(), name);
        }
    }

    /// Whose turn it is.
    #[must_use]
    pub fn host(&self) -> Option<&'static str> {
        let id = Handle::try_current().ok()?.id();
        self.hosts().names.get(&id).copied()
    }

    /// Puts a host's wall clock this far off; what runs by monotonic time does not notice.
    pub fn set_skew(&self, host: &'static str, milliseconds: i64) {
        self.hosts().skews_ms.insert(host, milliseconds);
    }
}

struct Ear {
    listener: TcpListener,
    address: SocketAddr,
}

impl Listening for Ear {
    fn accept(&self) -> Pending<'_, Accepted> {
        Box::pin(async {
            let (stream, from) = self.listener.accept().await?;
            Ok((Box::new(stream) as Box<dyn Socket>, from))
        })
    }

    fn local_addr(&self) -> SocketAddr {
        self.address
    }
}

impl Machine for Virtual {
    fn connect(&self, address: &str) -> Pending<'static, Box<dyn Socket>> {
        let address = address.to_owned();
        Box::pin(async move {
            let (host, port) = address.rsplit_once(':').ok_or(io::ErrorKind::InvalidInput)?;
            let port: u16 = port.parse().map_err(io::Error::other)?;
            let stream = TcpStream::connect((host, port)).await?;
            Ok(Box::new(stream) as Box<dyn Socket>)
        })
    }

    fn bind(&self, address: SocketAddr) -> Pending<'static, Box<dyn Listening>> {
        Box::pin(async move {
            let listener = TcpListener::bind(address).await?;
            let address = listener.local_addr()?;
            Ok(Box::new(Ear { listener, address }) as Box<dyn Listening>)
        })
    }

    fn since_epoch(&self) -> Duration {
        let shown = self.epoch + turmoil::sim_elapsed().unwrap_or_default();
        let skew = self.host().and_then(|host| self.hosts().skews_ms.get(host).copied()).unwrap_or(0);
        let by = Duration::from_millis(skew.unsigned_abs());
        if skew < 0 { shown.saturating_sub(by) } else { shown + by }
    }

    fn spread(&self) -> f64 {
        self.dice.lock().unwrap_or_else(PoisonError::into_inner).random()
    }

    fn disk(&self, path: &Path) -> Option<Arc<dyn Disk>> {
        let found = self.disks.iter().find(|(folder, _)| path.starts_with(folder));
        found.map(|(_, disk)| Arc::clone(disk) as Arc<dyn Disk>)
    }
}
