//! The source as the pulling side sees it: typed questions, each with a time limit, over channels that others share.
//!
//! What comes back is checked for its form here (kinds, names, sizes, order) and believed nowhere: hashes are compared in
//! [`super::judge`].

use super::channels::Seats;
use super::error::PullError;
use super::fetching::Fetching;
use crate::control::message;
use crate::engine::FinalState;
use shardlift_api::fault::FaultKind;
use shardlift_api::{convert, v1};
use shardlift_model::digest::{DIGITS_MAX, LEAF_MAX, Prefix};
use shardlift_model::{NodeId, ObjectKey, ObjectRecord, Sha256};
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tonic::{Response, Status};

/// How long a question may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// Objects per page of a listing.
pub(crate) const PAGE_OBJECTS: u32 = 10_000;

/// Changes per page of the journal.
pub(crate) const PAGE_CHANGES: u32 = 2000;

/// One node at its source.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    seats: Arc<Seats>,
    node: NodeId,
}

/// A page of a listing.
pub(crate) struct Page {
    pub(crate) objects: Vec<ObjectRecord>,
    pub(crate) more: bool,
    pub(crate) seq: u64,
    pub(crate) objects_total: u64,
    pub(crate) bytes_total: u64,
}

/// A page of the change journal.
pub(crate) struct Changes {
    pub(crate) changes: Vec<(u64, Happened)>,
    pub(crate) seq: u64,
}

/// What one change did.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Happened {
    Put(ObjectRecord),
    Delete(ObjectKey),
}

impl Happened {
    pub(crate) const fn key(&self) -> ObjectKey {
        match self {
            Self::Put(record) => record.key,
            Self::Delete(key) => *key,
        }
    }
}

impl Source {
    pub(super) fn new(seats: Seats, node: NodeId) -> Self {
        Self { seats: Arc::new(seats), node }
    }

    pub(crate) async fn list(&self, after: Option<ObjectKey>, locks_only: bool) -> Result<Page, PullError> {
        let request = v1::ListObjectsRequest {
            node: self.node.to_string(),
            after: after.map(Into::into),
            limit: PAGE_OBJECTS,
            locks_only,
        };
        let mut client = self.seats.questions.clone();
        let answer = answered(ANSWER_TIMEOUT, client.list_objects(request)).await?;
        let objects = answer.objects.into_iter().map(record).collect::<Result<Vec<_>, _>>()?;
        // The order is what makes paging end and the comparison with the own index a merge.
        let last = objects.last().map(|record| record.key);
        if !objects.windows(2).all(|pair| pair[0].key < pair[1].key)
            || objects.first().is_some_and(|first| after.is_some_and(|after| first.key <= after))
            || (answer.more && last.is_none())
        {
            return Err(malformed("a page of its list is out of order"));
        }
        Ok(Page {
            objects,
            more: answer.more,
            seq: answer.seq,
            objects_total: answer.objects_total,
            bytes_total: answer.bytes_total,
        })
    }

    /// Changes after `after`, oldest first; waits up to `wait` for the first one.
    pub(crate) async fn journal(&self, after: u64, wait: Duration) -> Result<Changes, PullError> {
        let request = v1::ReadJournalRequest {
            node: self.node.to_string(),
            after_seq: after,
            limit: PAGE_CHANGES,
            wait_ms: u32::try_from(wait.as_millis()).unwrap_or(u32::MAX),
        };
        let client = if wait.is_zero() { &self.seats.questions } else { &self.seats.waits };
        let mut client = client.clone();
        let answer = answered(ANSWER_TIMEOUT + wait, client.read_journal(request)).await?;
        let changes = answer.changes.into_iter().map(change).collect::<Result<Vec<_>, _>>()?;
        // A gap would be a change that is lost for ever.
        let dense = changes.iter().zip(after + 1..).all(|((seq, _), expected)| *seq == expected);
        if !dense || changes.last().is_some_and(|(seq, _)| *seq > answer.seq) {
            return Err(malformed("its change journal has a gap"));
        }
        Ok(Changes { changes, seq: answer.seq })
    }

    pub(crate) async fn digest(&self, without_locks: bool) -> Result<FinalState, PullError> {
        let request = v1::GetDigestRequest { node: self.node.to_string(), without_locks };
        let mut client = self.seats.questions.clone();
        let digest = answered(ANSWER_TIMEOUT, client.get_digest(request)).await?;
        message::final_state(Some(digest)).map_err(|fault| malformed(fault.public()))
    }

    /// What lies at these places of the source's digest, in their order.
    pub(crate) async fn parts(&self, places: &[Prefix]) -> Result<Vec<Part>, PullError> {
        let request =
            v1::ReadDigestRequest { node: self.node.to_string(), places: places.iter().map(Into::into).collect() };
        let mut client = self.seats.questions.clone();
        let answer = answered(ANSWER_TIMEOUT, client.read_digest(request)).await?;
        if answer.parts.len() != places.len() {
            return Err(malformed("its digest has other parts than asked for"));
        }
        places.iter().zip(answer.parts).map(|(place, message)| part(place, message)).collect()
    }

    pub(crate) async fn side_data(&self) -> Result<v1::SideData, PullError> {
        let request = v1::GetSideDataRequest { node: self.node.to_string() };
        let mut client = self.seats.questions.clone();
        answered(ANSWER_TIMEOUT, client.get_side_data(request)).await
    }

    /// The bytes of these objects, in this order; `hashed`, the source says what it has read.
    pub(crate) async fn fetch(
        &self,
        keys: impl Iterator<Item = ObjectKey>,
        hashed: bool,
    ) -> Result<Fetching, PullError> {
        let objects: Vec<v1::ObjectRef> = keys.map(Into::into).collect();
        let count = objects.len();
        let request = v1::FetchObjectsRequest { node: self.node.to_string(), objects, hashed };
        Ok(Fetching::new(self.seats.lines.ask(&request).await?, count))
    }
}

/// A place of the source's digest.
#[derive(Debug)]
pub(crate) enum Part {
    /// For each digit under which there are objects, the hash over them.
    Branch(BTreeMap<u8, Sha256>),
    /// All objects there, in order.
    Leaf(Vec<ObjectRecord>),
}

pub(super) fn record(message: v1::ObjectRecord) -> Result<ObjectRecord, PullError> {
    message.try_into().map_err(|fault: shardlift_api::fault::Fault| malformed(fault.public()))
}

/// Believed only where it is of the form that a tree has: it is what ends the way down.
fn part(place: &Prefix, message: v1::DigestPart) -> Result<Part, PullError> {
    let strange = || malformed("a part of its digest is not one of a tree");
    if message.children.is_empty() {
        let records = message.objects.into_iter().map(record).collect::<Result<Vec<_>, _>>()?;
        let is_leaf = records.len() <= LEAF_MAX
            && records.iter().all(|record| place.covers(&record.key))
            && records.windows(2).all(|pair| pair[0].key < pair[1].key);
        return if is_leaf { Ok(Part::Leaf(records)) } else { Err(strange()) };
    }
    let mut children = BTreeMap::new();
    for child in message.children {
        let digit = u8::try_from(child.digit).ok().filter(|digit| *digit < 16).ok_or_else(strange)?;
        let hash = convert::sha256(&child.hash).map_err(|fault| malformed(fault.public()))?;
        children.insert(digit, hash);
    }
    if place.digits() < DIGITS_MAX { Ok(Part::Branch(children)) } else { Err(strange()) }
}

fn change(message: v1::Change) -> Result<(u64, Happened), PullError> {
    let what = match message.what {
        Some(v1::change::What::Put(put)) => Happened::Put(record(put)?),
        Some(v1::change::What::Delete(object)) => {
            Happened::Delete(object.try_into().map_err(|fault: shardlift_api::fault::Fault| malformed(fault.public()))?)
        }
        None => return Err(malformed("a change says nothing")),
    };
    Ok((message.seq, what))
}

pub(super) fn malformed(what: &str) -> PullError {
    PullError::Waiting(format!("the source gave an answer that cannot be meant: {what}"))
}

async fn answered<T>(
    limit: Duration,
    answer: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, PullError> {
    match tokio::time::timeout(limit, answer).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(of_status(&status)),
        Err(_elapsed) => Err(PullError::Waiting("the source does not answer".to_owned())),
    }
}

fn of_status(status: &Status) -> PullError {
    match FaultKind::from(status) {
        FaultKind::Unavailable => of_fault(FaultKind::Unavailable, &shardlift_api::fault::chain(status)),
        kind => of_fault(kind, status.message()),
    }
}

/// What the source's refusal means for the copy.
pub(super) fn of_fault(kind: FaultKind, text: &str) -> PullError {
    match kind {
        FaultKind::Forbidden | FaultKind::Unauthenticated => {
            PullError::Waiting(format!("the source does not let this shard read the node: {text}"))
        }
        FaultKind::Unavailable => PullError::Waiting(format!("the source cannot be reached: {text}")),
        FaultKind::DataLoss => PullError::Failed(format!("the source has lost data: {text}")),
        _ => PullError::Waiting(format!("the source refuses: {text}")),
    }
}
