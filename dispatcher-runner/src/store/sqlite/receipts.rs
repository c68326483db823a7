//! Receipts of messages from outside.
//!
//! Their keys rise, and only the oldest are removed, so the distance between the first and the
//! last key is their number: nothing is counted.

use rusqlite::{Connection, OptionalExtension as _, named_params};

use super::submit::Refusal;
use super::{Unit, rows};
use crate::store::receipt::{Noted, PRUNED_MAX};
use crate::store::{Accepted, NewReceipt, Receipt, ReceiptError, SubmitError, rules};

/// What was recorded for the same message; refused if the id stands for another one, or if there
/// is no room for one more.
pub(super) fn before(unit: &Unit<'_>, wanted: &NewReceipt) -> Result<Option<Receipt>, Refusal> {
    let known = receipt(unit.connection, &wanted.sender, &wanted.id)?;
    if let Some(known) = known {
        if known.hash == wanted.hash {
            return Ok(Some(known));
        }
        return Err(refused(ReceiptError::OtherMessage));
    }
    prune(unit)?;
    let count: i64 = unit
        .connection
        .prepare_cached(sql!("receipts_count"))?
        .query_one([], |row| row.get(0))?;
    let count_max = wanted.count_max;
    if count.unsigned_abs() >= count_max {
        return Err(refused(ReceiptError::Full { count_max }));
    }
    Ok(None)
}

fn refused(error: ReceiptError) -> Refusal {
    Refusal::Full(SubmitError::Receipt(error))
}

/// Removes the oldest receipts as far as their time is over.
fn prune(unit: &Unit<'_>) -> rusqlite::Result<()> {
    let oldest: Vec<(i64, i64)> = unit
        .connection
        .prepare_cached(sql!("receipts_oldest"))?
        .query_map(
            named_params! { ":limit": i64::try_from(PRUNED_MAX).unwrap_or(i64::MAX) },
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?
        .collect::<rusqlite::Result<_>>()?;
    let over = oldest.iter().take_while(|(_, until)| *until <= unit.now);
    if let Some((last, _)) = over.last() {
        unit.connection
            .prepare_cached(sql!("receipts_prune"))?
            .execute(named_params! { ":last": last })?;
    }
    Ok(())
}

pub(super) fn write(
    unit: &Unit<'_>,
    receipt: &NewReceipt,
    jobs: &[Accepted],
) -> rusqlite::Result<()> {
    let jobs: Vec<Noted> = jobs.iter().copied().map(Noted::from).collect();
    unit.connection
        .prepare_cached(sql!("receipt_insert"))?
        .execute(named_params! {
            ":sender": receipt.sender,
            ":id": receipt.id,
            ":hash": receipt.hash,
            ":note": receipt.note,
            ":jobs": rows::to_json(&jobs)?,
            ":keep_until": unit.now.saturating_add(rules::millis(receipt.keep)),
        })
        .map(drop)
}

pub(super) fn receipt(
    connection: &Connection,
    sender: &str,
    id: &str,
) -> rusqlite::Result<Option<Receipt>> {
    connection
        .prepare_cached(sql!("receipt"))?
        .query_one(named_params! { ":sender": sender, ":id": id }, |row| {
            let jobs: Vec<Noted> = rows::json(row, 2)?;
            Ok(Receipt {
                hash: row.get(0)?,
                note: row.get(1)?,
                jobs: jobs.into_iter().map(Accepted::from).collect(),
            })
        })
        .optional()
}
