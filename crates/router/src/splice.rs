//! Moves bytes from socket to socket inside the kernel: through a pipe, by `splice(2)`, never through this process's memory.
//!
//! A pipe is held only while there is something to pass on, so that thousands of silent connections cost none.

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use tokio::io::Interest;
use tokio::net::TcpStream;

/// Bytes that a pipe holds, if the system grants it; else its default of 64 KiB.
const PIPE_BYTES: usize = 256 * 1024;

/// Pipes kept for the next one who needs one.
const SPARE_MAX: usize = 64;

/// Bytes passed so far.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn set(&self, bytes: u64) {
        self.0.store(bytes, Ordering::Relaxed);
    }

    fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// An empty pipe, or one that is being emptied.
#[derive(Debug)]
struct Pipe {
    reader: OwnedFd,
    writer: OwnedFd,
}

impl Pipe {
    fn new() -> io::Result<Self> {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        // Refused when all pipes of this user together are too large: then the default size does.
        if let Err(error) = fcntl_setpipe_size(&writer, PIPE_BYTES) {
            tracing::debug!(%error, "a pipe keeps its default size");
        }
        Ok(Self { reader, writer })
    }

    fn fill(&self, from: &TcpStream) -> io::Result<usize> {
        let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
        Ok(splice(from, None, &self.writer, None, PIPE_BYTES, flags)?)
    }

    fn empty(&self, into: &TcpStream, bytes: usize) -> io::Result<usize> {
        let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
        Ok(splice(&self.reader, None, into, None, bytes, flags)?)
    }
}

/// The spare pipes of one router.
#[derive(Debug, Default)]
pub struct Pipes {
    spare: Mutex<Vec<Pipe>>,
}

impl Pipes {
    /// Passes bytes on until `from` ends, then ends `into`. What has passed is in `count`, however this ends.
    pub(crate) async fn pass(&self, from: &TcpStream, into: &TcpStream, count: &Count) -> io::Result<()> {
        loop {
            from.readable().await?;
            let pipe = self.take()?;
            let mut left = match from.try_io(Interest::READABLE, || pipe.fill(from)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.give_back(pipe);
                    continue;
                }
                filled => filled?,
            };
            if left == 0 {
                self.give_back(pipe);
                return end(into);
            }
            while left > 0 {
                let passed = into.async_io(Interest::WRITABLE, || pipe.empty(into, left)).await?;
                left -= passed;
                count.add(passed);
            }
            // A connection that never runs dry gives the others their turn.
            tokio::task::coop::consume_budget().await;
            // Only an empty one: what is left in another would reach a stranger.
            self.give_back(pipe);
        }
    }

    fn take(&self) -> io::Result<Pipe> {
        match self.lock().pop() {
            Some(pipe) => Ok(pipe),
            None => Pipe::new(),
        }
    }

    fn give_back(&self, pipe: Pipe) {
        let mut spare = self.lock();
        if spare.len() < SPARE_MAX {
            spare.push(pipe);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Pipe>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells the other side that nothing more comes. One that is gone already needs no telling.
fn end(stream: &TcpStream) -> io::Result<()> {
    match rustix::net::shutdown(stream, rustix::net::Shutdown::Write) {
        Err(rustix::io::Errno::NOTCONN) => Ok(()),
        ended => Ok(ended?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    async fn connected() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (near, listener.accept().await.unwrap().0)
    }

    #[tokio::test]
    async fn all_bytes_pass_in_order_and_the_end_too() {
        let (mut client, from) = connected().await;
        let (into, mut server) = connected().await;
        let (pipes, count) = (Pipes::default(), Count::default());
        let sent: Vec<u8> = (0..5_000_000_u32).map(|number| (number % 251) as u8).collect();
        let expected = sent.clone();
        let sending = async move {
            client.write_all(&sent).await.unwrap();
            client.shutdown().await.unwrap();
            client
        };
        let mut received = Vec::new();
        let (_client, passed, read) =
            tokio::join!(sending, pipes.pass(&from, &into, &count), server.read_to_end(&mut received));
        passed.unwrap();
        assert_eq!(read.unwrap(), expected.len());
        assert!(received == expected);
        assert_eq!(count.get(), 5_000_000);
        assert!(!pipes.lock().is_empty());
    }

    #[tokio::test]
    async fn a_pipe_with_something_left_in_it_is_never_used_again() {
        let (mut client, from) = connected().await;
        let (into, server) = connected().await;
        let (pipes, count) = (Pipes::default(), Count::default());
        // Nobody reads, so that bytes stay in the pipe; then the reader is gone.
        let blocked = pipes.pass(&from, &into, &count);
        let sending = async {
            let chunk = vec![7; 1 << 20];
            for _ in 0..64 {
                if tokio::time::timeout(std::time::Duration::from_millis(200), client.write_all(&chunk)).await.is_err()
                {
                    break;
                }
            }
            drop(server);
        };
        let (passed, ()) = tokio::join!(blocked, sending);
        assert!(passed.is_err());
        assert!(pipes.lock().is_empty());
    }
}
