//! What a shard says of the moments that the promises of a move are about, at level `trace` and under targets of their own, so that
//! whoever watches a system from outside can hold what happened against what was promised.

/// A client's change is durable: `node`, `generation`, `seq`, `kind`, `object`, `stored`. Said before it is acknowledged (INV-01, INV-02).
pub const MUTATION: &str = "shardlift_shard::witness::mutation";

/// A mutation waits for a fence to end: `node`.
pub const PARKED: &str = "shardlift_shard::witness::parked";

/// A fence found mutations in flight and waits for them: `node`.
pub const DRAINED: &str = "shardlift_shard::witness::drained";

/// A command of the controller came a second time: `node`.
pub const REPEATED: &str = "shardlift_shard::witness::repeated";
