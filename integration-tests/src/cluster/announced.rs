//! Where a part listens, as it says itself: one JSON line for each listener.

use crate::Process;
use anyhow::{Result, ensure};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

#[derive(Deserialize)]
struct Line {
    ready: String,
    address: SocketAddr,
}

fn read(log: &[u8]) -> BTreeMap<String, SocketAddr> {
    let lines = log.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"{\""));
    // Other lines of JSON are log records.
    lines.filter_map(|line| serde_json::from_slice::<Line>(line).ok()).map(|line| (line.ready, line.address)).collect()
}

/// Waits until all `listeners` are announced behind the first `skip` bytes of the log.
pub(super) async fn wait(
    process: &mut Process,
    skip: usize,
    listeners: &[&str],
    limit: Duration,
) -> Result<BTreeMap<String, SocketAddr>> {
    let path = process.log_path();
    let announced = || -> Result<BTreeMap<String, SocketAddr>> {
        let found = read(std::fs::read(&path)?.get(skip..).unwrap_or_default());
        let missing: Vec<_> = listeners.iter().filter(|name| !found.contains_key(**name)).collect();
        ensure!(missing.is_empty(), "not announced yet: {missing:?}");
        Ok(found)
    };
    process.wait_ready(limit, || std::future::ready(announced().map(drop))).await?;
    announced()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn announcements_are_found_between_other_lines() {
        let log = b"starting\n{\"ready\":\"client\",\"address\":\"127.0.0.1:7\"}\n{\"level\":\"INFO\"}\n{\"rea";
        assert_eq!(read(log), BTreeMap::from([("client".to_owned(), "127.0.0.1:7".parse().unwrap())]));
    }
}
