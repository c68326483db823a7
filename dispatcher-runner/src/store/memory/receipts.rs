//! Receipts of messages from outside, by sender and id and in the order in which they came.

use std::collections::{BTreeMap, VecDeque};

use crate::store::receipt::PRUNED_MAX;
use crate::store::{Accepted, NewReceipt, Receipt, ReceiptError, UnixMs, rules};

type Name = (String, String);

/// All receipts of a store.
#[derive(Debug, Default)]
pub(super) struct Receipts {
    known: BTreeMap<Name, Receipt>,
    /// With the end of their time, oldest first.
    order: VecDeque<(UnixMs, Name)>,
}

impl Receipts {
    pub(super) fn get(&self, sender: &str, id: &str) -> Option<&Receipt> {
        self.known.get(&(sender.to_owned(), id.to_owned()))
    }

    /// What was recorded for the same message.
    pub(super) fn before(
        &mut self,
        wanted: &NewReceipt,
        now: UnixMs,
    ) -> Result<Option<Receipt>, ReceiptError> {
        if let Some(known) = self.get(&wanted.sender, &wanted.id) {
            if known.hash == wanted.hash {
                return Ok(Some(known.clone()));
            }
            return Err(ReceiptError::OtherMessage);
        }
        for _ in 0..PRUNED_MAX {
            let Some((_, name)) = self.order.pop_front_if(|(until, _)| *until <= now) else {
                break;
            };
            self.known.remove(&name);
        }
        let count_max = wanted.count_max;
        if self.order.len() as u64 >= count_max {
            return Err(ReceiptError::Full { count_max });
        }
        Ok(None)
    }

    pub(super) fn write(&mut self, receipt: &NewReceipt, jobs: &[Accepted], now: UnixMs) {
        let name = (receipt.sender.clone(), receipt.id.clone());
        let until = now.saturating_add(rules::millis(receipt.keep));
        self.order.push_back((until, name.clone()));
        let receipt = Receipt {
            hash: receipt.hash,
            note: receipt.note.clone(),
            jobs: jobs.to_vec(),
        };
        self.known.insert(name, receipt);
    }
}
