//! The order in which batches may run, from what each must wait for.

use std::collections::BTreeSet;

/// Sorts `waits_for.len()` batches so that each comes after all it waits for, and otherwise by number.
///
/// # Errors
/// When that is impossible: cycles, each as the numbers along it, at least one of every knot. Every number in
/// `waits_for` must be below its length.
pub(crate) fn order(waits_for: &[Vec<usize>]) -> Result<Vec<usize>, Vec<Vec<usize>>> {
    let mut followers = vec![Vec::new(); waits_for.len()];
    let mut open: Vec<usize> = waits_for.iter().map(Vec::len).collect();
    for (batch, before) in waits_for.iter().enumerate() {
        for &earlier in before {
            followers[earlier].push(batch);
        }
    }
    let mut ready: BTreeSet<usize> = (0..open.len()).filter(|&batch| open[batch] == 0).collect();
    let mut sorted = Vec::with_capacity(open.len());
    while let Some(batch) = ready.pop_first() {
        sorted.push(batch);
        for &follower in &followers[batch] {
            open[follower] -= 1;
            if open[follower] == 0 {
                ready.insert(follower);
            }
        }
    }
    if sorted.len() == open.len() { Ok(sorted) } else { Err(cycles(waits_for, &open)) }
}

/// Every batch that is still open waits for an open one, so walking along them must come back to itself.
fn cycles(waits_for: &[Vec<usize>], open: &[usize]) -> Vec<Vec<usize>> {
    let mut seen_by = vec![None; open.len()];
    let mut cycles = Vec::new();
    for start in (0..open.len()).filter(|&batch| open[batch] > 0) {
        let mut path = Vec::new();
        let mut at = Some(start);
        while let Some(batch) = at.filter(|&batch| seen_by[batch].is_none()) {
            seen_by[batch] = Some(start);
            path.push(batch);
            at = waits_for[batch].iter().copied().find(|&earlier| open[earlier] > 0);
        }
        let Some(back) = at.filter(|&batch| seen_by[batch] == Some(start)) else { continue };
        cycles.push(path.into_iter().skip_while(|&batch| batch != back).collect());
    }
    cycles
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_come_after_what_they_wait_for() {
        assert_eq!(order(&[vec![2], vec![0], vec![]]), Ok(vec![2, 0, 1]));
        assert_eq!(order(&[vec![], vec![], vec![]]), Ok(vec![0, 1, 2]));
    }

    #[test]
    fn every_knot_shows_a_cycle() {
        assert_eq!(order(&[vec![1], vec![0], vec![3], vec![2], vec![0]]), Err(vec![vec![0, 1], vec![2, 3]]));
        assert_eq!(order(&[vec![0]]), Err(vec![vec![0]]));
    }

    #[test]
    fn a_long_chain_needs_no_deep_stack() {
        let chain: Vec<Vec<usize>> = (0..200_000_usize).map(|n| n.checked_sub(1).into_iter().collect()).collect();
        assert_eq!(order(&chain).map(|sorted| sorted.len()), Ok(200_000));
    }
}
