//! Session accounting: a client's run as it shows on the wire, from its first lock (or first upload, for clients that
//! write no locks) until its last lock is deleted or nothing was heard for long.
//!
//! A refreshed lock is a new one followed by the deletion of the old one, so the chain never breaks. Clients of one node
//! that overlap are one session. Open sessions live in memory: a restart ends the record of a run, never the run.

use crate::engine::{SessionEnd, SessionRecord};
use shardlift_model::{NodeId, ObjectKey, ObjectKind, UnixMillis};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Silence after which a session is over: a client takes a lock for stale after 30 minutes.
const IDLE_MAX: Duration = Duration::from_secs(35 * 60);

/// Locks of one session that are remembered.
const LOCKS_MAX: usize = 1024;

/// What a request did, once it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// An object was stored.
    Stored(ObjectKey, u64),
    /// An object was deleted.
    Deleted(ObjectKey),
    /// Bytes were sent.
    Sent(u64),
    /// The answer was an error.
    Failed,
}

/// What a deed meant to the sessions of its node.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Noted {
    /// One began with it.
    pub began: bool,
    /// The one that it ended, to be recorded.
    pub ended: Option<SessionRecord>,
}

/// All open sessions.
#[derive(Debug, Default)]
pub struct Sessions {
    open: Mutex<BTreeMap<NodeId, Session>>,
}

#[derive(Debug)]
struct Session {
    record: SessionRecord,
    locks: BTreeSet<ObjectKey>,
}

impl Sessions {
    /// Takes note of a deed.
    pub fn note(&self, node: &NodeId, deed: Deed, now: UnixMillis) -> Noted {
        let mut open = self.lock();
        let began = !open.contains_key(node) && matches!(deed, Deed::Stored(..));
        if began {
            open.insert(node.clone(), Session::new(now));
        }
        let Some(session) = open.get_mut(node) else { return Noted::default() };
        session.note(deed, now);
        let ends = session.is_unlocked_by(deed);
        Noted { began, ended: if ends { open.remove(node).map(|session| session.record) } else { None } }
    }

    /// Ends what has been silent for too long.
    pub fn end_idle(&self, now: UnixMillis) -> Vec<(NodeId, SessionRecord)> {
        let mut open = self.lock();
        let idle = |session: &Session| now.since(session.record.ended_at) >= IDLE_MAX;
        let names: Vec<_> = open.iter().filter(|(_, session)| idle(session)).map(|(node, _)| node.clone()).collect();
        names.into_iter().filter_map(|node| open.remove(&node).map(|session| (node, session.record))).collect()
    }

    /// The open session of a node, as it stands: it travels with a node that moves while its client works.
    #[must_use]
    pub fn open_of(&self, node: &NodeId) -> Option<SessionRecord> {
        let open = self.lock();
        open.get(node).map(|session| SessionRecord { end: SessionEnd::Fenced, ..session.record.clone() })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<NodeId, Session>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    fn new(now: UnixMillis) -> Self {
        let record = SessionRecord {
            started_at: now,
            ended_at: now,
            end: SessionEnd::Idle,
            objects_put: 0,
            bytes_put: 0,
            objects_deleted: 0,
            bytes_read: 0,
            errors: 0,
            snapshots_put: 0,
        };
        Self { record, locks: BTreeSet::new() }
    }

    fn note(&mut self, deed: Deed, now: UnixMillis) {
        let record = &mut self.record;
        record.ended_at = now;
        match deed {
            Deed::Stored(key, size) => {
                record.objects_put += 1;
                record.bytes_put += size;
                record.snapshots_put += u32::from(key.kind() == ObjectKind::Snapshots);
                if key.kind() == ObjectKind::Locks && self.locks.len() < LOCKS_MAX {
                    self.locks.insert(key);
                }
            }
            Deed::Deleted(key) => {
                record.objects_deleted += 1;
                if self.locks.remove(&key) && self.locks.is_empty() {
                    record.end = SessionEnd::LockDeleted;
                }
            }
            Deed::Sent(bytes) => record.bytes_read += bytes,
            Deed::Failed => record.errors += 1,
        }
    }

    fn is_unlocked_by(&self, deed: Deed) -> bool {
        matches!(deed, Deed::Deleted(_)) && self.record.end == SessionEnd::LockDeleted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shardlift_model::Sha256;

    fn key(kind: ObjectKind, n: u8) -> ObjectKey {
        ObjectKey::Named(kind, Sha256([n; 32]))
    }

    #[test]
    fn a_session_spans_refreshed_locks_and_ends_with_the_last_one() {
        let sessions = Sessions::default();
        let node: NodeId = "web".parse().unwrap();
        let noted = |deed, at| sessions.note(&node, deed, UnixMillis(at));
        assert_eq!(noted(Deed::Sent(5), 1), Noted::default(), "reading alone opens nothing");
        assert_eq!(noted(Deed::Stored(key(ObjectKind::Locks, 1), 10), 2), Noted { began: true, ended: None });
        let note = |deed, at| {
            let noted = noted(deed, at);
            assert!(!noted.began, "it goes on");
            noted.ended
        };
        assert_eq!(note(Deed::Stored(key(ObjectKind::Data, 1), 100), 3), None);
        assert_eq!(note(Deed::Stored(key(ObjectKind::Locks, 2), 10), 4), None);
        assert_eq!(note(Deed::Deleted(key(ObjectKind::Locks, 1)), 5), None);
        assert_eq!(note(Deed::Failed, 6), None);
        assert_eq!(note(Deed::Sent(7), 6), None);
        assert_eq!(note(Deed::Stored(key(ObjectKind::Snapshots, 1), 1), 7), None);
        let record = note(Deed::Deleted(key(ObjectKind::Locks, 2)), 8).unwrap();
        let expected = SessionRecord {
            started_at: UnixMillis(2),
            ended_at: UnixMillis(8),
            end: SessionEnd::LockDeleted,
            objects_put: 4,
            bytes_put: 121,
            objects_deleted: 2,
            bytes_read: 7,
            errors: 1,
            snapshots_put: 1,
        };
        assert_eq!(record, expected);
        assert_eq!(sessions.open_of(&node), None);
    }

    #[test]
    fn a_client_without_locks_ends_by_silence() {
        let sessions = Sessions::default();
        let node: NodeId = "web".parse().unwrap();
        assert!(sessions.note(&node, Deed::Stored(key(ObjectKind::Data, 1), 9), UnixMillis(0)).began);
        assert!(sessions.end_idle(UnixMillis(34 * 60 * 1000)).is_empty());
        let ended = sessions.end_idle(UnixMillis(35 * 60 * 1000));
        assert_eq!(ended.len(), 1);
        assert_eq!((ended[0].1.end, ended[0].1.objects_put), (SessionEnd::Idle, 1));
        assert!(sessions.end_idle(UnixMillis(u64::MAX)).is_empty());
    }
}
