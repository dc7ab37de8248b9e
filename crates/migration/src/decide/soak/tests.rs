//! The soak: what is seen, the verdict, and the release.

use crate::decide::decide;
use crate::fixture::{Bench, batch, node};
use crate::{BatchPhase, Input, OnAlert, Outcome, SoakFact, SoakPolicy, Stage, Verdict};
use shardlift_model::UnixMillis;

/// Two nodes that soak under this policy; a second batch waits for theirs.
fn soaking(soak: SoakPolicy) -> Bench {
    let planned: [(&str, &[&str], &[&str]); 2] = [("one", &[], &["n1", "n2"]), ("two", &["one"], &["n3"])];
    let mut bench = Bench::planned_with(&planned, |batch| batch.soak = soak);
    bench.certify_all();
    for name in ["one", "two"] {
        bench.input(Input::StartBatch { batch: batch(name) }).unwrap();
    }
    bench.drive("n1", Stage::Ready);
    bench.drive("n2", Stage::Sealed);
    bench.drive("n1", Stage::Soaking);
    bench.drive("n2", Stage::Soaking);
    bench.drive("n3", Stage::Ready);
    bench
}

fn verdict(bench: &Bench) -> Option<Verdict> {
    bench.world.batches[&batch("one")].verdict.clone()
}

fn see(bench: &mut Bench, name: &str, fact: SoakFact) {
    bench.input(Input::SoakSeen { node: node(name), fact }).unwrap();
}

fn alert() -> SoakFact {
    SoakFact::Alert { reason: "the follower\nlags".to_owned() }
}

fn release(bench: &Bench, force: bool) -> Result<usize, String> {
    let input = Input::ReleaseBatch { batch: batch("one"), force };
    let said = decide(&bench.world, &input, bench.now);
    said.map(|events| events.len()).map_err(|refusal| format!("{}; {}", refusal.message, refusal.advice))
}

#[test]
fn a_verdict_is_good_when_all_that_was_asked_for_was_seen() {
    let mut bench = soaking(SoakPolicy { min_ms: 5000, backup: true, verify: true, on_alert: OnAlert::Hold });
    let at = bench.now;
    let backup = SoakFact::BackupSeen { at };
    assert!(!bench.clear_cutovers(), "the next batch waits for the verdict");
    see(&mut bench, "n1", backup.clone());
    see(&mut bench, "n1", backup.clone());
    bench.now = UnixMillis(bench.now.0 + 4001);
    let refused = release(&bench, false).unwrap_err();
    let wanted = "not good yet: another 1 s; a complete backup at the target of `n2`; a deep comparison of the copies of \
                  `n1`, `n2`; wait, or release it all the same: `shardlift batch release one --force`";
    assert!(refused.contains(wanted), "{refused}");
    assert_eq!(release(&bench, true), Ok(1));
    for (name, fact) in [("n2", backup), ("n1", SoakFact::Verified), ("n2", SoakFact::Verified)] {
        assert_eq!(verdict(&bench), None);
        see(&mut bench, name, fact);
    }
    assert_eq!(verdict(&bench), None);
    bench.now = UnixMillis(bench.now.0 + 1000);
    bench.input(Input::Tick).unwrap();
    assert_eq!(verdict(&bench), Some(Verdict::Good));
    assert!(bench.clear_cutovers());
    assert_eq!(release(&bench, false), Ok(1));
}

#[test]
fn an_alert_makes_the_verdict_bad_at_once_and_holds_the_next_batch() {
    for good_before in [false, true] {
        let min_ms = if good_before { 0 } else { 1000 };
        let mut bench = soaking(SoakPolicy { min_ms, ..SoakPolicy::default() });
        assert_eq!(verdict(&bench).is_some(), good_before);
        see(&mut bench, "n2", alert());
        let bad = Verdict::Bad { reason: "`n2`: the follower lags".to_owned() };
        assert_eq!(verdict(&bench), Some(bad));
        assert!(!bench.clear_cutovers());
        assert_eq!((bench.stage("n1"), bench.stage("n2")), (Stage::Soaking, Stage::Soaking));
        assert!(release(&bench, false).unwrap_err().contains("the verdict is bad: `n2`: the follower lags"));
        bench.now = UnixMillis(bench.now.0 + 60_000);
        bench.input(Input::Tick).unwrap();
        assert!(release(&bench, false).is_err());
        bench.input(Input::ReleaseBatch { batch: batch("one"), force: true }).unwrap();
        assert!(bench.clear_cutovers());
    }
}

#[test]
fn an_alert_moves_the_batch_back_where_the_policy_says_so_and_only_once() {
    let mut bench = soaking(SoakPolicy { min_ms: 1000, on_alert: OnAlert::RollBack, ..SoakPolicy::default() });
    see(&mut bench, "n1", alert());
    assert_eq!((bench.stage("n1"), bench.stage("n2")), (Stage::Fencing, Stage::Fencing));
    assert!(bench.moving("n2").rollback_reason.as_ref().unwrap().contains("`n1`: the follower lags"));
    bench.drive("n2", Stage::RolledBack);
    bench.now = UnixMillis(bench.now.0 + 30_001);
    bench.input(Input::Tick).unwrap();
    bench.drive("n1", Stage::Soaking);
    bench.input(Input::Tick).unwrap();
    assert_eq!(bench.stage("n1"), Stage::Soaking);
    assert!(bench.moving("n1").rollback_failed.is_some());
    bench.roll_back("n1");
    bench.drive("n1", Stage::RolledBack);
    assert_eq!(bench.world.batches[&batch("one")].phase, BatchPhase::RolledBack);
}

#[test]
fn what_is_seen_out_of_season_is_ignored() {
    for stage in Stage::ALL.into_iter().filter(|stage| *stage != Stage::Soaking) {
        let bench = Bench::at(stage);
        let input = Input::SoakSeen { node: node("n1"), fact: alert() };
        assert_eq!(decide(&bench.world, &input, bench.now), Ok(vec![]), "{stage}");
    }
}

#[test]
fn a_batch_is_not_released_while_a_node_of_it_goes_back() {
    let mut bench = soaking(SoakPolicy::default());
    bench.roll_back("n1");
    let refused = release(&bench, true).unwrap_err();
    assert!(refused.contains("node `n1` of batch `one` is rolling_back"), "{refused}");
    let other = crate::explain(&bench.world, &node("n2"), bench.now).unwrap().waits_for;
    assert_eq!(other, ["an operator to release batch `one`"], "its verdict was good before");
    bench.drive("n1", Stage::Completing);
    bench.answer("n1", Outcome::ReplicaFailed { reason: "x".to_owned(), damaged_at_source: true });
    bench.drive("n1", Stage::Soaking);
    assert_eq!(release(&bench, false), Ok(1));
    bench.roll_back("n1");
    bench.drive("n1", Stage::RolledBack);
    bench.drive("n2", Stage::Released);
    assert_eq!(bench.world.batches[&batch("one")].phase, BatchPhase::Released);
}
