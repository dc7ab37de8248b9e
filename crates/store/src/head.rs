//! The end of a journal and the rules for what may follow it. Pure.

use crate::contract::Seq;
use crate::error::StoreError;
use crate::record::ChainHash;
use shardlift_model::Term;

/// Where a journal ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    /// Highest term given out.
    pub(crate) term: Term,
    /// Last record.
    pub(crate) last: Seq,
    /// Hash of the last record and all before it.
    pub(crate) hash: ChainHash,
}

impl Head {
    /// INV-03 at the store: only the leading term appends, and only to the end it knows.
    pub(crate) fn admit(&self, term: Term, after: Seq) -> Result<(), StoreError> {
        // Term zero was never given out, so nobody leads with it.
        if term != self.term || term == Term(0) {
            return Err(StoreError::Fenced { term, current: self.term });
        }
        if after != self.last {
            return Err(StoreError::Conflict { after, last: self.last });
        }
        Ok(())
    }

    /// The term above both this one and `floor`.
    pub(crate) fn term_above(&self, floor: Term) -> Result<Term, StoreError> {
        self.term.max(floor).0.checked_add(1).map(Term).ok_or(StoreError::Exhausted)
    }

    /// The head after these records.
    pub(crate) fn after(mut self, records: &[Vec<u8>]) -> Result<Self, StoreError> {
        for record in records {
            self.last = self.last.0.checked_add(1).map(Seq).ok_or(StoreError::Exhausted)?;
            self.hash = self.hash.link(self.last, record);
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_end_without_wrapping() {
        let hash = ChainHash::genesis(&"c1".parse().unwrap());
        let head = Head { term: Term(u64::MAX), last: Seq(u64::MAX), hash };
        assert!(matches!(head.term_above(Term(0)), Err(StoreError::Exhausted)));
        assert!(matches!(head.after(&[vec![]]), Err(StoreError::Exhausted)));
    }

    #[test]
    fn nobody_leads_with_term_zero() {
        let head = Head { term: Term(0), last: Seq(0), hash: ChainHash::genesis(&"c1".parse().unwrap()) };
        assert!(matches!(head.admit(Term(0), Seq(0)), Err(StoreError::Fenced { .. })));
    }
}
