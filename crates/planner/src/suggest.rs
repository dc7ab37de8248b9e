//! "Did you mean": the known name nearest to one that is not known.

/// How many names may be compared for all findings of one run together: a suggestion is a courtesy and must not cost much.
const COMPARISONS_MAX: usize = 200_000;

/// Longest name that gets a suggestion, in characters.
const CHARS_MAX: usize = 256;

/// Finds the nearest name, as long as its budget lasts.
pub(crate) struct Suggest {
    budget: usize,
}

impl Default for Suggest {
    fn default() -> Self {
        Self { budget: COMPARISONS_MAX }
    }
}

impl Suggest {
    /// The nearest of `known`, the first of equals; `None` when none is near or the budget is spent.
    pub(crate) fn nearest<'k>(&mut self, name: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
        let name: Vec<char> = name.chars().take(CHARS_MAX + 1).collect();
        if name.len() > CHARS_MAX {
            return None;
        }
        // One letter in three may be wrong; a shorter name is near to everything.
        let mut limit = (name.len() / 3).min(3);
        if limit == 0 {
            return None;
        }
        let mut best = None;
        for candidate in known {
            self.budget = self.budget.checked_sub(1)?;
            let Some(distance) = distance(&name, candidate, limit) else { continue };
            best = Some(candidate);
            // Only a nearer one may replace it.
            match distance.checked_sub(1) {
                Some(nearer) => limit = nearer,
                None => break,
            }
        }
        best
    }
}

/// Edits (insert, delete, replace, swap of neighbours) from `name` to `other`; `None` when more than `limit`.
fn distance(name: &[char], other: &str, limit: usize) -> Option<usize> {
    if other.len() > CHARS_MAX * 4 {
        return None;
    }
    let other: Vec<char> = other.chars().collect();
    if name.len().abs_diff(other.len()) > limit {
        return None;
    }
    let mut before_last = vec![0; other.len() + 1];
    let mut last: Vec<usize> = (0..=other.len()).collect();
    for (row, &a) in name.iter().enumerate() {
        let mut this = vec![row + 1];
        for (column, &b) in other.iter().enumerate() {
            let mut edits = (last[column] + usize::from(a != b)).min(last[column + 1] + 1).min(this[column] + 1);
            if row > 0 && column > 0 && a == other[column - 1] && name[row - 1] == b {
                edits = edits.min(before_last[column - 1] + 1);
            }
            this.push(edits);
        }
        if this.iter().all(|&edits| edits > limit) {
            return None;
        }
        before_last = std::mem::replace(&mut last, this);
    }
    last.last().copied().filter(|&edits| edits <= limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found() {
        let known = ["acme/web-1", "acme/web-2", "shard-b", "source", "revision"];
        let nearest = |name: &str| Suggest::default().nearest(name, known.into_iter());
        assert_eq!(nearest("acme/wbe-2"), Some("acme/web-2"));
        assert_eq!(nearest("shardb"), Some("shard-b"));
        assert_eq!(nearest("revison"), Some("revision"));
        assert_eq!(nearest("zebra"), None);
        assert_eq!(nearest(""), None);
    }

    fn nearest_of_two(suggest: &mut Suggest) -> Option<&'static str> {
        suggest.nearest("abc", ["abd", "abe"].into_iter())
    }

    #[test]
    fn a_spent_budget_gives_no_suggestion() {
        let mut suggest = Suggest { budget: 1 };
        assert_eq!(nearest_of_two(&mut Suggest::default()), Some("abd"));
        assert_eq!(nearest_of_two(&mut suggest), None);
    }
}
