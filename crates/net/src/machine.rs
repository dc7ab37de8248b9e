//! What stands in for the machine in a simulation, and where the present thread finds it.

use crate::disk::Disk;
use std::cell::RefCell;
use std::fmt::Debug;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// Something that is under way.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send + 'a>>;

/// A connection of a simulated network. Dropping it ends it.
pub trait Socket: AsyncRead + AsyncWrite + Debug + Send + Sync + Unpin {}

impl<T: AsyncRead + AsyncWrite + Debug + Send + Sync + Unpin> Socket for T {}

/// A connection that came in, and from where.
pub type Accepted = (Box<dyn Socket>, SocketAddr);

/// A listener of a simulated network. Dropping it gives its address back.
pub trait Listening: Send + Sync {
    /// The next connection. Dropping the future loses none.
    fn accept(&self) -> Pending<'_, Accepted>;

    /// Where it listens.
    fn local_addr(&self) -> SocketAddr;
}

/// What stands in for the machine.
pub trait Machine: Send + Sync {
    /// Connects to `host:port`.
    fn connect(&self, address: &str) -> Pending<'static, Box<dyn Socket>>;

    /// Listens.
    fn bind(&self, address: SocketAddr) -> Pending<'static, Box<dyn Listening>>;

    /// The wall clock of the part that asks, as time since 1970.
    fn since_epoch(&self) -> Duration;

    /// A number below one.
    fn spread(&self) -> f64;

    /// The simulated disk that a path lies on; `None` where nothing is simulated.
    fn disk(&self, path: &Path) -> Option<Arc<dyn Disk>>;
}

thread_local! {
    static MACHINE: RefCell<Option<Arc<dyn Machine>>> = const { RefCell::new(None) };
}

/// Until it is dropped, the thread that made it is in the simulation.
#[must_use = "the simulation ends when this is dropped"]
pub struct Installed {
    before: Option<Arc<dyn Machine>>,
    // Of this thread alone.
    _thread: std::marker::PhantomData<*const ()>,
}

/// Puts a machine in place of the real one, for this thread.
pub fn install(machine: Arc<dyn Machine>) -> Installed {
    let before = MACHINE.with_borrow_mut(|held| held.replace(machine));
    Installed { before, _thread: std::marker::PhantomData }
}

impl Drop for Installed {
    fn drop(&mut self) {
        MACHINE.with_borrow_mut(|held| *held = self.before.take());
    }
}

/// Whether this thread is in a simulation.
#[must_use]
pub fn is_simulated() -> bool {
    MACHINE.with_borrow(Option::is_some)
}

pub(crate) fn installed() -> Option<Arc<dyn Machine>> {
    MACHINE.with_borrow(Clone::clone)
}
