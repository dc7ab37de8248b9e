//! A large item takes the place of many small ones, which go home (an ejection, as in Glover's ejection chains).
//!
//! Where targets are full of small items, no single exchange lets a large one in; the small ones can be spread anew.

use super::state::State;

/// Items that one may take the place of.
const EJECTED_MAX: usize = 250;

/// An item that goes from a busy shard to a target.
#[derive(Clone, Copy)]
pub(super) struct Entrant {
    pub(super) item: usize,
    pub(super) busy: usize,
    pub(super) target: usize,
    /// The hour for which it shall go.
    pub(super) hour: usize,
}

/// Who of those `there`, on the target, must go home to the busy shard so that the item fits and both stay below `limit`.
/// Counts in `judged` how many weeks were looked at.
pub(super) fn eject(
    state: &State<'_, '_>,
    there: &[u32],
    entrant: Entrant,
    limit: f32,
    judged: &mut usize,
) -> Option<Vec<u32>> {
    let Entrant { item, busy, target, hour } = entrant;
    let board = state.board;
    let (mut full, mut home) = (*state.row(target), *state.row(busy));
    state.add(&mut full, item, target, 1.0);
    state.add(&mut home, item, busy, -1.0);
    let mut open: Vec<u32> = there.iter().copied().filter(|number| goes_home(state, *number, busy)).collect();
    let mut ejected = Vec::new();
    while ejected.len() <= EJECTED_MAX {
        *judged += 1;
        let worst = (0..full.len()).fold(0, |best, hour| if full[hour] > full[best] { hour } else { best });
        if full[worst] < limit {
            return home.iter().all(|share| *share < limit).then_some(ejected);
        }
        let load = |number: u32, hour: usize| {
            let load = &board.items[number as usize].load;
            (u64::from(load.steps()[hour]) * load.unit()) as f64
        };
        // The most relief there, for the least of what the busy shard wants to be rid of.
        let worth = |number: u32| load(number, worst) / (1.0 + load(number, hour) + load(number, worst) / 16.0);
        let helpful = (0..open.len()).filter(|at| load(open[*at], worst) > 0.0);
        let at = helpful.max_by(|a, b| worth(open[*a]).total_cmp(&worth(open[*b])))?;
        let number = open.swap_remove(at);
        state.add(&mut full, number as usize, target, -1.0);
        state.add(&mut home, number as usize, busy, 1.0);
        if home[hour] >= limit {
            return None;
        }
        ejected.push(number);
    }
    None
}

fn goes_home(state: &State<'_, '_>, number: u32, busy: usize) -> bool {
    let item = &state.board.items[number as usize];
    item.at as usize == busy && !item.must
}
