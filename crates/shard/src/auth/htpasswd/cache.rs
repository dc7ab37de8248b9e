//! Positive answers of the last minute, so that a backup's thousands of requests cost one slow check.

use crate::auth::htpasswd::Credential;
use aws_lc_rs::hmac;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long an answer is remembered.
const KEPT: Duration = Duration::from_secs(60);

/// Answers kept at the same time; over it, all are forgotten.
const ENTRIES_MAX: usize = 16_384;

/// What was verified, under a key of this process that is never stored.
pub(super) struct PositiveCache {
    key: hmac::Key,
    until: Mutex<HashMap<[u8; 32], Instant>>,
}

impl std::fmt::Debug for PositiveCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PositiveCache").finish_non_exhaustive()
    }
}

impl PositiveCache {
    pub(super) fn new() -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &rand::random::<[u8; 32]>());
        Self { key, until: Mutex::new(HashMap::new()) }
    }

    /// Whether this password opened this very line within the last minute.
    pub(super) fn remembers(&self, line: &Credential, password: &str) -> bool {
        let tag = self.tag(line, password);
        self.lock().get(&tag).is_some_and(|until| Instant::now() < *until)
    }

    /// Remembers for a minute that this password opened this line.
    pub(super) fn remember(&self, line: &Credential, password: &str) {
        let tag = self.tag(line, password);
        let mut entries = self.lock();
        if entries.len() >= ENTRIES_MAX {
            entries.clear();
        }
        entries.insert(tag, Instant::now() + KEPT);
    }

    fn tag(&self, line: &Credential, password: &str) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        for part in [&line.account, &line.hash, password] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        let mut tag = [0; 32];
        tag.copy_from_slice(context.sign().as_ref());
        tag
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<[u8; 32], Instant>> {
        self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
