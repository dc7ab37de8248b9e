//! Whether the batches can run in some order.

use super::Checker;
use crate::finding::Place;
use crate::order::order;
use crate::planfile::BatchEntry;
use shardlift_model::BatchId;
use std::collections::BTreeMap;

impl Checker<'_> {
    /// `after` names batches that exist, not the batch itself, and in no circle.
    pub(super) fn sequence(&mut self) {
        let file = self.file;
        let mut numbers: BTreeMap<&BatchId, usize> = BTreeMap::new();
        for (number, batch) in file.batches.iter().enumerate() {
            numbers.entry(&batch.name.value).or_insert(number);
        }
        let batches = file.batches.iter().enumerate();
        let waits_for: Vec<Vec<usize>> =
            batches.map(|(number, batch)| self.waits_for(number, batch, &numbers)).collect();
        for cycle in order(&waits_for).err().unwrap_or_default() {
            self.refuse_cycle(&cycle);
        }
    }

    fn waits_for(&mut self, number: usize, batch: &BatchEntry, numbers: &BTreeMap<&BatchId, usize>) -> Vec<usize> {
        let Some(after) = &batch.after else {
            return number.checked_sub(1).into_iter().collect();
        };
        let mut waits_for = Vec::new();
        for name in after {
            match numbers.get(&name.value) {
                Some(&earlier) if earlier == number => {
                    let message = format!("batch `{}` waits for itself", name.value);
                    self.refuse(
                        name.at,
                        message,
                        "remove it from `after`; without `after` a batch waits for the one above",
                    );
                }
                Some(&earlier) => waits_for.push(earlier),
                // A batch of an earlier plan may be waited for, too.
                None if self.world.batches.contains_key(&name.value) => {}
                None => {
                    let known = numbers.keys().copied().chain(self.world.batches.keys()).map(BatchId::as_str);
                    let hint = match self.suggest.nearest(name.value.as_str(), known) {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => "name a batch of this plan or of an earlier one".to_owned(),
                    };
                    self.refuse(name.at, format!("`after` names batch `{}`, which does not exist", name.value), hint);
                }
            }
        }
        waits_for
    }

    /// Points at the first `after` entry that is part of the cycle. There is one: what is not written leads upwards only.
    fn refuse_cycle(&mut self, cycle: &[usize]) {
        let batches = &self.file.batches;
        let next = cycle.iter().skip(1).chain(cycle.first());
        let written = cycle.iter().zip(next).filter_map(|(&batch, &waits_for)| {
            let name = &batches[waits_for].name.value;
            batches[batch].after.as_ref()?.iter().find(|entry| entry.value == *name).map(|entry| entry.at)
        });
        let at = written.min().unwrap_or(Place::START);
        let names = cycle.iter().chain(cycle.first()).map(|&batch| format!("`{}`", batches[batch].name.value));
        let path = names.collect::<Vec<_>>().join(", which waits for ").replacen(", which", "", 1);
        self.refuse(
            at,
            format!("cyclic `after`: {path}"),
            "remove one of these from `after`, so that one batch can start",
        );
    }
}
