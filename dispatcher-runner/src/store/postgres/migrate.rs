//! The schema: numbered steps, forwards only, one program at a time.
//!
//! A schema of a newer program is refused before anything is written; the steps and the number they
//! lead to are one transaction under a lock.

use super::errors::Failure;
use super::link::Link;
use super::transaction::Tx;
use crate::store::clock::Clock;
use crate::store::{SchemaState, StoreError};
use crate::target::Target;

const MIGRATIONS: [&str; 4] = [
    include_str!("migrations/0001_first.sql"),
    include_str!("migrations/0002_submission.sql"),
    include_str!("migrations/0003_enqueue.sql"),
    include_str!("migrations/0004_messages.sql"),
];

/// Looks, and changes nothing.
///
/// # Errors
/// When the database cannot be asked.
pub(crate) fn state_of_schema(target: &Target) -> Result<SchemaState, StoreError> {
    let mut link = Link::new(target.clone(), Clock::System)?;
    let schema = link.schema().to_owned();
    let found = link.read_whole(async |tx| version(tx, &schema).await)?;
    Ok(SchemaState {
        found,
        known: known(),
    })
}

/// Makes the missing steps; answers with the state before.
///
/// # Errors
/// When the database cannot be changed, or its schema is of a newer program.
pub(crate) fn migrate(target: &Target) -> Result<SchemaState, StoreError> {
    let mut link = Link::new(target.clone(), Clock::System)?;
    bring_up_to_date(&mut link)
}

pub(super) fn bring_up_to_date(link: &mut Link) -> Result<SchemaState, StoreError> {
    let schema = link.schema().to_owned();
    // Nearly always there is nothing to do, which needs no lock and no right to change anything.
    let found = link.read_whole(async |tx| version(tx, &schema).await)?;
    let known = known();
    if found > known {
        return Err(Failure::Newer { found, known }.explain(link.place()));
    }
    if found < known {
        link.migrate(async |tx| steps(tx, &schema).await)?;
        tracing::info!(
            from = found,
            to = known,
            "the schema of the store was brought up to date"
        );
    }
    Ok(SchemaState { found, known })
}

fn known() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

/// Steps that were made; the schema may not be there at all.
async fn version(tx: &Tx<'_>, schema: &str) -> Result<i64, Failure> {
    let row = tx.row(sql!("has_schema"), with![schema => TEXT]).await?;
    if !row.try_get::<_, bool>(0)? {
        return Ok(0);
    }
    let row = tx.row(sql!("version"), with![]).await?;
    Ok(row.try_get(0)?)
}

async fn steps(tx: &Tx<'_>, schema: &str) -> Result<(), Failure> {
    tx.row(sql!("migration_lock"), with![schema => TEXT])
        .await?;
    // Another program may have been faster; this look comes after its end.
    let found = version(tx, schema).await?;
    if found > known() {
        return Err(Failure::Newer {
            found,
            known: known(),
        });
    }
    if found == 0 {
        // A schema that somebody made for us, with rights of its own, is as good.
        tx.script(&format!("CREATE SCHEMA IF NOT EXISTS \"{schema}\""))
            .await?;
        tx.run(sql!("migrations_table"), with![]).await?;
    }
    let done = usize::try_from(found).unwrap_or(usize::MAX);
    for (number, migration) in (1_i32..).zip(MIGRATIONS).skip(done) {
        tx.script(migration).await?;
        tx.run(sql!("migration_done"), with![number => INT4])
            .await?;
    }
    Ok(())
}
