//! Free ports on loopback.
//!
//! The ports lie below the range from which the kernel takes the local ends of outgoing connections, so that a server
//! which was killed finds its port free when it comes back. Within one test binary no port is handed out twice. Between
//! the moment the port is released here and the moment a server binds it, another program may take it: where a server
//! need not come back at the same place, prefer one that binds port 0 itself and says where it is.

use anyhow::{Result, bail};
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::Range;
use std::sync::Mutex;

static HANDED_OUT: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// Below what `net.ipv4.ip_local_port_range` begins with on Linux.
const PORTS: Range<u16> = 15_000..32_000;

const ATTEMPTS_MAX: usize = 1000;

/// An address on 127.0.0.1 whose port was free a moment ago.
///
/// # Errors
/// When no port can be bound.
pub fn free_address() -> Result<SocketAddr> {
    for _ in 0..ATTEMPTS_MAX {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, rand::random_range(PORTS)));
        if TcpListener::bind(address).is_err() {
            continue;
        }
        // A panic while the set is held leaves a set that is still right.
        let mut handed_out = HANDED_OUT.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if handed_out.insert(address.port()) {
            return Ok(address);
        }
    }
    bail!("no fresh port in {ATTEMPTS_MAX} attempts")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_addresses_are_on_loopback_and_never_repeat() {
        let addresses: BTreeSet<_> = (0..50).map(|_| free_address().unwrap()).collect();
        assert_eq!(addresses.len(), 50);
        assert!(addresses.iter().all(|address| address.ip().is_loopback() && PORTS.contains(&address.port())));
    }
}
