//! What nodes do: counted, kept through a restart, taken along, begun anew when it cannot be read.

use super::*;
use crate::engine::{SideData, now};
use shardlift_model::activity::Counts;
use shardlift_model::{Activity, HOURS, HourOfWeek, Token, UnixMillis};

const HOUR: u64 = 3_600_000;

/// One request for so many bytes in the hour of each day that is the present one, for a week up to now.
fn week_of(bytes_in: u64) -> Activity {
    let mut activity = Activity::default();
    for day in (1..=7).rev() {
        let at = UnixMillis(now().0 - day * 24 * HOUR);
        activity.note(at, Counts { bytes_in, ..Counts::request(100) }, || 0);
    }
    activity.advance(now(), || 0);
    activity
}

async fn incoming(engine: &Arc<Engine>, node: &NodeId) {
    let source = "a".parse().unwrap();
    engine.start_incoming(node, Token::new(1, 1, 1), source, "a:1".to_owned(), false).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_counted_is_there_after_a_restart_and_goes_on() {
    let (dir, engine, node) = store().await;
    engine.note_client(&node, "restic/0.18.1");
    engine.note_activity(&node, Counts { bytes_in: 1000, ..Counts::session() });
    let counted = engine.activity(&node).unwrap();
    engine.close().await.unwrap();
    drop(engine);
    let engine = open(dir.path()).await;
    let found = engine.activity(&node).unwrap();
    assert_eq!(found.client(), "restic/0.18.1");
    if found.present_hour() == counted.present_hour() {
        assert_eq!(found, counted);
    } else {
        assert_eq!(found.week().bytes_in, 1000, "the hour was over meanwhile");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_down_survives_a_crash() {
    let (dir, engine, node) = store().await;
    engine.note_activity(&node, Counts::request(5));
    engine.save_activities().await.unwrap();
    engine.note_activity(&node, Counts::request(5));
    // All that was given to the writer before this is durable.
    put(&engine, &node, ObjectKind::Data, b"x").await;
    let copy = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(copy.path().join(".shardlift")).unwrap();
    for file in ["index.redb", "index.marker"] {
        std::fs::copy(dir.path().join(".shardlift").join(file), copy.path().join(".shardlift").join(file)).unwrap();
    }
    let found = open(copy.path()).await.activity(&node).unwrap();
    let week = found.week().requests;
    assert!(week == 1 || (week == 0 && found != Activity::default()), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_takes_its_activity_along_and_it_replaces_what_a_copy_had() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, copy) = (open(dir.path()).await, node("acme"));
    incoming(&engine, &copy).await;
    let activity = Some(week_of(4096));
    for activity in [Some(week_of(7)), activity.clone()] {
        engine.merge_side_data(&copy, SideData { activity: activity.clone(), ..SideData::default() }).await.unwrap();
        assert_eq!(engine.activity(&copy), activity);
    }
    assert_eq!(engine.side_data(&copy).await.unwrap().activity, activity);
    engine.merge_side_data(&copy, SideData::default()).await.unwrap();
    assert_eq!(engine.activity(&copy), activity, "a source that counts nothing takes nothing away");
    engine.close().await.unwrap();
    drop(engine);
    let engine = open(dir.path()).await;
    assert_eq!(engine.activity(&copy), activity);
    engine.discard(&copy, Token::new(1, 1, 2)).await.unwrap();
    engine.close().await.unwrap();
    drop(engine);
    assert_eq!(open(dir.path()).await.activity(&copy), Some(Activity::default()), "a discarded copy leaves none");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_at_rest_loses_what_was_usual_only_while_its_shard_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path()).await;
    let [busy, idle] = [node("busy"), node("idle")];
    let long_ago = |bytes| {
        let mut activity = Activity::default();
        for hour in 0..HOURS as u64 {
            let at = UnixMillis(now().0 - (5 * HOURS as u64 - hour) * HOUR);
            activity.note(at, Counts { bytes_in: bytes, ..Counts::default() }, || 0);
        }
        activity
    };
    for (node, activity) in [(&busy, week_of(100)), (&idle, long_ago(100))] {
        incoming(&engine, node).await;
        engine.merge_side_data(node, SideData { activity: Some(activity), ..SideData::default() }).await.unwrap();
        // Only a writer's hours go on.
        let edit = |record: &mut crate::engine::NodeRecord| {
            record.mode = crate::engine::Mode::Serving;
            Ok(())
        };
        engine.writer.submit(node, crate::engine::writer::Work::Edit(Box::new(edit))).await.unwrap();
    }
    engine.close().await.unwrap();
    drop(engine);
    let engine = open(dir.path()).await;
    let usual = |node| HourOfWeek::all().map(|hour| engine.activity(node).unwrap().usual(hour).bytes_in).max().unwrap();
    assert_eq!(usual(&busy), 100);
    assert!((1..50).contains(&usual(&idle)), "four weeks without a request: {}", usual(&idle));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_without_activity_or_with_a_damaged_one_begins_anew() {
    let (dir, engine, node) = store().await;
    engine.note_activity(&node, Counts::request(5));
    engine.close().await.unwrap();
    drop(engine);
    let edit = |change: fn(&redb::WriteTransaction, &NodeId)| {
        let db = redb::Database::open(dir.path().join(".shardlift/index.redb")).unwrap();
        let write = db.begin_write().unwrap();
        change(&write, &"acme/web".parse().unwrap());
        write.commit().unwrap();
    };
    edit(|write, node| {
        let mut table = write.open_table(tables::ACTIVITY).unwrap();
        assert!(table.insert(tables::node_key(node).as_slice(), [9; 3].as_slice()).unwrap().is_some());
    });
    let engine = open(dir.path()).await;
    assert_eq!(engine.activity(&node).unwrap().week(), Counts::default());
    engine.close().await.unwrap();
    drop(engine);
    edit(|write, _| assert!(write.delete_table(tables::ACTIVITY).unwrap()));
    let engine = open(dir.path()).await;
    engine.note_activity(&node, Counts::request(5));
    engine.close().await.unwrap();
}
