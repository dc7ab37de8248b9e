//! The words for every stage.

use super::explain;
use crate::fixture::{Bench, node};
use crate::{Outcome, Stage};
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
        routing: committed: routers learn the way to `b` | every router to hold the routes of version 2 | 
        retiring: routers lead to `b`; `a` lets waiting clients go | the answer of `a` | 
        probing: routers are asked whether `b` answers | `b` to answer, as its writer, through every router | 
        soaking: `b` serves it; `a` keeps its copy | an operator to release batch `one` | `shardlift batch release one`: old credentials end then
        releasing: old credentials are being ended | the answer of `b` | 
        released: its move is over |  | 
        unfencing: its move is being undone: an operator aborted it | the answer of `a` | 
        discarding: its move is being undone: an operator aborted it | the answer of `b` | 
        aborted: its move was undone: an operator aborted it |  | plan it again, in a new batch, when the cause was dealt with
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
