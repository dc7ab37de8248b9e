//! Placing by load: the busiest hour first, then the bytes that move, then how evenly the shards are used.
//!
//! In order: [`board`] turns the problem into numbers; [`bound`] says what no plan can beat; [`search`] aims just above
//! that; [`attempt`] lets [`choose`] pick who leaves, [`place`] put them and [`settle`] mend what is above; [`sequence`] cuts batches;
//! [`super::moment`] finds the hours in which they flip; [`words`] explains. When nothing is found, [`refusal`] names the
//! wishes that conflict.

mod attempt;
mod board;
mod bound;
mod choose;
mod eject;
mod kernel;
mod place;
mod refusal;
mod search;
mod sequence;
mod settle;
mod state;
mod words;

use crate::conflict::Conflict;
use crate::draft::{Draft, DraftBatch, Move, Report};
use crate::load::HOURS;
use crate::problem::{Eligible, Problem};
use crate::solve::batching::Names;
use crate::solve::moment;
use board::Board;
use search::{Failure, Found, demand, present, search};
use sequence::{Sequence, sequence};
use words::Telling;

pub(super) fn solve<'p>(problem: &'p Problem, eligible: Eligible<'p>) -> Result<(Draft, Report), Conflict> {
    let mut board = Board::of(problem, eligible)?;
    let (found, sequence) = match settled(&mut board) {
        Ok(settled) => settled,
        Err(failure) => return Err(refusal::refusal(problem, &board, &failure)),
    };
    let mut names = Names::without(&problem.options.taken_names);
    let names = (0..sequence.ends.len())
        .map(|batch| if batch == 0 { names.canary() } else { names.batch() })
        .collect::<Result<Vec<_>, _>>()?;
    let mut start = 0;
    let batches = names.iter().zip(&sequence.ends).map(|(name, end)| {
        let items = &sequence.items[start..*end];
        start = *end;
        let mut moves: Vec<Move> = items.iter().flat_map(|number| moves(&board, &found.at, *number)).collect();
        moves.sort_by(|a, b| a.node.cmp(&b.node));
        let nodes = items.iter().flat_map(|number| board.items[*number as usize].members(&board));
        let moment = moment::of(nodes.map(|node| &node.load), &problem.options.windows);
        DraftBatch { name: name.clone(), moves, moment }
    });
    let batches = batches.collect();
    let draft = Draft { source: problem.source.clone(), headroom_percent: problem.options.headroom_percent, batches };
    let after = after(&board, &found.at);
    let measured = problem.is_load_known();
    let telling = Telling { board: &board, found: &found, sequence: &sequence, names: &names, after: &after, measured };
    Ok((draft, telling.report()))
}

/// Searches and orders until no move is found to be idle: without it others may be worth their bytes.
fn settled(board: &mut Board<'_>) -> Result<(Found, Sequence), Failure> {
    const TIMES_MAX: usize = 5;
    demand(board)?;
    let mut found = search(board, present(board))?;
    let mut ordered = sequence(board, &mut found.at);
    for _ in 0..TIMES_MAX {
        if !ordered.shortened {
            break;
        }
        found.at = search(board, found.at)?.at;
        ordered = sequence(board, &mut found.at);
    }
    Ok((found, ordered))
}

fn moves<'b>(board: &'b Board<'_>, at: &'b [u32], number: u32) -> impl Iterator<Item = Move> + 'b {
    let target = board.bins[at[number as usize] as usize].shard;
    board.items[number as usize].members(board).iter().map(move |node| Move {
        node: node.node.clone(),
        target: target.clone(),
        bytes: node.bytes,
        objects: node.objects,
    })
}

/// Load by shard once all have moved, counted anew.
fn after(board: &Board<'_>, at: &[u32]) -> Vec<[u64; HOURS]> {
    let mut rows: Vec<[u64; HOURS]> = board.bins.iter().map(|bin| bin.load).collect();
    for (item, at) in board.items.iter().zip(at).filter(|(item, at)| item.at != **at) {
        // Node by node: the sum of those that stay together was rounded.
        for node in item.members(board) {
            for (sum, step) in rows[item.at as usize].iter_mut().zip(node.load.steps()) {
                *sum = sum.saturating_sub(u64::from(*step) * node.load.unit());
            }
            node.load.add_to(&mut rows[*at as usize]);
        }
    }
    rows
}
