//! TLS over loopback in this program, with as few copies and system calls as rustls allows in its plain form: what the bare pipeline
//! goes through, and a limit of the machine by itself. TLS 1.3, AES-128-GCM, certificates on both sides.

use super::rclone::Certificates;
use anyhow::{Context as _, Result, anyhow, bail};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use std::io::{BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;

/// What goes into the connection at once: sixteen records and one system call.
pub(super) const CHUNK_BYTES: usize = 256 * 1024;

/// Both ends' settings.
#[derive(Clone)]
pub(super) struct Settings {
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

type Own = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn own(issued: &crate::Issued) -> Result<Own> {
    let certificate = CertificateDer::from_pem_slice(issued.certificate_pem.as_bytes());
    let key = PrivateKeyDer::from_pem_slice(issued.key_pem.as_bytes());
    let certificate = certificate.map_err(|error| anyhow!("a certificate's PEM: {error}"))?;
    Ok((vec![certificate], key.map_err(|error| anyhow!("a key's PEM: {error}"))?))
}

impl Settings {
    /// With these certificates.
    pub(super) fn new(certificates: &Certificates) -> Result<Self> {
        let suite = rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
        let aws = rustls::crypto::aws_lc_rs::default_provider();
        let provider = Arc::new(CryptoProvider { cipher_suites: vec![suite], ..aws });
        let mut roots = RootCertStore::empty();
        let ca = CertificateDer::from_pem_file(&certificates.ca).map_err(|error| anyhow!("the CA's PEM: {error}"))?;
        roots.add(ca)?;
        let roots = Arc::new(roots);
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider)).build()?;
        let (chain, key) = own(&certificates.server)?;
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)?;
        let (chain, key) = own(&certificates.client)?;
        let client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)?;
        Ok(Self { client: Arc::new(client), server: Arc::new(server) })
    }

    /// Two ends of one new connection.
    pub(super) fn connect(&self) -> Result<(Outgoing, Incoming)> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("listening on loopback")?;
        let giving = TcpStream::connect(listener.local_addr()?).context("connecting over loopback")?;
        let (taking, _) = listener.accept()?;
        giving.set_nodelay(true)?;
        taking.set_nodelay(true)?;
        let name = ServerName::try_from("localhost").context("a server's name")?;
        let mut client = ClientConnection::new(Arc::clone(&self.client), name)?;
        client.set_buffer_limit(None);
        let server = ServerConnection::new(Arc::clone(&self.server))?;
        let socket = BufReader::with_capacity(CHUNK_BYTES, taking);
        Ok((Outgoing { tls: client, socket: giving }, Incoming { tls: server, socket }))
    }
}

/// The giving end.
pub(super) struct Outgoing {
    tls: ClientConnection,
    socket: TcpStream,
}

impl Outgoing {
    /// Encrypts and sends.
    pub(super) fn put(&mut self, bytes: &[u8]) -> Result<()> {
        if self.tls.is_handshaking() {
            self.tls.complete_io(&mut self.socket).context("the TLS handshake of the giving end")?;
        }
        self.tls.writer().write_all(bytes)?;
        self.drain()
    }

    fn drain(&mut self) -> Result<()> {
        while self.tls.wants_write() {
            self.tls.write_tls(&mut self.socket).context("sending")?;
        }
        Ok(())
    }

    /// Says that there is no more.
    pub(super) fn end(mut self) -> Result<()> {
        self.tls.send_close_notify();
        self.drain()?;
        // What the other end still had to say must be read: a socket that is closed before that is reset, and with it what is on its way.
        self.socket.shutdown(std::net::Shutdown::Write)?;
        std::io::copy(&mut self.socket, &mut std::io::sink()).context("waiting for the taking end")?;
        Ok(())
    }
}

/// The taking end.
pub(super) struct Incoming {
    tls: ServerConnection,
    socket: BufReader<TcpStream>,
}

impl Incoming {
    /// What has arrived, at most as much as there is room; 0 only at the end that the other side has declared.
    pub(super) fn some(&mut self, room: &mut [u8]) -> Result<usize> {
        loop {
            match self.tls.reader().read(room) {
                Ok(read) => return Ok(read),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error).context("reading what has arrived"),
            }
            while self.tls.wants_write() {
                self.tls.write_tls(self.socket.get_mut()).context("answering")?;
            }
            if self.tls.read_tls(&mut self.socket).context("receiving")? == 0 {
                bail!("the connection broke off");
            }
            self.tls.process_new_packets().context("decrypting")?;
        }
    }

    /// Fills all of `room`; false when the end came before its first byte.
    pub(super) fn fill(&mut self, room: &mut [u8]) -> Result<bool> {
        let mut filled = 0;
        while filled < room.len() {
            match self.some(&mut room[filled..])? {
                0 if filled == 0 => return Ok(false),
                0 => bail!("the connection ended in the middle"),
                read => filled += read,
            }
        }
        Ok(true)
    }
}

/// Moves `bytes` over each of `connections` from memory to memory, all at the same time.
pub(super) fn memory_to_memory(settings: &Settings, connections: usize, bytes: u64) -> Result<()> {
    std::thread::scope(|scope| {
        let mut threads = Vec::new();
        for _connection in 0..connections {
            let (mut giving, mut taking) = settings.connect()?;
            threads.push(scope.spawn(move || {
                let chunk = vec![7; CHUNK_BYTES];
                for _chunk in 0..bytes.div_ceil(CHUNK_BYTES as u64) {
                    giving.put(&chunk)?;
                }
                giving.end()
            }));
            threads.push(scope.spawn(move || {
                let mut room = vec![0; CHUNK_BYTES];
                while taking.some(&mut room)? > 0 {}
                Ok(())
            }));
        }
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_panic| anyhow!("a TLS thread panicked"))?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TestRoot;

    #[test]
    fn what_is_put_in_comes_out_and_an_end_is_an_end() {
        let root = TestRoot::new("bench-tls").unwrap();
        let settings = Settings::new(&Certificates::make(root.path()).unwrap()).unwrap();
        let (mut giving, mut taking) = settings.connect().unwrap();
        let giver = std::thread::spawn(move || {
            giving.put(&[1; 100_000]).unwrap();
            giving.put(&[2; 7]).unwrap();
            giving.end().unwrap();
        });
        let mut first = vec![0; 100_000];
        assert!(taking.fill(&mut first).unwrap() && first == [1; 100_000]);
        let mut second = [0; 7];
        assert!(taking.fill(&mut second).unwrap() && second == [2; 7]);
        assert!(!taking.fill(&mut second).unwrap());
        drop(taking);
        giver.join().unwrap();
        memory_to_memory(&settings, 2, 1 << 20).unwrap();
    }

    #[test]
    fn a_connection_that_breaks_off_is_no_end() {
        let root = TestRoot::new("bench-tls").unwrap();
        let settings = Settings::new(&Certificates::make(root.path()).unwrap()).unwrap();
        let (mut giving, mut taking) = settings.connect().unwrap();
        let giver = std::thread::spawn(move || {
            giving.put(&[1; 1000]).unwrap();
            giving
        });
        let mut room = [0; 1000];
        assert!(taking.fill(&mut room).unwrap());
        drop(giver.join().unwrap());
        assert!(taking.fill(&mut room).is_err());
    }
}
