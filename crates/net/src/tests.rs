//! The machine and its stand-in give the same things by the same calls.

use super::disk::{Disk, DiskFile, FileSystem, How, WriteFile};
use super::*;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::Path;
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

    fn disk(&self, path: &Path) -> Option<Arc<dyn Disk>> {
        path.starts_with("/stone").then(|| Arc::new(Stone) as Arc<dyn Disk>)
    }
}

/// A disk that takes nothing.
#[derive(Debug)]
struct Stone;

fn refused<T>() -> io::Result<T> {
    Err(io::ErrorKind::ReadOnlyFilesystem.into())
}

impl Disk for Stone {
    fn open(&self, _path: &Path, _how: How) -> io::Result<Box<dyn DiskFile>> {
        refused()
    }

    fn rename(&self, _source: &Path, _target: &Path) -> io::Result<()> {
        refused()
    }

    fn hard_link(&self, _source: &Path, _target: &Path) -> io::Result<()> {
        refused()
    }

    fn remove_file(&self, _path: &Path) -> io::Result<()> {
        refused()
    }

    fn create_folder(&self, _path: &Path, _mode: u32) -> io::Result<()> {
        refused()
    }

    fn remove_folder(&self, _path: &Path) -> io::Result<()> {
        refused()
    }

    fn sync_folder(&self, _path: &Path) -> io::Result<()> {
        refused()
    }

    fn sync_file_system(&self) -> io::Result<()> {
        refused()
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

#[test]
fn files_are_written_named_and_removed_by_the_system_where_nothing_is_simulated() {
    let _installed = install(Arc::new(Island));
    let folder = std::env::temp_dir().join(format!("shardlift-net-disk-{}", std::process::id()));
    let below = folder.join("a/b");
    disk::create_folders(&below, 0o700).unwrap();
    disk::create_folders(&below, 0o700).unwrap();
    let (path, other) = (below.join("letter"), below.join("other"));
    let mut file = WriteFile::open(&path, How::New(0o600)).unwrap();
    file.write_all(b"dear").unwrap();
    file.sync().unwrap();
    assert!(WriteFile::open(&path, How::New(0o600)).is_err());
    let mut file = WriteFile::open(&path, How::Append(0o600)).unwrap();
    file.write_all(b" friend").unwrap();
    file.sync_data().unwrap();
    let mut file = WriteFile::open(&path, How::Present).unwrap();
    file.write_all_at(b"D", 0).unwrap();
    file.set_len(6).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"Dear f");
    disk::hard_link(&path, &other).unwrap();
    disk::rename(&other, &below.join("third")).unwrap();
    disk::sync_folder(&below).unwrap();
    FileSystem::of(&folder).unwrap().sync().unwrap();
    drop(WriteFile::open(&path, How::Emptied(0o600)).unwrap());
    assert_eq!(std::fs::read(below.join("third")).unwrap(), b"");
    disk::remove_file(&path).unwrap();
    disk::remove_file(&below.join("third")).unwrap();
    for folder in [&below, &folder.join("a"), &folder] {
        disk::remove_folder(folder).unwrap();
    }
}

#[test]
fn all_that_changes_a_simulated_disk_asks_it() {
    let _installed = install(Arc::new(Island));
    let (path, other) = (Path::new("/stone/a"), Path::new("/stone/b"));
    let answers = [
        WriteFile::open(path, How::Present).map(drop),
        disk::rename(path, other),
        disk::hard_link(path, other),
        disk::remove_file(path),
        disk::create_folder(path, 0o700),
        disk::create_folders(path, 0o700),
        disk::remove_folder(path),
        disk::sync_folder(path),
        FileSystem::of(path).and_then(|whole| whole.sync()),
    ];
    for answer in answers {
        assert_eq!(answer.unwrap_err().kind(), io::ErrorKind::ReadOnlyFilesystem);
    }
}

#[test]
fn a_file_is_written_alike_past_the_page_cache_and_through_it() {
    let folders = [std::env::temp_dir(), std::path::PathBuf::from("/dev/shm")];
    for folder in folders.iter().filter(|folder| folder.is_dir()) {
        let path = folder.join(format!("shardlift-net-direct-{}", std::process::id()));
        let file = WriteFile::open(&path, How::New(0o600)).unwrap();
        let room = vec![7; 3 * 4096];
        let begin = room.as_ptr().align_offset(4096);
        println!("past the page cache of {}: {}", folder.display(), file.set_direct(true).unwrap());
        file.write_all_at(&room[begin..begin + 4096], 0).unwrap();
        assert!(!file.set_direct(false).unwrap());
        file.write_all_at(b"tail", 4096).unwrap();
        file.sync().unwrap();
        let found = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(found.len() == 4100 && found[..4096] == room[..4096] && found[4096..] == *b"tail");
    }
}

/// Only for root, who may read everything, it shows nothing.
#[test]
fn a_folder_is_made_durable_below_one_that_may_not_be_read() {
    use std::os::unix::fs::PermissionsExt as _;

    let parent = std::env::temp_dir().join(format!("shardlift-net-{}-closed", std::process::id()));
    disk::create_folder(&parent, 0o300).unwrap();
    let folder = parent.join("state");
    for _made_then_there in 0..2 {
        disk::create_folders(&folder, 0o700).unwrap();
    }
    std::fs::set_permissions(&parent, std::fs::Permissions::from_mode(0o700)).unwrap();
    disk::remove_folder(&folder).unwrap();
    disk::remove_folder(&parent).unwrap();
}
