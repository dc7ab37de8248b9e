//! Objects on their way from the source: frames checked for their form and order. What is in them is believed nowhere: hashes are
//! compared in [`super::judge`].
//!
//! Small objects come by the dozen in one read from the network: what is here already is taken without waiting.

use super::error::PullError;
use super::frame::{self, Kind};
use super::lines::Line;
use super::source::{malformed, of_fault, record};
use shardlift_api::fault::FaultKind;
use shardlift_api::{convert, v1};
use shardlift_model::{ObjectRecord, Sha256};
use std::future::Future;
use std::io;
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use tokio::time::timeout;

/// How long the source may be silent.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// What the source has for an object that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Head {
    /// Its bytes, up to [`Got::End`], and what its index says of it now.
    Here(ObjectRecord),
    /// Nothing: it was deleted since.
    Absent,
    /// Nothing: journaled but not on disk.
    Missing,
}

/// What comes of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Got {
    /// So many bytes more.
    Bytes(usize),
    /// That was all; its hash as the source has read it, if it was asked for.
    End(Option<Sha256>),
}

/// The answer to one request. Ask for a head, then read up to the end, for each object in the order of asking.
pub(crate) struct Fetching {
    /// Gone when all has come.
    line: Option<Line>,
    position: usize,
    count: usize,
    /// Bytes of the present frame that were not read.
    left: usize,
}

impl Fetching {
    pub(super) const fn new(line: Line, count: usize) -> Self {
        Self { line: Some(line), position: 0, count, left: 0 }
    }

    /// The next object.
    pub(crate) async fn head(&mut self) -> Result<Head, PullError> {
        let (kind, length) = self.next().await?;
        if kind != Kind::Object {
            return Err(malformed("an object without its head"));
        }
        let head: v1::ObjectHead = self.message(length).await?;
        if usize::try_from(head.position) != Ok(self.position) {
            return Err(PullError::Waiting("the source sends another object than asked for".to_owned()));
        }
        match (head.absent, head.missing, head.record) {
            (true, _, _) => self.ended(Head::Absent),
            (false, true, _) => self.ended(Head::Missing),
            (false, false, Some(found)) => record(found).map(Head::Here),
            (false, false, None) => Err(malformed("an object without its record")),
        }
    }

    /// The next bytes of the object, as many as there is room for or fewer.
    pub(crate) async fn read(&mut self, room: &mut [u8]) -> Result<Got, PullError> {
        if self.left == 0 {
            match self.next().await? {
                (Kind::Data, length) => self.left = length,
                (Kind::End, length) => {
                    let end: v1::ObjectEnd = self.message(length).await?;
                    let read = read_hash(&end.sha256_read)?;
                    return self.ended(Got::End(read));
                }
                _ => return Err(malformed("an object without its end")),
            }
        }
        let wanted = self.left.min(room.len());
        let line = self.line()?;
        let read = match frame::read_here(&mut line.socket, &mut room[..wanted]) {
            0 => in_time(line.socket.read(&mut room[..wanted])).await.map_err(|error| line.broken(&error))?,
            here => here,
        };
        if read == 0 && wanted > 0 {
            return Err(PullError::Waiting("the source ended a transfer early".to_owned()));
        }
        self.left -= read;
        Ok(Got::Bytes(read))
    }

    /// One object less to come. After the last one the connection is for whoever comes next.
    fn ended<T>(&mut self, what: T) -> Result<T, PullError> {
        self.position += 1;
        if self.position == self.count
            && let Some(line) = self.line.take()
        {
            line.give_back();
        }
        Ok(what)
    }

    /// The next frame that is not a refusal.
    async fn next(&mut self) -> Result<(Kind, usize), PullError> {
        let line = self.line()?;
        let next = match frame::next_here(&mut line.socket) {
            Some(here) => here.map(Some),
            None => in_time(frame::next(&mut line.socket)).await,
        };
        match next.map_err(|error| line.broken(&error))? {
            Some((Kind::Refused, length)) => {
                let refusal: v1::Refusal = self.message(length).await?;
                let kind = FaultKind::ALL.into_iter().find(|kind| kind.code() == refusal.code);
                Err(of_fault(kind.unwrap_or(FaultKind::Internal), &refusal.text))
            }
            Some(next) => Ok(next),
            None => Err(PullError::Waiting("the source ended a transfer early".to_owned())),
        }
    }

    async fn message<M: prost::Message + Default>(&mut self, length: usize) -> Result<M, PullError> {
        let line = self.line()?;
        let message = match frame::message_here(&mut line.socket, length) {
            Some(here) => here,
            None => in_time(frame::message(&mut line.socket, length)).await,
        };
        message.map_err(|error| line.broken(&error))
    }

    fn line(&mut self) -> Result<&mut Line, PullError> {
        self.line.as_mut().ok_or_else(|| malformed("more objects than were asked for"))
    }
}

async fn in_time<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(SILENCE_MAX, work).await.unwrap_or_else(|_elapsed| Err(io::ErrorKind::TimedOut.into()))
}

fn read_hash(bytes: &[u8]) -> Result<Option<Sha256>, PullError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    convert::sha256(bytes).map(Some).map_err(|fault| malformed(fault.public()))
}
