//! What belongs to a node besides its objects, as it travels.

use crate::auth::htpasswd::Credential;
use crate::control::message;
use crate::engine::SideData;
use shardlift_api::fault::{Fault, FaultKind};
use shardlift_api::{convert, v1};
use shardlift_model::{Activity, NodeId, Sha256, UnixMillis};

/// Most credentials that a node brings along.
const CREDENTIALS_MAX: usize = 64;

/// Most locks whose times travel. Clients have a few; more are left by clients that were killed.
const LOCK_TIMES_MAX: usize = 10_000;

/// Longest account or hash in bytes.
const CREDENTIAL_TEXT_BYTES_MAX: usize = 256;

/// Checked side data.
#[derive(Debug)]
pub(crate) struct Side {
    pub(crate) data: SideData,
    pub(crate) credentials: Vec<Credential>,
}

impl Side {
    pub(crate) fn message(self) -> v1::SideData {
        let credential = |line: Credential| v1::Credential { user: line.account, hash: line.hash };
        v1::SideData {
            settings: Some(message::settings_message(&self.data.settings)),
            credentials: self.credentials.into_iter().map(credential).collect(),
            sessions: self.data.sessions.iter().map(message::session_message).collect(),
            seen_certificates: self.data.seen_certificates.iter().map(message::certificate_message).collect(),
            last_snapshot_unix_ms: self.data.last_snapshot.map_or(0, |at| at.0),
            lock_times: self.data.lock_times.into_iter().take(LOCK_TIMES_MAX).map(lock_time).collect(),
            activity: self.data.activity.map(|activity| activity.encode()).unwrap_or_default(),
        }
    }

    /// INV-12: credentials of any other account are refused; they would open other nodes here.
    pub(crate) fn read(node: &NodeId, data: v1::SideData) -> Result<Self, Fault> {
        let invalid = |what: &str| Fault::new(FaultKind::Invalid, what);
        let settings = data.settings.ok_or_else(|| invalid("settings are absent"))?;
        if data.credentials.len() > CREDENTIALS_MAX {
            return Err(invalid("too many credentials"));
        }
        let fits = |one: &v1::Credential| one.user == node.account() && one.hash.len() <= CREDENTIAL_TEXT_BYTES_MAX;
        if !data.credentials.iter().all(fits) {
            return Err(invalid("a credential of another account, or one that cannot be meant"));
        }
        if data.lock_times.len() > LOCK_TIMES_MAX {
            return Err(invalid("too many locks"));
        }
        let credential = |one: v1::Credential| Credential { account: one.user, hash: one.hash };
        Ok(Self {
            data: SideData {
                settings: message::settings(settings)?,
                sessions: message::sessions(data.sessions)?,
                seen_certificates: message::certificates(data.seen_certificates)?,
                last_snapshot: (data.last_snapshot_unix_ms > 0).then_some(UnixMillis(data.last_snapshot_unix_ms)),
                lock_times: data.lock_times.iter().map(time_of_lock).collect::<Result<_, _>>()?,
                activity: activity(node, &data.activity),
            },
            credentials: data.credentials.into_iter().map(credential).collect(),
        })
    }
}

fn lock_time((name, at): (Sha256, UnixMillis)) -> v1::LockTime {
    v1::LockTime { name: name.0.to_vec(), stored_at_unix_ms: at.0 }
}

fn time_of_lock(message: &v1::LockTime) -> Result<(Sha256, UnixMillis), Fault> {
    Ok((convert::sha256(&message.name)?, UnixMillis(message.stored_at_unix_ms)))
}

/// None from a shard that counts nothing, or in another way: what a node did says where it should be, and nothing of it holds up a move.
fn activity(node: &NodeId, bytes: &[u8]) -> Option<Activity> {
    if bytes.is_empty() {
        return None;
    }
    let read = Activity::decode(bytes);
    read.inspect_err(
        |error| tracing::warn!(%node, %error, "what the source counted cannot be read; counting begins anew"),
    )
    .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_of_another_account_are_refused() {
        let node: NodeId = "acme/web-1".parse().unwrap();
        let of = |user: &str| v1::SideData {
            settings: Some(v1::NodeSettings::default()),
            credentials: vec![v1::Credential { user: user.into(), hash: "$2y$04$x".into() }],
            ..v1::SideData::default()
        };
        assert_eq!(Side::read(&node, of("acme")).unwrap().credentials.len(), 1);
        assert!(Side::read(&node, of("other")).is_err());
        assert!(Side::read(&node, v1::SideData::default()).is_err(), "settings are never absent");
    }

    #[test]
    fn activity_that_cannot_be_read_holds_nothing_up() {
        let node: NodeId = "acme/web-1".parse().unwrap();
        let with = |activity: Vec<u8>| {
            let settings = Some(v1::NodeSettings::default());
            Side::read(&node, v1::SideData { settings, activity, ..v1::SideData::default() }).unwrap().data.activity
        };
        assert_eq!(with(vec![9]), None);
        assert_eq!(with(Vec::new()), None);
        assert_eq!(with(Activity::default().encode()), Some(Activity::default()));
    }
}
