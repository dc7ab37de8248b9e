//! Whatever the dice say: what was synced stays, what was not may go, and nothing else is touched.

use super::*;
use rand::SeedableRng as _;
use std::collections::BTreeSet;

const SEEDS: u64 = 200;

struct Host {
    folder: tempfile::TempDir,
    disk: Arc<SimDisk>,
}

fn host(lie: Option<Lie>) -> Host {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("d")).unwrap();
    let disk = SimDisk::new(folder.path().join("attic"), lie).unwrap();
    Host { folder, disk }
}

impl Host {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("d").join(name)
    }

    fn write(&self, name: &str, text: &[u8], sync: bool) {
        let file = self.disk.open(&self.path(name), How::Append(0o600)).unwrap();
        let end = file.file().metadata().unwrap().len();
        file.write_at(text, end).unwrap();
        if sync {
            file.sync().unwrap();
        }
    }

    fn sync(&self) {
        self.disk.sync_folder(&self.folder.path().join("d")).unwrap();
    }

    fn cut(&self, seed: u64) -> Loss {
        self.disk.power_off();
        let loss = self.disk.lose(&mut StdRng::seed_from_u64(seed)).unwrap();
        self.disk.power_on();
        loss
    }

    fn read(&self, name: &str) -> Option<Vec<u8>> {
        std::fs::read(self.path(name)).ok()
    }
}

#[test]
fn what_was_synced_survives_every_power_cut() {
    for seed in 0..SEEDS {
        let host = host(None);
        host.write("kept", &[7; 3000], true);
        host.disk.rename(&host.path("kept"), &host.path("named")).unwrap();
        host.write("gone", b"x", true);
        host.disk.remove_file(&host.path("gone")).unwrap();
        host.sync();
        assert_eq!(host.cut(seed), Loss::default(), "seed {seed}");
        assert_eq!(host.read("named").unwrap(), [7; 3000], "seed {seed}");
        assert!(host.read("gone").is_none() && host.read("kept").is_none(), "seed {seed}");
    }
}

#[test]
fn a_synced_file_system_keeps_all_that_came_before_and_nothing_that_came_after() {
    let mut lost = Loss::default();
    for seed in 0..SEEDS {
        let host = host(None);
        host.disk.create_folder(&host.path("sub"), 0o700).unwrap();
        host.write("sub/half", &[7; 3000], false);
        host.disk.rename(&host.path("sub/half"), &host.path("sub/named")).unwrap();
        host.write("gone", b"x", false);
        host.disk.remove_file(&host.path("gone")).unwrap();
        host.disk.sync_file_system().unwrap();
        host.write("sub/named", &[8; 3000], false);
        host.disk.rename(&host.path("sub/named"), &host.path("later")).unwrap();
        let loss = host.cut(seed);
        lost = Loss { files: lost.files + loss.files, names: lost.names + loss.names };
        let kept = host.read("sub/named").or_else(|| host.read("later")).unwrap();
        assert!(kept.len() >= 3000 && kept[..3000] == [7; 3000], "seed {seed}");
        assert!(host.read("gone").is_none() && host.read("sub/half").is_none(), "seed {seed}");
    }
    assert!(lost.files > 0 && lost.names > 0, "{lost:?}");
}

#[test]
fn a_lie_about_a_sync_is_one_about_that_of_the_file_system_too() {
    for (lie, name) in [(Lie::Bytes, "data/.x.shardlift-1"), (Lie::Names, "data/x")] {
        let mut lost = 0;
        for seed in 0..SEEDS {
            let host = host(Some(lie));
            host.disk.create_folder(&host.path("data"), 0o700).unwrap();
            host.sync();
            host.write(name, &[7; 3000], false);
            host.disk.sync_file_system().unwrap();
            lost += u64::from(host.cut(seed) != Loss::default());
        }
        assert!(lost > 0, "{lie:?}");
    }
}

#[test]
fn an_unsynced_tail_is_whole_gone_or_torn_and_what_was_before_it_stays() {
    let mut ends = BTreeSet::new();
    for seed in 0..SEEDS {
        let host = host(None);
        host.write("file", &[1; 100], true);
        host.sync();
        host.write("file", &[2; 2000], false);
        host.cut(seed);
        let found = host.read("file").unwrap();
        assert!(found[..100] == [1; 100] && found[100..].iter().all(|byte| *byte == 2), "seed {seed}");
        ends.insert(found.len());
    }
    assert!(ends.contains(&100) && ends.contains(&2100) && ends.len() > 3, "{ends:?}");
}

#[test]
fn unsynced_names_are_undone_from_some_point_on() {
    let mut seen = BTreeSet::new();
    for seed in 0..SEEDS {
        let host = host(None);
        host.write("a", b"old", true);
        host.sync();
        host.write("b", b"new", true);
        host.disk.rename(&host.path("b"), &host.path("a")).unwrap();
        host.disk.remove_file(&host.path("a")).unwrap();
        host.cut(seed);
        seen.insert((host.read("a"), host.read("b")));
    }
    let text = |text: &[u8]| Some(text.to_vec());
    let all = [(text(b"old"), None), (text(b"old"), text(b"new")), (text(b"new"), None), (None, None)];
    assert_eq!(seen, BTreeSet::from(all));
}

#[test]
fn a_folder_whose_name_was_not_synced_takes_all_in_it_along() {
    let mut lost = 0;
    for seed in 0..SEEDS {
        let host = host(None);
        host.disk.create_folder(&host.path("sub"), 0o700).unwrap();
        host.write("sub/file", b"x", true);
        host.disk.sync_folder(&host.path("sub")).unwrap();
        host.cut(seed);
        lost += u64::from(!host.path("sub").exists());
    }
    assert!((20..SEEDS - 20).contains(&lost), "{lost}");
}

#[test]
fn a_folder_that_was_removed_comes_back_with_what_was_in_it_or_stays_away() {
    for seed in 0..SEEDS {
        let host = host(None);
        host.disk.create_folder(&host.path("sub"), 0o700).unwrap();
        host.write("sub/file", b"x", true);
        host.disk.sync_folder(&host.path("sub")).unwrap();
        host.sync();
        host.disk.remove_file(&host.path("sub/file")).unwrap();
        host.disk.remove_folder(&host.path("sub")).unwrap();
        host.cut(seed);
        let found = std::fs::read_dir(host.path("sub")).map(Iterator::count).ok();
        assert!([None, Some(0), Some(1)].contains(&found), "seed {seed}");
    }
}

#[test]
fn a_host_without_power_writes_nothing_and_its_files_stay_dead() {
    let host = host(None);
    let file = host.disk.open(&host.path("file"), How::New(0o600)).unwrap();
    host.disk.power_off();
    assert!(file.write_at(b"x", 0).is_err() && file.sync().is_err());
    assert!(host.disk.remove_file(&host.path("file")).is_err());
    host.disk.power_on();
    assert!(file.write_at(b"x", 0).is_err() && file.set_len(1).is_err());
    assert!(host.disk.open(&host.path("file"), How::Present).is_ok());
}

#[test]
fn a_fuse_lets_so_many_changes_through_and_then_none() {
    let host = host(None);
    let file = host.disk.open(&host.path("file"), How::New(0o600)).unwrap();
    host.disk.set_fuse(Some(2));
    file.write_at(b"one", 0).unwrap();
    file.sync().unwrap();
    assert!(!host.disk.is_dark());
    assert!(file.write_at(b"two", 0).is_err() && host.disk.is_dark() && file.sync().is_err());
    host.disk.power_on();
    assert!(host.disk.open(&host.path("file"), How::Present).is_ok());
    assert_eq!(host.read("file").unwrap(), b"one");
}

#[test]
fn a_sync_that_lies_loses_what_it_was_asked_to_keep() {
    let losses = |lie, name: &str| {
        let lost = |seed| {
            let host = host(Some(lie));
            std::fs::create_dir(host.path("data")).unwrap();
            host.write(name, &[1; 900], true);
            host.disk.sync_folder(&host.path("data")).unwrap();
            host.cut(seed) != Loss::default()
        };
        (0..SEEDS).filter(|seed| lost(*seed)).count()
    };
    assert!(losses(Lie::Bytes, "data/.x.shardlift-1") > 20);
    assert!(losses(Lie::Names, "data/x") > 20);
}

#[test]
fn folders_that_are_made_as_a_state_folder_is_survive_every_power_cut() {
    for seed in 0..SEEDS {
        let host = host(None);
        let disks = vec![(host.folder.path().join("d"), host.disk.clone())];
        let machine = crate::machine::Virtual::new(seed, std::time::Duration::from_secs(1), disks);
        let _installed = shardlift_net::install(machine);
        shardlift_net::disk::create_folders(&host.path("state/below"), 0o700).unwrap();
        assert_eq!(host.cut(seed), Loss::default(), "seed {seed}");
        assert!(host.path("state/below").is_dir(), "seed {seed}");
    }
}
