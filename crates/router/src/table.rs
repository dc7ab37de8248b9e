//! The routing table and the rules by which it changes. Pure.
//!
//! Every change has a version and is taken as a whole or not at all. Each route carries the token of its node's placement, so
//! that a message that was delayed can never send clients back to where they came from (INV-03, INV-06).

use serde::{Deserialize, Serialize};
use sha2::Digest as _;
use shardlift_model::{NodeId, ServerName, Sha256, ShardId, Token};
use std::collections::BTreeMap;

/// Most routes of one table.
pub const ROUTES_MAX: usize = 1_000_000;

/// Longest shard address, in bytes.
const ADDRESS_BYTES_MAX: usize = 260;

/// Where a server name leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// What the client asks for.
    pub server_name: ServerName,
    /// Whose connection it is.
    pub node: NodeId,
    /// The writer.
    pub shard: ShardId,
    /// host:port of the writer's client listener.
    pub client_address: String,
    /// Token of the placement.
    pub token: Token,
    /// The former shard was not asked to give the node up: connections that were passed to it are ended before this route is shown.
    #[serde(default)]
    pub sever: bool,
}

impl Route {
    /// Whether both lead to the same place.
    #[must_use]
    pub fn leads_where(&self, other: &Self) -> bool {
        self.shard == other.shard && self.client_address == other.client_address
    }
}

/// A change, as asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Version of the table with it.
    pub version: u64,
    /// Routes that are new or different.
    pub upserts: Vec<Route>,
}

/// All routes, at one version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    version: u64,
    /// Hash of the last change: tells a repetition from a contradiction.
    last_change: Option<Sha256>,
    by_name: BTreeMap<ServerName, Route>,
    name_of: BTreeMap<NodeId, ServerName>,
}

/// Whether a change is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is to be stored and put in force.
    New,
    /// It is in force already.
    Repeated,
}

/// Why a change is refused. Nothing of it is taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The table is further.
    #[error("version {asked} is not above the router's version {held}")]
    StaleVersion {
        /// The change's.
        asked: u64,
        /// The table's.
        held: u64,
    },
    /// The same version with another content.
    #[error("version {0} is in force with other routes")]
    Contradiction(u64),
    /// A route is older than the one held (INV-03).
    #[error("the token {asked} for node {node} is stale: the router holds {held}")]
    StaleToken {
        /// Whose.
        node: NodeId,
        /// The change's.
        asked: Token,
        /// The table's.
        held: Token,
    },
    /// A name belongs to one node.
    #[error("the server name {name} belongs to node {owner}")]
    NameTaken {
        /// Which name.
        name: ServerName,
        /// Whose it is.
        owner: NodeId,
    },
    /// The same node or name twice.
    #[error("node {0} appears twice in one change")]
    Twice(NodeId),
    /// Not host:port.
    #[error("the address of shard {0} is not host:port")]
    BadAddress(ShardId),
    /// Over [`ROUTES_MAX`].
    #[error("a router holds at most {ROUTES_MAX} routes")]
    TooMany,
}

impl Table {
    /// The version in force; 0 for a table without any change.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// Number of routes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// True without a route.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// Where a name leads.
    #[must_use]
    pub fn find(&self, name: &ServerName) -> Option<&Route> {
        self.by_name.get(name)
    }

    /// Where a node's clients are led.
    #[must_use]
    pub fn route_of(&self, node: &NodeId) -> Option<&Route> {
        self.name_of.get(node).and_then(|name| self.by_name.get(name))
    }

    /// Routes in the order of their names, after one.
    pub fn after(&self, name: Option<&ServerName>) -> impl Iterator<Item = &Route> {
        use std::ops::Bound::{Excluded, Unbounded};
        self.by_name.range((name.map_or(Unbounded, |name| Excluded(name.clone())), Unbounded)).map(|(_, route)| route)
    }

    /// Judges a change without taking it.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn judge(&self, change: &Change) -> Result<Verdict, Refused> {
        if change.version == self.version && self.version > 0 {
            let same = self.last_change == Some(hash_of(change));
            return if same { Ok(Verdict::Repeated) } else { Err(Refused::Contradiction(self.version)) };
        }
        if change.version <= self.version {
            return Err(Refused::StaleVersion { asked: change.version, held: self.version });
        }
        let mut seen: BTreeMap<&NodeId, &ServerName> = BTreeMap::new();
        let mut names: BTreeMap<&ServerName, &NodeId> = BTreeMap::new();
        for route in &change.upserts {
            self.judge_route(route)?;
            if seen.insert(&route.node, &route.server_name).is_some()
                || names.insert(&route.server_name, &route.node).is_some()
            {
                return Err(Refused::Twice(route.node.clone()));
            }
        }
        if self.len() + change.upserts.len() > ROUTES_MAX {
            return Err(Refused::TooMany);
        }
        Ok(Verdict::New)
    }

    fn judge_route(&self, route: &Route) -> Result<(), Refused> {
        if !is_address(&route.client_address) {
            return Err(Refused::BadAddress(route.shard.clone()));
        }
        if let Some(owner) = self.by_name.get(&route.server_name).map(|held| &held.node)
            && *owner != route.node
        {
            return Err(Refused::NameTaken { name: route.server_name.clone(), owner: owner.clone() });
        }
        // INV-03: judged by node, whatever name the node had before.
        match self.route_of(&route.node) {
            Some(held) if route.token < held.token => {
                Err(Refused::StaleToken { node: route.node.clone(), asked: route.token, held: held.token })
            }
            _ => Ok(()),
        }
    }

    /// The table with a change that was judged new.
    #[must_use]
    pub fn with(&self, change: &Change) -> Self {
        let mut table = self.clone();
        table.take(change);
        table
    }

    /// Takes a change that was judged new.
    pub(crate) fn take(&mut self, change: &Change) {
        self.version = change.version;
        self.last_change = Some(hash_of(change));
        for route in &change.upserts {
            if let Some(former) = self.name_of.insert(route.node.clone(), route.server_name.clone()) {
                self.by_name.remove(&former);
            }
            self.by_name.insert(route.server_name.clone(), route.clone());
        }
    }
}

fn is_address(text: &str) -> bool {
    let port = |text: &str| text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|port| port > 0);
    text.len() <= ADDRESS_BYTES_MAX
        && text.rsplit_once(':').is_some_and(|(host, number)| !host.is_empty() && !host.contains(' ') && port(number))
}

/// Length-prefixed, so that no two changes share an encoding.
fn hash_of(change: &Change) -> Sha256 {
    let mut hash = sha2::Sha256::new();
    hash.update(change.version.to_be_bytes());
    for route in &change.upserts {
        for part in [route.server_name.as_str(), route.node.as_str(), route.shard.as_str(), &route.client_address] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        for number in [route.token.term.0, route.token.generation.0, route.token.step.0] {
            hash.update(number.to_be_bytes());
        }
        hash.update([u8::from(route.sever)]);
    }
    Sha256(hash.finalize().into())
}

#[cfg(test)]
mod tests;
