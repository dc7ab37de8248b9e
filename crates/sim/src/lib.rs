//! The cutover of one node between two shards, forward and back, as a model for a complete search by `stateright`.
//!
//! # What the model has
//!
//! One state holds all of it: the controller's record in the store, both shards, a router, clients, every command and answer
//! that was ever sent and can still do something. One action is one atomic step of one of them; the search takes them in every
//! order.
//!
//! - **Controller** ([`controller`]): advances only along the real table, [`shardlift_migration::Stage::allowed`], undoes by
//!   the real [`shardlift_migration::Stage::undo`], takes all of its ways ([`ways`]), and orders commands by the real [`shardlift_model::Token`]. It records,
//!   then acts; its whole state is its record. So a crash and a restart at any point are a change of leadership: the term
//!   grows and the present command is sent again.
//! - **Two controllers**: what a deposed leader can still do is to send what it had recorded, late, and to try to record. The
//!   first is what the network does with commands of a former term; the second the store refuses. Only the mutant
//!   [`Mutant::DeposedRecords`] needs to remember what the deposed one had in mind, and does.
//! - **Network** ([`network`]): a set. What is in it can be delivered at any time, in any order, any number of times, or never:
//!   delay, reordering, duplication and loss in one. A message is forgotten only when its receiver would refuse it for ever.
//! - **Shards** ([`shard`]): durable token, mode, content, change journal, offer, replica record, forward; a fence, a wish to
//!   complete and requests in memory, lost in a crash. A lease runs out at any time until the seal is durable.
//! - **Clients** ([`client`]): put and delete, arriving at either shard at any time, whatever the routes say: an old
//!   connection, a stale cache. Parked, admitted, carried out, answered or broken off, forwarded, led anew.
//! - **Takeover** ([`controller::take_over`]): where [`Bound::takeovers`] allows it, an operator gives the writer up at any
//!   moment, whether it is gone, merely cut off, or well. A target that is gone takes no step any more; nobody can read it.
//!   One that lives goes on with its clients until it is deposed, at any time later. With takeovers, clients come through the
//!   router only: a connection is opened to where the router leads at that time and lasts until the router ends it, which it
//!   does in one step with the new table, before that counts as confirmed. A mutation that was let in may be carried out
//!   after that; nobody is told.
//! - **Write-off** ([`controller::write_off`]): where takeovers are allowed, an operator ends the waiting for a former writer,
//!   gone or only silent, after a takeover or after the commit of a way back.
//! - **Replication**: listing, then the journal entry by entry; the final delta; the comparison; the way back that follows
//!   from the seq at which the new writer was promoted.
//!
//! # What it is checked for
//!
//! [`properties`] has INV-01 to INV-07 and INV-12, the table, and that no state is a dead end: from each, a schedule without
//! further faults ends the move, serves every client and leaves no fence ([`healing`]). Each has a mutant that trips it
//! ([`mutants`]): the protocol without one of its lines.
//!
//! In a takeover INV-01 is judged for what comes through routers, and INV-05 has its one exception: what is committed is
//! exactly what the new writer has. INV-02 forgives an object only when the former writer's last change of it came after what
//! its follower has; an operator accepts that by a seq, and no more is lost.
//!
//! # The bound
//!
//! [`Bound`] limits client operations, changes of leadership, ways back (rehearsals and undone ones count), restores from
//! quarantine, moves planned anew, takeovers and fences lost in a row. Crashes of shards, losses of a lease, undos and all that the
//! network does have no bound. [`Bound::STANDARD`]: two operations on two objects, one change of leadership, one way back, one
//! lost fence; 6.5 million states. [`Bound::AGAIN`]: one operation, but a second move after the first, and a restore; 2.5
//! million. [`Bound::SIDE_BY_SIDE`]: two requests at a time, one leader. [`Bound::WITHOUT_WRITER`] and
//! [`Bound::AFTER_A_LOSS`]: one takeover; 1.2 and 1.1 million.
//!
//! # What is abstracted, and what is not in it
//!
//! - A digest is the content itself; an object is one of two bits; bytes, damage and side data are not there. Locks are
//!   objects: that they travel in the final delta only is not modelled.
//! - Time is not there. A lease may end at any moment before the seal, which contains every clock.
//! - The stages from `catching_up` to `ready` are taken at once: no command between them changes anything that matters here.
//! - Held moves are not there: no refusal that would hold one is reachable, else there would be a dead end. But for a
//!   takeover whose new writer has less than its operator accepted: that one waits until an operator gives up more.
//! - A target is lost only where the writer can be given up, and from the commit of a way back on. One that is lost before
//!   the commit forward, or between seal and commit of a way back, is waited for by the protocol until it returns. Nobody
//!   releases a node whose writer is gone, or plans a move to a shard that is gone or was written off. A client that a shard
//!   parks which was written off, and is there all the same, loses patience and comes again through the router.
//! - There is one router. It holds a takeover's routes before the promotion; that all of many do is the same condition.
//! - Routes name the placement from the commit's promotion on, those of a takeover from its commit on; the router's own
//!   order by tokens is left out (see below).
//! - A batch has one node. INV-12 is judged by a neighbour's data on both shards, which nothing may touch.
//! - INV-08 to INV-11 are about things that are not in the model: holds, credentials, customers, power loss. What a shard or
//!   the store has acknowledged is durable here by definition.
//!
//! The code checks more than the model does. A shard's transaction refuses a write unless the node is serving, and a seal
//! unless the journal stands still; a promotion compares content and seq; a router looks at tokens; a copy that follows back
//! gives up by itself when it differs. The model leaves these second lines out, so no invariant rests on them. That they do
//! not refuse what has to go on follows from properties: who was let in is at a serving shard (INV-04), a drained fence
//! stands still, what is promoted is equal (INV-05).
//!
//! `SHARDLIFT_MODEL_BOUND=large` makes the complete search of the tests a longer one ([`Bound::LARGE`]);
//! `SHARDLIFT_MODEL_STORIES=1` makes the mutants tell their counterexamples.

pub mod client;
pub mod controller;
pub mod cutover;
pub mod healing;
pub mod journal;
pub mod mutants;
pub mod network;
pub mod properties;
pub mod shard;
pub mod stamp;
pub mod state;
pub mod ways;

pub use cutover::{Action, Bound, Cutover};
pub use mutants::Mutant;
