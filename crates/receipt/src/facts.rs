//! What a receipt says. The names and the order of the fields are those of the JSON; what is absent is `null`.

use serde::{Deserialize, Serialize};
use shardlift_model::{BatchId, ClusterId, CustomerId, NodeId, ServerName, ShardId};

macro_rules! said {
    ($($(#[$about:meta])* pub struct $name:ident { $($(#[$field_about:meta])* $field:ident: $type:ty,)* })*) => {
        $(
            $(#[$about])*
            #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
            #[serde(deny_unknown_fields)]
            pub struct $name { $($(#[$field_about])* pub $field: $type,)* }
        )*
    };
}

said! {
    /// All that is known of one completed move.
    pub struct Facts {
        /// The cluster.
        cluster: ClusterId,
        /// The node.
        node: NodeId,
        /// Whose it was when its soak ended.
        customer: CustomerId,
        /// What its client connected to then.
        server_name: ServerName,
        /// From where to where, and under which numbers.
        place: Place,
        /// What the source was sealed at: all that it had.
        source: State,
        /// What the target had when it took over.
        target: Target,
        /// What went along with the objects.
        history: Histories,
        /// Copies compared and read again.
        deep_verify: Deep,
        /// What was accepted as lost or damaged.
        losses: Losses,
        /// The certificates of the node's client.
        certificates: Certificates,
        /// The soak.
        soak: Soak,
        /// When the move came where.
        times: Times,
        /// Who ordered it: identities of operators.
        ordered_by: Orders,
    }

    /// From where to where, and under which numbers.
    pub struct Place {
        /// Where the node left.
        source: ShardId,
        /// Where it went.
        target: ShardId,
        /// The batch it moved with.
        batch: BatchId,
        /// The revision of the plan.
        plan_revision: Option<u64>,
        /// The node's fence since the move.
        generation: u64,
        /// Leadership number of the controller that committed it.
        term: u64,
        /// Version of the first routes that led to the target.
        route_version: Option<u64>,
    }

    /// The objects of one side at one moment.
    pub struct State {
        /// The last change of the source's journal that is in it.
        seq: u64,
        /// Root of the digest over kind, name, size and hash of all objects; 64 hexadecimal digits.
        digest: String,
        /// Objects, locks included.
        objects: u64,
        /// Their bytes.
        bytes: u64,
        /// Objects whose bytes do not match their names.
        damaged: u64,
    }

    /// What the target had when it took over.
    pub struct Target {
        /// Its objects, as it said itself before it was promoted at exactly that.
        state: Option<State>,
        /// The last change of its own journal when it was promoted.
        promoted_seq: Option<u64>,
        /// Snapshots that it had then.
        snapshots: Option<u64>,
    }

    /// What went along with the objects, as each side had it right after the flip.
    pub struct Histories {
        /// As the source had it.
        source: Option<History>,
        /// As the target had it.
        target: Option<History>,
    }

    /// What belongs to a node besides its objects, counted.
    pub struct History {
        /// Snapshots.
        snapshots: u64,
        /// Records of clients' runs.
        sessions: Option<u64>,
        /// Password lines of the account.
        credentials: Option<u64>,
        /// Most bytes that the node may store; absent: none of its own.
        quota_bytes: Option<u64>,
        /// Clients may add and not delete.
        append_only: bool,
        /// Reasons to keep all of it.
        holds: u64,
        /// SHA-256 over the holds.
        holds_sha256: String,
        /// Certificates that were ever seen in use.
        certificates_seen: u64,
    }

    /// Copies compared and read again.
    pub struct Deep {
        /// What both sides had at one change before the flip, when the target had read all of its bytes again.
        before: Option<State>,
        /// The copy of the source, read again after the move.
        source: Option<Copy>,
        /// The copy of the target, read again after the move.
        target: Option<Copy>,
    }

    /// One copy, all of it read again and found good.
    pub struct Copy {
        /// When that began.
        begun_unix_ms: Option<u64>,
        /// When that ended.
        ended_unix_ms: Option<u64>,
        /// Objects that were read.
        objects: u64,
        /// Their bytes.
        bytes: u64,
        /// Damaged objects that the copy was given as they are, by an operator's leave.
        known_damaged: u64,
    }

    /// What was accepted as lost or damaged.
    pub struct Losses {
        /// Damaged objects were accepted for this move.
        damage_accepted: bool,
        /// Who accepted them; absent: the plan did, or it is not recorded.
        damage_accepted_by: Option<String>,
        /// What was given up of the node before this move, when it went back without its writer.
        given_up: Vec<GivenUp>,
    }

    /// What was given up of a node when it went back without its writer.
    pub struct GivenUp {
        /// When that was committed.
        at_unix_ms: u64,
        /// The shard that was gone.
        writer: ShardId,
        /// What it stored after this change of its journal was given up.
        after_seq: u64,
        /// The node's fence since then.
        generation: u64,
    }

    /// The certificates of the node's client.
    pub struct Certificates {
        /// The one that the cluster issued and that was seen in use before the move.
        new: Option<Certificate>,
        /// Others that were seen in use up to the flip, the last ones first.
        old: Option<Vec<Certificate>>,
    }

    /// One certificate.
    pub struct Certificate {
        /// Who issued it: an issuing CA of the cluster, or `legacy` for a CA from before.
        issuer: Option<String>,
        /// Its serial, hexadecimal.
        serial: String,
        /// When it was last seen in use.
        last_seen_unix_ms: Option<u64>,
    }

    /// The soak.
    pub struct Soak {
        /// `good`, or `bad: ` and why; absent: it was released before there was one.
        verdict: Option<String>,
        /// An operator released the batch without waiting for a good verdict.
        forced: Option<bool>,
        /// When the first complete backup was stored at the target.
        backup_seen_unix_ms: Option<u64>,
    }

    /// When the move came where, by the controller's clock.
    pub struct Times {
        /// Its plan was applied.
        planned_unix_ms: Option<u64>,
        /// Its work began.
        started_unix_ms: Option<u64>,
        /// All objects were at the target.
        seeded_unix_ms: Option<u64>,
        /// It was ready to flip.
        ready_unix_ms: Option<u64>,
        /// Clients were parked.
        fenced_unix_ms: Option<u64>,
        /// The source gave up its right to resume.
        sealed_unix_ms: Option<u64>,
        /// The commit was recorded.
        committed_unix_ms: Option<u64>,
        /// The target was the writer.
        promoted_unix_ms: Option<u64>,
        /// The routers held the new routes, read back and probed.
        flipped_unix_ms: Option<u64>,
        /// Old credentials had ended, the old copy was in quarantine.
        released_unix_ms: Option<u64>,
    }

    /// Who ordered it.
    pub struct Orders {
        /// Who applied the plan.
        planned: Option<String>,
        /// Who started the batch.
        started: Option<String>,
        /// Who released it.
        released: Option<String>,
    }
}
