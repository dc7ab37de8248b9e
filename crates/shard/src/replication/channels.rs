//! The channels to sources, shared by all copies that come from the same one.
//!
//! Two kinds, so that nothing waits for what is slower by nature: *waits* for a change, which hold their place for as long as the
//! source is at rest; *questions*, which decide how long a cutover takes. The bytes of objects, which fill whatever way there is, have
//! connections of their own ([`super::lines`]). As many channels of each as it takes, and no more: a source with five hundred followers
//! has a dozen connections, not five hundred.
//!
//! A copy has a seat on one channel of each kind for as long as its job runs. A channel ends with its last seat. Where a source is
//! reached is part of what it is: one that has moved gets channels of its own.

use super::lines::Lines;
use shardlift_api::v1::replication_client::ReplicationClient;
use shardlift_model::{Role, ShardId};
use shardlift_pki::tls::{Credentials, Expected, channel};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tonic::transport::Channel;

/// What a channel is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Waits,
    Questions,
}

const KINDS: [Kind; 2] = [Kind::Waits, Kind::Questions];

impl Kind {
    /// Seats up to which a channel takes one more before another is opened, and how many channels there may be. A source takes 200
    /// streams on a connection: waits never come to that, or the last of them would wait for the first.
    const fn limits(self) -> (usize, usize) {
        match self {
            Self::Waits => (100, usize::MAX),
            Self::Questions => (32, 4),
        }
    }
}

/// Where a source is reached.
type Place = (ShardId, String);

/// All channels of a shard to its sources.
pub(super) struct Channels {
    credentials: Arc<Credentials>,
    pools: Mutex<BTreeMap<Place, Weak<Pool>>>,
}

/// The channels to one source.
struct Pool {
    credentials: Arc<Credentials>,
    place: Place,
    opened: Mutex<Opened>,
    lines: Arc<Lines>,
}

#[derive(Default)]
struct Opened {
    last: u64,
    channels: BTreeMap<u64, Shared>,
}

struct Shared {
    kind: Kind,
    channel: Channel,
    seats: usize,
}

/// One copy's place on a channel.
struct Seat {
    pool: Arc<Pool>,
    number: u64,
}

/// The channels of one copy.
pub(super) struct Seats {
    pub(super) waits: ReplicationClient<Channel>,
    pub(super) questions: ReplicationClient<Channel>,
    pub(super) lines: Arc<Lines>,
    _seats: [Seat; 2],
}

impl std::fmt::Debug for Seats {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seats").finish_non_exhaustive()
    }
}

impl Channels {
    pub(super) fn new(credentials: &Arc<Credentials>) -> Self {
        Self { credentials: Arc::clone(credentials), pools: Mutex::default() }
    }

    /// Channels for one copy.
    pub(super) fn seats(&self, source: &ShardId, address: &str) -> Seats {
        let pool = self.pool((source.clone(), address.to_owned()));
        let [(waits, first), (questions, second)] = KINDS.map(|kind| pool.seat(kind));
        Seats { waits, questions, lines: Arc::clone(&pool.lines), _seats: [first, second] }
    }

    fn pool(&self, place: Place) -> Arc<Pool> {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pool) = pools.get(&place).and_then(Weak::upgrade) {
            return pool;
        }
        pools.retain(|_, pool| pool.strong_count() > 0);
        let credentials = Arc::clone(&self.credentials);
        let lines = Lines::new(&credentials, &place.0, &place.1);
        let pool = Arc::new(Pool { credentials, place: place.clone(), opened: Mutex::default(), lines });
        pools.insert(place, Arc::downgrade(&pool));
        pool
    }
}

impl Pool {
    fn seat(self: &Arc<Self>, kind: Kind) -> (ReplicationClient<Channel>, Seat) {
        let (seats_max, channels_max) = kind.limits();
        let mut opened = self.lock();
        let of_kind = opened.channels.iter().filter(|(_, shared)| shared.kind == kind);
        let fewest =
            of_kind.clone().min_by_key(|(_, shared)| shared.seats).map(|(number, shared)| (*number, shared.seats));
        let number = match fewest {
            Some((number, seats)) if seats < seats_max || of_kind.count() >= channels_max => number,
            _ => {
                opened.last += 1;
                opened.last
            }
        };
        let shared = opened.channels.entry(number).or_insert_with(|| self.open(kind));
        shared.seats += 1;
        let channel = shared.channel.clone();
        drop(opened);
        (ReplicationClient::new(channel), Seat { pool: Arc::clone(self), number })
    }

    /// Connects when it is first used.
    fn open(&self, kind: Kind) -> Shared {
        let (source, address) = &self.place;
        let channel = channel(&self.credentials, address, Expected::one(Role::Shard, source.as_str()));
        Shared { kind, channel, seats: 0 }
    }

    fn lock(&self) -> MutexGuard<'_, Opened> {
        // Entries are put in and taken out whole.
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut opened = self.pool.lock();
        if let Some(shared) = opened.channels.get_mut(&self.number) {
            shared.seats -= 1;
            if shared.seats == 0 {
                opened.channels.remove(&self.number);
            }
        }
    }
}

#[cfg(test)]
mod tests;
