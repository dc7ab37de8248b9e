//! The server name of a TLS hello (RFC 8446 section 4.1.2, RFC 6066 section 3). Pure, bounded, and nothing but the name.

use shardlift_model::ServerName;

/// Most bytes looked at; a hello with post-quantum keys has about 2 KiB.
pub const HELLO_BYTES_MAX: usize = 16 * 1024;

const RECORD_HANDSHAKE: u8 = 22;
const MESSAGE_CLIENT_HELLO: u8 = 1;
const EXTENSION_SERVER_NAME: u16 = 0;
const NAME_TYPE_HOST: u8 = 0;

/// What the bytes so far say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hello {
    /// The hello is not complete yet.
    Incomplete,
    /// The name the client asks for.
    Name(ServerName),
    /// There is no name to go by, and more bytes will not change that.
    Refused(Refusal),
}

/// Why a connection is closed unseen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Another protocol.
    #[error("not a TLS hello")]
    NotTls,
    /// Lengths that contradict each other.
    #[error("a malformed TLS hello")]
    Malformed,
    /// Over [`HELLO_BYTES_MAX`].
    #[error("the TLS hello is too long")]
    TooLong,
    /// No server name.
    #[error("the TLS hello has no server name")]
    NoName,
    /// Not a DNS name: an address, or bytes.
    #[error("the server name is not a DNS name")]
    BadName,
}

/// Reads the first bytes of a connection. They may be cut anywhere and spread over several TLS records.
#[must_use]
pub fn read(bytes: &[u8]) -> Hello {
    match message(bytes).and_then(|message| message.map(|message| name(&message)).transpose()) {
        Ok(Some(name)) => Hello::Name(name),
        Ok(None) if bytes.len() >= HELLO_BYTES_MAX => Hello::Refused(Refusal::TooLong),
        Ok(None) => Hello::Incomplete,
        Err(refusal) => Hello::Refused(refusal),
    }
}

/// Joins handshake records until the message is complete. `None`: more bytes are needed.
fn message(mut bytes: &[u8]) -> Result<Option<Vec<u8>>, Refusal> {
    let mut joined = Vec::new();
    loop {
        if bytes.first().is_some_and(|kind| *kind != RECORD_HANDSHAKE) || bytes.get(1).is_some_and(|major| *major != 3)
        {
            return Err(Refusal::NotTls);
        }
        let Some((head, rest)) = bytes.split_at_checked(5) else { return Ok(None) };
        let length = usize::from(u16::from_be_bytes([head[3], head[4]]));
        if length == 0 {
            return Err(Refusal::Malformed);
        }
        let part = &rest[..length.min(rest.len())];
        joined.extend_from_slice(part);
        if joined.first().is_some_and(|kind| *kind != MESSAGE_CLIENT_HELLO) {
            return Err(Refusal::NotTls);
        }
        if let Some(expected) = message_length(&joined) {
            if expected > HELLO_BYTES_MAX {
                return Err(Refusal::TooLong);
            }
            if joined.len() >= 4 + expected {
                return Ok(Some(joined[4..4 + expected].to_vec()));
            }
        }
        if rest.len() < length {
            return Ok(None);
        }
        bytes = &rest[length..];
    }
}

fn message_length(joined: &[u8]) -> Option<usize> {
    let [_, a, b, c] = *joined.first_chunk()?;
    Some(usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c))
}

fn name(hello: &[u8]) -> Result<ServerName, Refusal> {
    let mut hello = Reader(hello);
    hello.take(2 + 32)?;
    hello.vector8()?;
    hello.vector16()?;
    hello.vector8()?;
    if hello.0.is_empty() {
        return Err(Refusal::NoName);
    }
    let mut extensions = Reader(hello.vector16()?);
    let mut found = None;
    while !extensions.0.is_empty() {
        let kind = extensions.number16()?;
        let body = extensions.vector16()?;
        if kind == EXTENSION_SERVER_NAME && found.replace(host_name(body)?).is_some() {
            return Err(Refusal::Malformed);
        }
    }
    found.ok_or(Refusal::NoName)
}

/// The one host name of the extension. A second name of the same kind is forbidden, and others do not exist.
fn host_name(body: &[u8]) -> Result<ServerName, Refusal> {
    let mut body = Reader(body);
    let mut list = Reader(body.vector16()?);
    let kind = list.take(1)?[0];
    let name = list.vector16()?;
    if kind != NAME_TYPE_HOST || !list.0.is_empty() || !body.0.is_empty() {
        return Err(Refusal::Malformed);
    }
    let text = std::str::from_utf8(name).map_err(|_| Refusal::BadName)?.to_ascii_lowercase();
    let is_address = text.parse::<std::net::IpAddr>().is_ok();
    if is_address { Err(Refusal::BadName) } else { text.parse().map_err(|_| Refusal::BadName) }
}

/// Takes from the front; running out is malformed, because the message is complete.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Refusal> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Refusal::Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn number16(&mut self) -> Result<u16, Refusal> {
        let bytes = self.take(2)?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn vector8(&mut self) -> Result<&'a [u8], Refusal> {
        let length = self.take(1)?[0];
        self.take(length.into())
    }

    fn vector16(&mut self) -> Result<&'a [u8], Refusal> {
        let length = self.number16()?;
        self.take(length.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rustls::pki_types;
    use std::sync::Arc;

    /// A hello as a real client sends it.
    fn real(name: &str) -> Vec<u8> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        let name = pki_types::ServerName::try_from(name.to_owned()).unwrap();
        let mut client = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        bytes
    }

    /// The same message cut into records of `size` bytes.
    fn in_records(bytes: &[u8], size: usize) -> Vec<u8> {
        let head = [bytes[0], bytes[1], bytes[2]];
        let cut = |part: &[u8]| {
            let length = u16::try_from(part.len()).unwrap().to_be_bytes();
            [head.as_slice(), &length, part].concat()
        };
        bytes[5..].chunks(size).flat_map(cut).collect()
    }

    fn found(name: &str) -> Hello {
        Hello::Name(name.parse().unwrap())
    }

    #[test]
    fn the_name_is_found_however_the_bytes_arrive() {
        let hello = real("Node-7.backup.example");
        for end in 0..hello.len() {
            assert_eq!(read(&hello[..end]), Hello::Incomplete, "{end}");
        }
        assert_eq!(read(&hello), found("node-7.backup.example"));
        assert_eq!(read(&[hello.as_slice(), b"early data"].concat()), found("node-7.backup.example"));
        for size in [1, 7, 100] {
            assert_eq!(read(&in_records(&hello, size)), found("node-7.backup.example"), "{size}");
        }
    }

    #[test]
    fn what_has_no_usable_name_is_refused() {
        let refused = |bytes: &[u8]| match read(bytes) {
            Hello::Refused(refusal) => Some(refusal),
            _ => None,
        };
        assert_eq!(refused(b"GET / HTTP/1.1\r\n"), Some(Refusal::NotTls));
        assert_eq!(refused(&[22, 2, 0]), Some(Refusal::NotTls));
        assert_eq!(refused(&[22, 3, 1, 0, 0]), Some(Refusal::Malformed));
        assert_eq!(refused(&[22, 3, 1, 0, 4, 2, 0, 0, 0]), Some(Refusal::NotTls));
        assert_eq!(refused(&[22, 3, 1, 0, 4, 1, 1, 0, 0]), Some(Refusal::TooLong));
        assert_eq!(refused(&[22, 3, 1, 0, 4, 1, 0, 0, 0]), Some(Refusal::Malformed));
        assert_eq!(refused(&real("127.0.0.1")), Some(Refusal::NoName));
        let mut endless = in_records(&real("a.example"), 1);
        endless.truncate(60);
        assert_eq!(refused(&endless), None);
    }

    #[test]
    fn a_second_name_an_address_or_bytes_are_refused() {
        let hello = |extensions: &[u8]| {
            let mut body = vec![3, 3];
            body.extend([0; 32]);
            body.extend([0, 0, 2, 19, 1, 1, 0]);
            body.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
            body.extend(extensions);
            let length = u16::try_from(body.len()).unwrap().to_be_bytes();
            let record = u16::try_from(body.len() + 4).unwrap().to_be_bytes();
            [&[22, 3, 1], record.as_slice(), &[1, 0], &length, &body].concat()
        };
        let sni = |name: &[u8]| {
            let length = |extra: usize| u16::try_from(name.len() + extra).unwrap().to_be_bytes();
            [&[0, 0], length(5).as_slice(), &length(3), &[0], &length(0), name].concat()
        };
        assert_eq!(read(&hello(&sni(b"a.example"))), found("a.example"));
        let twice = [sni(b"a.example"), sni(b"b.example")].concat();
        assert_eq!(read(&hello(&twice)), Hello::Refused(Refusal::Malformed));
        for name in [b"10.0.0.1".as_slice(), b"a b", b"a.example.", b"-a", b"\xff", b""] {
            assert_eq!(read(&hello(&sni(name))), Hello::Refused(Refusal::BadName), "{name:?}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _outcome = read(&bytes);
        }

        #[test]
        fn a_damaged_hello_never_panics(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let mut hello = real("node.backup.example");
            let at = at.index(hello.len());
            hello[at] = byte;
            let _outcome = read(&hello);
        }
    }
}
