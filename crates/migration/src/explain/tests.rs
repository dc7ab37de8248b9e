//! The words for every stage.

use super::explain;
use crate::fixture::{Bench, node};
use crate::{Input, Outcome, Stage};
use expect_test::expect;
use std::fmt::Write as _;

#[test]
fn every_stage_is_explained() {
    let mut table = String::new();
    for stage in Stage::ALL {
        let bench = Bench::at(stage);
        let told = explain(&bench.world, &node("n1"), bench.now).unwrap();
        assert!(told.where_.contains(stage.phase().as_str()));
        let (waits, unblock) = (told.waits_for.join(", "), told.unblock.join(", "));
        writeln!(table, "{stage}: {} | {waits} | {unblock}", told.why).unwrap();
    }
    expect![[r#"
        planned: revision 1 of the plan moves it; nothing was done yet | an operator to start batch `one` | `shardlift batch start one`
        offering: `a` is told to let `b` read | the answer of `a` | 
        starting: `b` is told to begin its copy | the answer of `b` | 
        copying: `b` copies all objects | shard `b` | 
        catching_up: `b` has all objects and follows the changes | `b` to lag at most 50 changes behind | 
        verify_requested: `b` compares its copy with `a` | the answer of `b` | 
        verifying: `b` compares its copy with `a` | shard `b` | 
        awaiting_certificate: the client has no new certificate | a connection of the client with its new certificate | `shardlift node token n1`, and hand the token to the customer
        ready: the copy was compared equal and the new certificate is in use | `n2` of the same batch | 
        fencing: `a` stops admitting changes; clients wait | the answer of `a` | 
        completing: `b` pulls the last changes; clients wait | the answer of `b` | 
        sealing: `a` gives up its right to resume; clients wait | the answer of `a` | 
        sealed: both sides are equal and nobody takes writes; clients wait | `n2` of the same batch, at most 30000 ms in all | 
        promoting: committed: `b` becomes the writer; clients wait | the answer of `b` | 
        retiring: `b` is the writer; `a` begins to forward clients to it and to follow it | the answer of `a` | 
        routing: `a` forwards clients to `b`; routers learn the way there | every router to hold the routes of version 2 | roll back: `shardlift node rollback n1`
        probing: routers are asked whether `b` answers | `b` to answer, as its writer, through every router | roll back: `shardlift node rollback n1`
        soaking: `b` serves it; `a` keeps its copy and follows | an operator to release batch `one` | `shardlift batch release one`: old credentials end then, roll back: `shardlift node rollback n1`
        detaching: it is moved back (it is slow): `a` serves it; `b` stops following and keeps its copy | the answer of `b`; `a` is the writer | start `b` again; or, when it will never return: `shardlift node write-off n1`
        taking_stock: it is taken over from `b` without it (b burnt): `a` stops following and names what it has; clients wait; what `b` stored after its change 8 at the latest is given up, and there is no way out of this | the answer of `a` | 
        redirecting: it is taken over from `b` without it (b burnt): committed: routers lead its clients to `a` and to nobody else; clients wait; what `b` stored after its change 8 is lost | `r1` to confirm that nobody is passed to `b` any more (routes of version 3) | start the routers that do not answer, or others in their place under the same names
        deposing: it is taken over from `b` without it (b burnt): `a` serves it; `b` must give up what it has when it returns; what `b` stored after its change 8 is lost | `b` to give up what it has when it returns; clients are served | start `b` again; or, when it will never return: `shardlift node write-off n1`
        releasing: old credentials are being ended | the answer of `b` | 
        quarantining: the old copy on `a` is renamed aside | the answer of `a` | 
        released: its move is over; its old copy on `a` is in quarantine |  | a way back can be had: `shardlift node restore n1`, then `shardlift node rollback n1`
        restoring: the old copy on `a` is taken out of quarantine | the answer of `a` | 
        resuming: `a` is told to follow `b` again | the answer of `a` | 
        unfencing: its move is being undone: an operator aborted it | the answer of `a` | 
        discarding: its move is being undone: an operator aborted it | the answer of `b` | 
        aborted: its move was undone: an operator aborted it |  | plan it again, in a new batch, when the cause was dealt with
        rolled_back: it was moved back to `a`: it is slow |  | plan it again, in a new batch, when the cause was dealt with
    "#]]
    .assert_eq(&table);
}

#[test]
fn a_held_node_says_that_it_blocks_its_batch_and_its_batch_says_who() {
    let mut bench = Bench::at(Stage::Ready);
    bench.answer("n2", Outcome::Refused { reason: "disk full".to_owned() });
    let held = explain(&bench.world, &node("n2"), bench.now).unwrap();
    assert_eq!(held.why, "disk full");
    assert!(held.unblock[0].contains("node retry n2") && held.unblock[0].contains("blocks its batch"));
    let other = explain(&bench.world, &node("n1"), bench.now).unwrap();
    assert_eq!(other.waits_for, ["an operator to look at `n2`, held in the same batch"]);
    assert_eq!(other.unblock, ["`shardlift node explain n2`"]);
    assert_eq!(explain(&bench.world, &node("n9"), bench.now), None);
}

#[test]
fn every_stage_of_a_way_back_is_explained() {
    let mut table = String::new();
    let back = [Stage::Fencing, Stage::Completing, Stage::Sealing, Stage::Promoting, Stage::Retiring, Stage::Routing];
    for stage in back.into_iter().chain([Stage::Probing, Stage::Detaching, Stage::Unfencing, Stage::Resuming]) {
        let bench = Bench::back_at(stage);
        let told = explain(&bench.world, &node("n1"), bench.now).unwrap();
        assert!(told.where_.starts_with("rolling_back") && told.where_.contains("from `b` to `a`"), "{}", told.where_);
        writeln!(table, "{stage}: {} | {}", told.why, told.waits_for.join(", ")).unwrap();
    }
    let mut bench = Bench::back_at(Stage::Resuming);
    bench.drive("n1", Stage::Soaking);
    writeln!(table, "undone: {}", explain(&bench.world, &node("n1"), bench.now).unwrap().why).unwrap();
    bench.input(Input::RehearseRollback { node: node("n1") }).unwrap();
    writeln!(table, "rehearsing: {}", explain(&bench.world, &node("n1"), bench.now).unwrap().why).unwrap();
    bench.drive("n1", Stage::Soaking);
    writeln!(table, "rehearsed: {}", explain(&bench.world, &node("n1"), bench.now).unwrap().why).unwrap();
    expect![[r#"
        fencing: it is moved back (it is slow): `b` stops admitting changes; clients wait | the answer of `b`
        completing: it is moved back (it is slow): `a` pulls the last changes; clients wait | the answer of `a`
        sealing: it is moved back (it is slow): `b` gives up its right to resume; clients wait | the answer of `b`
        promoting: it is moved back (it is slow): committed: `a` becomes the writer; clients wait | the answer of `a`
        retiring: it is moved back (it is slow): `a` is the writer; `b` begins to forward clients to it and to follow it | the answer of `b`; `a` is the writer
        routing: it is moved back (it is slow): `b` forwards clients to `a`; routers learn the way there | every router to hold the routes of version 3
        probing: it is moved back (it is slow): routers are asked whether `a` answers | `a` to answer, as its writer, through every router
        detaching: it is moved back (it is slow): `a` serves it; `b` stops following and keeps its copy | the answer of `b`; `a` is the writer
        unfencing: it is moved back (it is slow): the way back is being undone, `b` will serve on: it was not sealed within the 30000 ms of a cutover | the answer of `b`
        resuming: it is moved back (it is slow): `b` serves on; `a` is told to follow it again | the answer of `a`
        undone: `b` serves it; `a` keeps its copy and follows; the last way back was undone: it was not sealed within the 30000 ms of a cutover
        rehearsing: the way back is rehearsed (a rehearsal of the way back): `b` stops admitting changes; clients wait
        rehearsed: `b` serves it; `a` keeps its copy and follows; its way back was rehearsed and took 0 ms
    "#]].assert_eq(&table);
}
