//! What one job does to the tables. Legality of a mutation is decided here and nowhere else, inside the transaction.

mod certificates;

use super::error::EngineError;
use super::record::{Accepted, Mode, NodeRecord, SeenCertificate, SessionRecord};
use super::tables::{self, ObjectRow, Op};
use super::writer::{Done, Edit, Origin, Work};
use crate::witness::Mutation;
use redb::{ReadableTable, WriteTransaction};
use shardlift_model::{NodeId, ObjectKey, ObjectKind, Sha256, Token, UnixMillis};
use std::collections::BTreeMap;

type Table<'t> = redb::Table<'t, &'static [u8], &'static [u8]>;

/// Sessions kept per node; the oldest go.
const SESSIONS_MAX: usize = 1000;

/// The open tables of one write transaction and the records it has touched.
pub(crate) struct Transaction<'t> {
    nodes: Table<'t>,
    objects: Table<'t>,
    journal: Table<'t>,
    unlinks: Table<'t>,
    sessions: Table<'t>,
    certificates: Table<'t>,
    activity: Table<'t>,
    touched: BTreeMap<NodeId, NodeRecord>,
    seen: Vec<CertificateChange>,
    mutations: Vec<Mutation>,
}

/// A certificate row that was written, or dropped when `seen` is `None`.
pub(crate) struct CertificateChange {
    pub(crate) node: NodeId,
    pub(crate) issuer: String,
    pub(crate) serial: String,
    pub(crate) seen: Option<SeenCertificate>,
}

/// What is to be seen after the commit.
pub(crate) struct Published {
    pub(crate) records: BTreeMap<NodeId, NodeRecord>,
    pub(crate) certificates: Vec<CertificateChange>,
    pub(crate) mutations: Vec<Mutation>,
}

impl<'t> Transaction<'t> {
    pub(crate) fn open(write: &'t WriteTransaction) -> Result<Self, EngineError> {
        let open = |table| write.open_table(table).map_err(EngineError::index);
        Ok(Self {
            nodes: open(tables::NODES)?,
            objects: open(tables::OBJECTS)?,
            journal: open(tables::JOURNAL)?,
            unlinks: open(tables::UNLINKS)?,
            sessions: open(tables::SESSIONS)?,
            certificates: open(tables::CERTIFICATES)?,
            activity: open(tables::ACTIVITY)?,
            touched: BTreeMap::new(),
            seen: Vec::new(),
            mutations: Vec::new(),
        })
    }

    /// Writes the touched records.
    pub(crate) fn finish(mut self) -> Result<Published, EngineError> {
        for (node, record) in &self.touched {
            let value = record.encode()?;
            self.nodes.insert(tables::node_key(node).as_slice(), value.as_slice()).map_err(EngineError::index)?;
        }
        Ok(Published { records: self.touched, certificates: self.seen, mutations: self.mutations })
    }

    /// The outer error is fatal for the transaction, the inner one is the answer to this job alone.
    pub(crate) fn apply(&mut self, node: &NodeId, work: Work) -> Result<Result<Done, EngineError>, EngineError> {
        let known = self.load(node)?;
        if let Work::Create(mode) = work {
            if !known {
                self.touched.insert(node.clone(), NodeRecord::new(mode));
            }
            return Ok(Ok(Done::Created(!known)));
        }
        if let Work::Command { token, create, edit } = work {
            return Ok(self.command(node, known, token, create, edit));
        }
        if !known {
            return Ok(Err(EngineError::NodeUnknown(node.clone())));
        }
        match work {
            Work::Record { origin, at, ops, applied } => self.record(node, origin, at, &ops, applied),
            Work::Adopt(ops) => {
                let seqs: Result<Vec<_>, _> = ops.iter().map(|(op, at)| self.op(node, *at, op)).collect();
                Ok(Ok(Done::Recorded(seqs?)))
            }
            Work::Edit(edit) => Ok(self.edit(node, edit).map(|()| Done::Nothing)),
            Work::Unlinked(files) => self.unlinked(node, &files),
            Work::Times { last_snapshot, locks } => self.times(node, last_snapshot, &locks),
            Work::Sessions(sessions) => self.sessions(node, &sessions),
            Work::Certificates(seen) => self.certificates(node, seen),
            Work::Activity(bytes) => {
                self.activity
                    .insert(tables::node_key(node).as_slice(), bytes.as_slice())
                    .map_err(EngineError::index)?;
                Ok(Ok(Done::Nothing))
            }
            Work::Forget => self.forget(node),
            Work::Create(_) | Work::Command { .. } => Ok(Ok(Done::Nothing)),
        }
    }

    fn load(&mut self, node: &NodeId) -> Result<bool, EngineError> {
        if self.touched.contains_key(node) {
            return Ok(true);
        }
        let row = self.nodes.get(tables::node_key(node).as_slice()).map_err(EngineError::index)?;
        let Some(row) = row else { return Ok(false) };
        let record = NodeRecord::decode(row.value())?;
        self.touched.insert(node.clone(), record);
        Ok(true)
    }

    /// The record of a node that [`Self::load`] has found.
    fn touched(&mut self, node: &NodeId) -> Result<&mut NodeRecord, EngineError> {
        self.touched.get_mut(node).ok_or_else(|| EngineError::NodeUnknown(node.clone()))
    }

    fn edit(&mut self, node: &NodeId, edit: Edit) -> Result<(), EngineError> {
        let record = self.touched(node)?;
        let mut edited = record.clone();
        edit(&mut edited)?;
        *record = edited;
        Ok(())
    }

    /// INV-03: a lower token is refused; the token is written in the transaction that holds what it commands. It is kept
    /// even when the command is refused for another reason, so that nothing older can come after it.
    fn command(
        &mut self,
        node: &NodeId,
        known: bool,
        token: Token,
        create: Option<Mode>,
        edit: Edit,
    ) -> Result<Done, EngineError> {
        if !known {
            let mode = create.ok_or_else(|| EngineError::NodeUnknown(node.clone()))?;
            self.touched.insert(node.clone(), NodeRecord::new(mode));
        }
        let record = self.touched(node)?;
        let accepted = match token.cmp(&record.token) {
            std::cmp::Ordering::Less => return Err(EngineError::StaleToken { highest: record.token }),
            std::cmp::Ordering::Equal => Accepted::Repeated,
            std::cmp::Ordering::Greater => Accepted::New,
        };
        record.token = token;
        self.edit(node, edit)?;
        Ok(Done::Accepted(accepted))
    }

    fn record(
        &mut self,
        node: &NodeId,
        origin: Origin,
        at: UnixMillis,
        ops: &[Op],
        applied: Option<u64>,
    ) -> Result<Result<Done, EngineError>, EngineError> {
        let mode = &self.touched(node)?.mode;
        // INV-01: a client's mutation is taken while this shard is the writer, and never after a seal.
        // INV-04: a target is not the writer before its promotion is in this same order of transactions.
        let writable = match origin {
            Origin::Client | Origin::Reconcile => matches!(mode, Mode::Serving),
            Origin::Replica => matches!(mode, Mode::Incoming { .. }),
        };
        if !writable {
            return Ok(Err(EngineError::NotWritable { node: node.clone(), mode: mode.word() }));
        }
        if let (Some(seq), Some(replica)) = (applied, self.touched(node)?.replica.as_mut())
            && let Err(error) = replica.advance(seq)
        {
            return Ok(Err(error));
        }
        let seqs = ops.iter().map(|op| self.op(node, at, op)).collect::<Result<Vec<_>, _>>()?;
        if origin == Origin::Client {
            let generation = self.touched(node)?.generation;
            let changed = ops.iter().zip(&seqs).filter_map(|(op, seq)| Some((*op, (*seq)?)));
            self.mutations.extend(changed.map(|(op, seq)| Mutation { node: node.clone(), generation, seq, op }));
        }
        Ok(Ok(Done::Recorded(seqs)))
    }

    /// One change of index and journal; `None` when it changes nothing.
    fn op(&mut self, node: &NodeId, at: UnixMillis, op: &Op) -> Result<Option<u64>, EngineError> {
        let key = op.key();
        let row_key = tables::object_key(node, &key);
        let before = self.objects.get(row_key.as_slice()).map_err(EngineError::index)?;
        let before = before.map(|value| tables::object_row(key, value.value())).transpose()?;
        match (op, &before) {
            (Op::Delete(_), None) => return Ok(None),
            (Op::Put(record), Some(row)) if row.record == *record => return Ok(None),
            _ => {}
        }
        let seq = self.touched(node)?.seq + 1;
        match op {
            Op::Put(record) => {
                let value = tables::object_value(&ObjectRow { record: *record, at });
                self.objects.insert(row_key.as_slice(), value.as_slice()).map_err(EngineError::index)?;
                self.unlinks.remove(row_key.as_slice()).map_err(EngineError::index)?;
            }
            Op::Delete(_) => {
                self.objects.remove(row_key.as_slice()).map_err(EngineError::index)?;
                self.unlinks.insert(row_key.as_slice(), seq.to_be_bytes().as_slice()).map_err(EngineError::index)?;
            }
        }
        let journal_key = tables::journal_key(node, seq);
        self.journal
            .insert(journal_key.as_slice(), tables::journal_value(at, op).as_slice())
            .map_err(EngineError::index)?;
        self.count(node, seq, before.as_ref(), op, at)?;
        Ok(Some(seq))
    }

    fn count(
        &mut self,
        node: &NodeId,
        seq: u64,
        before: Option<&ObjectRow>,
        op: &Op,
        at: UnixMillis,
    ) -> Result<(), EngineError> {
        let kind = op.key().kind();
        let newest_lock = match (kind, op) {
            (ObjectKind::Locks, Op::Delete(_)) => self.newest_lock(node)?,
            _ => None,
        };
        let record = self.touched(node)?;
        record.seq = seq;
        if let Some(row) = before {
            let count = record.kind_mut(kind);
            count.objects -= 1;
            count.bytes -= row.record.size;
            record.damaged -= u64::from(row.record.is_damaged());
        }
        if let Op::Put(put) = op {
            let count = record.kind_mut(kind);
            count.objects += 1;
            count.bytes += put.size;
            record.damaged += u64::from(put.is_damaged());
        }
        match (kind, op) {
            (ObjectKind::Snapshots, Op::Put(_)) => record.last_snapshot = record.last_snapshot.max(Some(at)),
            (ObjectKind::Locks, Op::Put(_)) => record.newest_lock = record.newest_lock.max(Some(at)),
            (ObjectKind::Locks, Op::Delete(_)) => record.newest_lock = newest_lock,
            _ => {}
        }
        Ok(())
    }

    fn newest_lock(&self, node: &NodeId) -> Result<Option<UnixMillis>, EngineError> {
        let kind = ObjectKind::Locks as u8;
        let (start, end) = (tables::kind_key(node, kind), tables::kind_key(node, kind + 1));
        let mut newest = None;
        for row in self.objects.range::<&[u8]>(start.as_slice()..end.as_slice()).map_err(EngineError::index)? {
            let (_, value) = row.map_err(EngineError::index)?;
            newest = newest.max(Some(UnixMillis(tables::number(value.value(), 40)?)));
        }
        Ok(newest)
    }

    /// The copy's own times say when it was made, not when the client was there: whoever asks whether a session is open, or
    /// how old the last backup is, means the client.
    fn times(
        &mut self,
        node: &NodeId,
        last_snapshot: Option<UnixMillis>,
        locks: &[(Sha256, UnixMillis)],
    ) -> Result<Result<Done, EngineError>, EngineError> {
        let mode = &self.touched(node)?.mode;
        if !matches!(mode, Mode::Incoming { .. }) {
            return Ok(Err(EngineError::refused(format!("the node is {}, not incoming", mode.word()))));
        }
        for (name, at) in locks {
            let key = ObjectKey::Named(ObjectKind::Locks, *name);
            let row_key = tables::object_key(node, &key);
            let row = self.objects.get(row_key.as_slice()).map_err(EngineError::index)?;
            let Some(row) = row.map(|value| tables::object_row(key, value.value())).transpose()? else { continue };
            let value = tables::object_value(&ObjectRow { at: *at, ..row });
            self.objects.insert(row_key.as_slice(), value.as_slice()).map_err(EngineError::index)?;
        }
        let newest_lock = self.newest_lock(node)?;
        let record = self.touched(node)?;
        record.newest_lock = newest_lock;
        record.last_snapshot = last_snapshot.or(record.last_snapshot);
        Ok(Ok(Done::Nothing))
    }

    /// Forgets that files are to be taken off the disk, unless they were deleted once more meanwhile.
    fn unlinked(
        &mut self,
        node: &NodeId,
        files: &[(ObjectKey, u64)],
    ) -> Result<Result<Done, EngineError>, EngineError> {
        for (key, seq) in files {
            let row_key = tables::object_key(node, key);
            let known = self.unlinks.get(row_key.as_slice()).map_err(EngineError::index)?;
            let known = known.map(|value| tables::number(value.value(), 0)).transpose()?;
            if known == Some(*seq) {
                self.unlinks.remove(row_key.as_slice()).map_err(EngineError::index)?;
            }
        }
        Ok(Ok(Done::Nothing))
    }

    fn sessions(
        &mut self,
        node: &NodeId,
        sessions: &[SessionRecord],
    ) -> Result<Result<Done, EngineError>, EngineError> {
        for session in sessions {
            let key = tables::session_key(node, session.started_at, session.ended_at);
            let value = serde_json::to_vec(session).map_err(|error| EngineError::Record(error.to_string()))?;
            self.sessions.insert(key.as_slice(), value.as_slice()).map_err(EngineError::index)?;
        }
        let kept = keys(&self.sessions, node)?;
        for key in kept.iter().take(kept.len().saturating_sub(SESSIONS_MAX)) {
            self.sessions.remove(key.as_slice()).map_err(EngineError::index)?;
        }
        Ok(Ok(Done::Nothing))
    }

    /// INV-12: only rows of this node, and only when its copy was given up. The seq goes on counting.
    fn forget(&mut self, node: &NodeId) -> Result<Result<Done, EngineError>, EngineError> {
        if self.touched(node)?.mode != Mode::Discarded {
            return Ok(Err(EngineError::refused("only a discarded copy is forgotten")));
        }
        for table in [&mut self.objects, &mut self.journal, &mut self.unlinks] {
            let (start, end) = (tables::node_key(node), tables::node_end(node));
            table.retain_in::<&[u8], _>(start.as_slice()..end.as_slice(), |_, _| false).map_err(EngineError::index)?;
        }
        self.activity.remove(tables::node_key(node).as_slice()).map_err(EngineError::index)?;
        let record = self.touched(node)?;
        let fresh = NodeRecord::new(Mode::Discarded);
        *record = NodeRecord { token: record.token, generation: record.generation, seq: record.seq, ..fresh };
        Ok(Ok(Done::Nothing))
    }
}

fn keys(table: &Table<'_>, node: &NodeId) -> Result<Vec<Vec<u8>>, EngineError> {
    let (start, end) = (tables::node_key(node), tables::node_end(node));
    let rows = table.range::<&[u8]>(start.as_slice()..end.as_slice()).map_err(EngineError::index)?;
    rows.map(|row| row.map(|(key, _)| key.value().to_vec()).map_err(EngineError::index)).collect()
}
