//! The machine and its stand-in give the same things by the same calls.

use super::*;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _};

/// All connections lead to one echo; nobody comes in.
struct Island;

struct Nobody(SocketAddr);

impl Listening for Nobody {
    fn accept(&self) -> Pending<'_, Accepted> {
        Box::pin(std::future::pending())
    }

    fn local_addr(&self) -> SocketAddr {
        self.0
    }
}

impl Machine for Island {
    fn connect(&self, address: &str) -> Pending<'static, Box<dyn Socket>> {
        if address != "echo:7" {
            return Box::pin(async { Err(io::ErrorKind::ConnectionRefused.into()) });
        }
        let (near, far) = tokio::io::duplex(64);
        tokio::spawn(async move {
            let (mut reader, mut writer) = tokio::io::split(far);
            tokio::io::copy(&mut reader, &mut writer).await
        });
        Box::pin(async move { Ok(Box::new(near) as Box<dyn Socket>) })
    }

    fn bind(&self, address: SocketAddr) -> Pending<'static, Box<dyn Listening>> {
        Box::pin(async move { Ok(Box::new(Nobody(address)) as Box<dyn Listening>) })
    }

    fn since_epoch(&self) -> Duration {
        Duration::from_secs(7)
    }

    fn spread(&self) -> f64 {
        0.25
    }
}

async fn echoes(mut stream: Stream) -> io::Result<[u8; 4]> {
    stream.set_nodelay(true)?;
    stream.write_all(b"ping").await?;
    stream.flush().await?;
    let mut back = [0; 4];
    stream.read_exact(&mut back).await?;
    Ok(back)
}

#[tokio::test]
async fn without_a_stand_in_connections_are_the_kernels() {
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let serving = tokio::spawn(async move {
        let (stream, _from) = listener.accept().await.unwrap();
        assert!(stream.kernel().is_some());
        let (mut reader, mut writer) = tokio::io::split(stream);
        tokio::io::copy(&mut reader, &mut writer).await
    });
    assert_eq!(&echoes(Stream::connect(&address).await.unwrap()).await.unwrap(), b"ping");
    serving.await.unwrap().unwrap();
    assert!(!is_simulated() && since_epoch() > Duration::from_secs(1_000_000_000) && spread() < 1.0);
}

#[tokio::test]
async fn with_a_stand_in_all_is_its_own_until_it_is_dropped() {
    let installed = install(Arc::new(Island));
    assert!(is_simulated());
    assert_eq!((since_epoch(), spread()), (Duration::from_secs(7), 0.25));
    let stream = Stream::connect("echo:7").await.unwrap();
    assert!(stream.kernel().is_none());
    assert_eq!(&echoes(stream).await.unwrap(), b"ping");
    let refused = Stream::connect("nobody:7").await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    let here = std::thread::current().id();
    assert_eq!(spawn_blocking(move || std::thread::current().id()).await.unwrap(), here);
    let address = "0.0.0.0:9".parse().unwrap();
    assert_eq!(Listener::bind(address).await.unwrap().local_addr().unwrap(), address);
    drop(installed);
    assert!(!is_simulated());
    assert_ne!(spawn_blocking(move || std::thread::current().id()).await.unwrap(), here);
}

#[tokio::test]
async fn a_file_is_read_alike_by_threads_and_in_place() {
    for simulated in [false, true] {
        let _installed = simulated.then(|| install(Arc::new(Island)));
        let path = std::env::temp_dir().join(format!("shardlift-net-{}-{simulated}", std::process::id()));
        std::fs::write(&path, b"a letter").unwrap();
        let mut file = File::from_std(std::fs::File::open(&path).unwrap());
        std::fs::remove_file(&path).unwrap();
        assert_eq!(file.seek(io::SeekFrom::Start(2)).await.unwrap(), 2);
        let mut text = String::new();
        file.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "letter");
    }
}
