//! What the parts stand on: turmoil's network and virtual time instead of the system's sockets and clock.

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use shardlift_net::{Accepted, Listening, Machine, Pending, Socket};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use turmoil::net::{TcpListener, TcpStream};

/// The machine under all parts of one run.
#[derive(Debug)]
pub struct Virtual {
    /// What the clock shows when the run begins.
    epoch: Duration,
    /// How far all clocks are off, in milliseconds.
    skew_ms: AtomicI64,
    dice: Mutex<StdRng>,
}

impl Virtual {
    /// A machine whose dice fall as the seed says.
    #[must_use]
    pub fn new(seed: u64, epoch: Duration) -> Arc<Self> {
        let dice = Mutex::new(StdRng::seed_from_u64(seed));
        Arc::new(Self { epoch, skew_ms: AtomicI64::new(0), dice })
    }

    /// Puts all wall clocks this far off; what runs by monotonic time does not notice.
    pub fn set_skew(&self, milliseconds: i64) {
        self.skew_ms.store(milliseconds, Ordering::SeqCst);
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
        let skew = self.skew_ms.load(Ordering::SeqCst);
        let by = Duration::from_millis(skew.unsigned_abs());
        if skew < 0 { shown.saturating_sub(by) } else { shown + by }
    }

    fn spread(&self) -> f64 {
        self.dice.lock().unwrap_or_else(PoisonError::into_inner).random()
    }
}
