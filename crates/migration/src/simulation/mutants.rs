//! Shards that leave out one thing that protects clients: the simulation must find each out.

use super::Simulation;
use super::shards::Mutants;

/// The first seed at which shards with this fault break the invariant that it is about.
fn caught(mutants: Mutants, invariant: &str) -> Option<u64> {
    (0..150_u64).find(|seed| {
        let mutant = std::panic::catch_unwind(|| {
            let mut simulation = Simulation::new(*seed);
            simulation.shards.mutants = mutants;
            (0..1000).for_each(|_| simulation.step());
        });
        let said = |panic: &Box<dyn std::any::Any + Send>| {
            panic.downcast_ref::<String>().is_some_and(|text| text.contains(invariant))
        };
        mutant.as_ref().is_err_and(said)
    })
}

#[test]
fn shards_that_carry_out_late_commands_are_found_out() {
    let mutants = Mutants { ignores_tokens: true, ..Mutants::default() };
    assert!(caught(mutants, "INV-").is_some(), "no seed shows what tokens are for");
}

#[test]
fn shards_that_name_the_final_state_before_the_drain_are_found_out() {
    let mutants = Mutants { names_before_the_drain: true, ..Mutants::default() };
    assert!(caught(mutants, "INV-02").is_some(), "no seed shows what the drain is for");
}

#[test]
fn copies_that_acknowledge_before_their_promotion_are_found_out() {
    let mutants = Mutants { serves_unpromoted: true, ..Mutants::default() };
    assert!(caught(mutants, "INV-04").is_some(), "no seed shows what the promotion is for");
}

#[test]
fn routers_that_leave_clients_with_a_former_writer_are_found_out() {
    let mutants = Mutants { severs_nothing: true, ..Mutants::default() };
    assert!(caught(mutants, "INV-01").is_some(), "no seed shows what severing is for");
}

#[test]
fn old_copies_that_are_promoted_without_the_last_changes_are_found_out() {
    let mutants = Mutants { promotes_what_it_has: true, ..Mutants::default() };
    assert!(caught(mutants, "INV-02").is_some(), "no seed shows what the final delta of a way back is for");
}
