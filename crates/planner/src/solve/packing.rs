//! Who goes where: the largest first, each onto the target that is emptiest afterwards.
//!
//! When that evenness leaves no room for somebody, a second pass packs as tightly as it can. What is proven impossible is
//! told apart from what was merely not found.

use crate::conflict::Conflict;
use crate::draft::Fill;
use crate::problem::{NodeLoad, ShardCapacity};
use shardlift_model::{ByteCount, ShardId};
use std::cmp::Reverse;

/// One target while it is filled.
pub(super) struct Bin<'p> {
    pub(super) shard: &'p ShardId,
    pub(super) capacity: ByteCount,
    pub(super) used: ByteCount,
    pub(super) nodes: u64,
    pub(super) bytes: ByteCount,
    room: ByteCount,
}

/// Where one node ended.
#[derive(Clone)]
pub(super) struct Spot {
    pub(super) bin: usize,
    pub(super) fill_before: Fill,
    pub(super) fill_after: Fill,
    pub(super) candidates: usize,
}

/// The answer: one spot per node, in the order of the input.
pub(super) struct Packing<'p> {
    pub(super) bins: Vec<Bin<'p>>,
    pub(super) spots: Vec<Spot>,
    pub(super) tight: bool,
}

/// The policy: the smallest wins. `room_left` counts only in the tight pass and is zero in the even one.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Score<'p> {
    room_left: ByteCount,
    fill: Fill,
    shard: &'p ShardId,
}

/// A node for which no target had room.
struct Stuck {
    node: usize,
    bin: usize,
    room: ByteCount,
}

pub(super) fn pack<'p>(
    nodes: &[&'p NodeLoad],
    targets: &[&'p ShardCapacity],
    headroom_percent: u8,
) -> Result<Packing<'p>, Conflict> {
    let empty = || targets.iter().map(|target| Bin::new(target, headroom_percent)).collect();
    match pass(nodes, empty(), false) {
        Ok(packing) => Ok(packing),
        Err(stuck) => {
            refuse_impossible(nodes, &empty(), &stuck)?;
            pass(nodes, empty(), true).map_err(|stuck| not_found(nodes, targets, &stuck))
        }
    }
}

impl<'p> Bin<'p> {
    fn new(target: &'p ShardCapacity, headroom_percent: u8) -> Self {
        let (capacity, free) = (target.capacity, target.free);
        // Rounded up: the reserve is never smaller than what was asked for.
        let reserve = (u128::from(capacity.0) * u128::from(headroom_percent)).div_ceil(100);
        let room = free.saturating_sub(ByteCount(u64::try_from(reserve).unwrap_or(u64::MAX)));
        let used = capacity.saturating_sub(free);
        Self { shard: &target.shard, capacity, used, nodes: 0, bytes: ByteCount(0), room }
    }

    fn score(&self, bytes: ByteCount, tight: bool) -> Score<'p> {
        let room_left = if tight { self.room.saturating_sub(bytes) } else { ByteCount(0) };
        Score { room_left, fill: Fill::of(self.used.saturating_add(bytes), self.capacity), shard: self.shard }
    }

    fn take(&mut self, bytes: ByteCount) {
        self.room = self.room.saturating_sub(bytes);
        self.used = self.used.saturating_add(bytes);
        self.bytes = self.bytes.saturating_add(bytes);
        self.nodes += 1;
    }
}

fn pass<'p>(nodes: &[&'p NodeLoad], mut bins: Vec<Bin<'p>>, tight: bool) -> Result<Packing<'p>, Stuck> {
    let mut order: Vec<usize> = (0..nodes.len()).collect();
    order.sort_by_key(|&at| (Reverse(nodes[at].bytes), &nodes[at].node));
    let mut spots = vec![None; nodes.len()];
    for node in order {
        let bytes = nodes[node].bytes;
        let fits = |bin: &&Bin<'_>| bin.room >= bytes;
        let candidates = bins.iter().filter(fits).count();
        let best = bins.iter().enumerate().filter(|(_, bin)| fits(bin)).min_by_key(|(_, bin)| bin.score(bytes, tight));
        let Some((bin, _)) = best else {
            return Err(stuck(node, &bins));
        };
        let fill_before = Fill::of(bins[bin].used, bins[bin].capacity);
        bins[bin].take(bytes);
        let fill_after = Fill::of(bins[bin].used, bins[bin].capacity);
        spots[node] = Some(Spot { bin, fill_before, fill_after, candidates });
    }
    Ok(Packing { bins, spots: spots.into_iter().flatten().collect(), tight })
}

fn stuck(node: usize, bins: &[Bin<'_>]) -> Stuck {
    let roomiest = bins.iter().enumerate().max_by_key(|(at, bin)| (bin.room, Reverse(*at)));
    let (bin, room) = roomiest.map_or((0, ByteCount(0)), |(at, bin)| (at, bin.room));
    Stuck { node, bin, room }
}

/// The two proofs of impossibility: one node larger than any room, all nodes larger than all room.
fn refuse_impossible(nodes: &[&NodeLoad], bins: &[Bin<'_>], stuck: &Stuck) -> Result<(), Conflict> {
    let largest = nodes.iter().max_by_key(|node| (node.bytes, Reverse(&node.node)));
    let roomiest = bins.iter().max_by_key(|bin| (bin.room, Reverse(bin.shard)));
    if let (Some(largest), Some(roomiest)) = (largest, roomiest)
        && largest.bytes > roomiest.room
    {
        return Err(Conflict::NodeTooLarge {
            node: largest.node.clone(),
            bytes: largest.bytes,
            shard: roomiest.shard.clone(),
            room: roomiest.room,
            missing: largest.bytes.saturating_sub(roomiest.room),
            others: nodes.iter().filter(|node| node.bytes > roomiest.room).count() - 1,
        });
    }
    let sum = |counts: &mut dyn Iterator<Item = ByteCount>| counts.map(|count| u128::from(count.0)).sum::<u128>();
    let bytes = sum(&mut nodes.iter().map(|node| node.bytes));
    let room = sum(&mut bins.iter().map(|bin| bin.room));
    let shown = |count: u128| ByteCount(u64::try_from(count).unwrap_or(u64::MAX));
    if bytes <= room {
        return Ok(());
    }
    Err(Conflict::NotEnoughRoom {
        nodes: nodes.len() as u64,
        bytes: shown(bytes),
        targets: bins.len() as u64,
        room: shown(room),
        missing: shown(bytes - room),
        node: nodes[stuck.node].node.clone(),
    })
}

fn not_found(nodes: &[&NodeLoad], targets: &[&ShardCapacity], stuck: &Stuck) -> Conflict {
    let node = nodes[stuck.node];
    Conflict::NoPackingFound {
        node: node.node.clone(),
        bytes: node.bytes,
        shard: targets[stuck.bin].shard.clone(),
        room: stuck.room,
        missing: node.bytes.saturating_sub(stuck.room),
    }
}
