//! The revocation lists that hold: one of each issuing CA that may have signed something that is still shown.
//!
//! All have the same number and name the same serials, whoever signed them: which CA signed a certificate is not in the journal, and
//! serial numbers of 128 random bits are nobody else's.

use crate::state::Shared;
use shardlift_migration::World;
use shardlift_migration::certificates::RevocationListState;
use shardlift_model::UnixMillis;
use shardlift_pki::authority::{Authority, AuthorityError, Listed};
use shardlift_pki::revocation::list_der;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long a list is good for: renewed daily, it survives a week without a controller.
const LIST_VALIDITY: Duration = Duration::from_secs(7 * 24 * 3600);

/// A revocation list, as it is brought to shards.
#[derive(Debug)]
pub(crate) struct SignedList {
    /// The name of its CA.
    pub(crate) issuer: String,
    /// Of the list.
    pub(crate) number: u64,
    /// When it was made.
    pub(crate) at: UnixMillis,
    /// When a newer one should be there.
    pub(crate) next_update: UnixMillis,
    /// The list, and the certificate of its CA.
    pub(crate) pem: String,
    /// The list alone, in DER.
    pub(crate) der: Arc<[u8]>,
}

/// What was signed. Each number is signed once by each CA: a second signature would be another list.
#[derive(Debug, Default)]
pub(super) struct SignedLists(Mutex<BTreeMap<u32, Arc<SignedList>>>);

/// A CA's name, as lists and shards write it.
pub(super) fn name(generation: u32) -> String {
    format!("issuing-{generation}")
}

impl SignedLists {
    /// Those that follow from what is recorded, of the CA that signs certificates first; none before the first one was ordered.
    pub(super) fn holding(
        &self,
        authority: &Authority,
        shared: &Shared,
        now: UnixMillis,
    ) -> Result<Vec<Arc<SignedList>>, AuthorityError> {
        let mut signed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = shared.world(|world| world.revocation_list);
        if wanted.number == 0 {
            return Ok(Vec::new());
        }
        let mut lists = Vec::new();
        for generation in authority.listing(now)?.into_iter().rev() {
            let held = signed.get(&generation).filter(|list| list.number == wanted.number);
            let list = match held {
                Some(list) => Arc::clone(list),
                None => Arc::new(shared.world(|world| sign(authority, generation, world))?),
            };
            signed.insert(generation, Arc::clone(&list));
            lists.push(list);
        }
        Ok(lists)
    }
}

fn sign(authority: &Authority, generation: u32, world: &World) -> Result<SignedList, AuthorityError> {
    let RevocationListState { number, at } = world.revocation_list;
    let listed = world.certificates.iter().filter_map(|(serial, known)| {
        let revoked = known.revoked?;
        Some(Listed { serial, at: revoked.at, reason: revoked.reason })
    });
    let pem = authority.sign_list_as(generation, number, at, LIST_VALIDITY, listed)?;
    let der = list_der(&pem).ok_or_else(|| AuthorityError::NotMade("the list is not in its own text".to_owned()))?;
    let (issuer, der) = (name(generation), der.into());
    Ok(SignedList { issuer, number, at, next_update: at.plus(LIST_VALIDITY), pem, der })
}
