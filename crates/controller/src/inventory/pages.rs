//! A shard's list, page by page, with an end: a shard that never comes to one is broken.

use tonic::Status;

/// Rows asked for at a time.
pub(super) const PAGE: u32 = 1000;

/// Pages of one list.
const PAGES_MAX: usize = 1000;

/// Where one is in a list.
#[derive(Debug)]
pub(super) struct Pages {
    of: &'static str,
    after: String,
    turned: usize,
}

impl Pages {
    /// At the begin of a list of these.
    pub(super) const fn of(of: &'static str) -> Self {
        Self { of, after: String::new(), turned: 0 }
    }

    /// What to ask for rows after.
    pub(super) fn after(&self) -> String {
        self.after.clone()
    }

    /// Goes on to the page that this one named; false at the end of the list.
    pub(super) fn turn(&mut self, next: String) -> Result<bool, Status> {
        if next.is_empty() {
            return Ok(false);
        }
        if next <= self.after {
            return Err(Status::internal(format!("its list of {} does not move on", self.of)));
        }
        self.turned += 1;
        if self.turned == PAGES_MAX {
            return Err(Status::internal(format!("its list of {} does not end", self.of)));
        }
        self.after = next;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_to_move_on_and_to_end() {
        let mut pages = Pages::of("nodes");
        assert!(pages.turn("a".to_owned()).unwrap() && pages.turn("b".to_owned()).unwrap());
        assert_eq!(pages.after(), "b");
        assert!(pages.turn("b".to_owned()).unwrap_err().message().contains("does not move on"));
        assert!(!pages.turn(String::new()).unwrap());
        let mut endless = Pages::of("nodes");
        let ended = (0..2 * PAGES_MAX).find_map(|n| endless.turn(format!("{n:06}")).err()).unwrap();
        assert!(ended.message().contains("does not end"));
    }
}
