//! What a plan was made for, as its file says it in `[wishes]`. [`crate::check()`] holds the plan to it, together with the
//! rules of the cluster.
//!
//! The same table alone in a file serves to make a plan from.

use super::{Located, read, spell};
use crate::finding::{Finding, Lines};
use crate::policy::Window;
use crate::problem::PlanOptions;
use crate::problem::wishes::{CustomerRule, Goal};
use shardlift_model::{ByteCount, CustomerId, NodeId, ShardId};

/// The table `[wishes]`. What is absent is as [`PlanOptions::default`] has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wishes {
    pub(crate) goal: Option<Located<Goal>>,
    pub(crate) tolerance_permille: Option<u16>,
    pub(crate) horizon_days: Option<u16>,
    pub(crate) bytes_max: Option<Located<ByteCount>>,
    pub(crate) moves_max: Option<Located<u64>>,
    pub(crate) from_any_shard: bool,
    pub(crate) windows: Vec<Window>,
    pub(crate) holds: Vec<Located<NodeId>>,
    pub(crate) pins: Vec<Located<NodeId>>,
    pub(crate) must_move: Vec<Located<NodeId>>,
    pub(crate) targets_of: Vec<(Located<NodeId>, Vec<Located<ShardId>>)>,
    pub(crate) customers: Vec<(Located<CustomerId>, CustomerRule)>,
}

impl Wishes {
    /// Makes these the wishes for a new plan; what they do not name stays as it is there.
    pub fn apply_to(&self, options: &mut PlanOptions) {
        let names = |names: &[Located<NodeId>]| names.iter().map(|name| name.value.clone()).collect::<Vec<_>>();
        options.goal = self.goal.map(|goal| goal.value).or(options.goal);
        options.tolerance_permille = self.tolerance_permille.unwrap_or(options.tolerance_permille);
        options.horizon_days = self.horizon_days.unwrap_or(options.horizon_days);
        options.bytes_max = self.bytes_max.map(|most| most.value).or(options.bytes_max);
        options.moves_max = self.moves_max.map(|most| most.value).or(options.moves_max);
        options.from_any_shard |= self.from_any_shard;
        options.windows.extend(&self.windows);
        options.holds.extend(names(&self.holds));
        options.pins.extend(names(&self.pins));
        options.must_move.extend(names(&self.must_move));
        let sets = self.targets_of.iter();
        options.targets_of.extend(
            sets.map(|(node, targets)| {
                (node.value.clone(), targets.iter().map(|target| target.value.clone()).collect())
            }),
        );
        options.customers.extend(self.customers.iter().map(|(customer, rule)| (customer.value.clone(), *rule)));
    }

    /// Key and value of each wish, as `[wishes]` spells them; what is as without it has none.
    #[must_use]
    pub fn spelled(&self) -> Vec<(String, String)> {
        let mut options = PlanOptions::default();
        self.apply_to(&mut options);
        let spelled = spell::wishes(&options);
        let of = |table: &'static str, lines: Vec<(String, String)>| {
            lines.into_iter().map(move |(key, value)| (format!("{table}{key}"), value))
        };
        let plain = spelled.plain.into_iter().map(|(key, value)| (key.to_owned(), value));
        plain.chain(of("targets_of ", spelled.targets_of)).chain(of("customers ", spelled.customers)).collect()
    }
}

/// Reads a file that holds the table `[wishes]` and nothing else.
///
/// # Errors
/// Everything that is wrong with its form, ordered by place; at least one finding.
pub fn parse_wishes(text: &str) -> Result<Wishes, Vec<Finding>> {
    super::refuse_size(text, "split the lists")?;
    read::wishes_file(text, &Lines::new(text))
}
