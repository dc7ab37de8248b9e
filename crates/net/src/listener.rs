//! A listener: the kernel's, or a simulation's.

use crate::machine::{Listening, installed};
use crate::stream::Stream;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use tokio::net::TcpListener;

/// Takes connections.
pub struct Listener(Kind);

enum Kind {
    Kernel(TcpListener),
    Simulated(Box<dyn Listening>),
}

impl Listener {
    /// Listens at an address.
    ///
    /// # Errors
    /// What the system says.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        match installed() {
            None => TcpListener::bind(address).await.map(Self::from),
            Some(machine) => machine.bind(address).await.map(|listening| Self(Kind::Simulated(listening))),
        }
    }

    /// The next connection and where it comes from. Dropping the future loses none.
    ///
    /// # Errors
    /// What the system says, typically for lack of file handles; the listener goes on.
    pub async fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        match &self.0 {
            Kind::Kernel(listener) => listener.accept().await.map(|(stream, from)| (stream.into(), from)),
            Kind::Simulated(listening) => {
                listening.accept().await.map(|(socket, from)| (Stream::simulated(socket), from))
            }
        }
    }

    /// Where it listens.
    ///
    /// # Errors
    /// What the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.0 {
            Kind::Kernel(listener) => listener.local_addr(),
            Kind::Simulated(listening) => Ok(listening.local_addr()),
        }
    }
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Self(Kind::Kernel(listener))
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Listener").field(&self.local_addr()).finish()
    }
}
