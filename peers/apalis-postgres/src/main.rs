//! What apalis-postgres takes.

#[path = "../../measure.rs"]
mod measure;

use std::ops::Range;
use std::time::Duration;

use apalis::prelude::*;
use apalis_postgres::{Config, PostgresStorage};
use sqlx::PgPool;

use measure::{Done, Queue};

/// The last ends, those that fill no batch, are written with the next one: by default half a minute
/// later, which says nothing about what a job costs.
const HEARTBEAT: Duration = Duration::from_millis(50);
/// How often its worker looks for jobs.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

async fn nothing(_: usize) -> Result<(), BoxDynError> {
    measure::count();
    Ok(())
}

struct Apalis(PostgresStorage<usize>);

impl Queue for Apalis {
    const LEFT: &str = "SELECT EXISTS (SELECT FROM apalis.jobs WHERE status <> 'Done')";

    async fn open(pool: &PgPool) -> Done<Self> {
        PostgresStorage::setup(pool).await?;
        // As its own example has it that asks for most, but for the size of a batch.
        let config = Config::default()
            .queue("nothing")
            .batch_size(500)
            .lock_tasks(false)
            .heartbeat_interval(HEARTBEAT);
        Ok(Self(PostgresStorage::new(pool).with_config(config)))
    }

    async fn push(&mut self, number: usize) -> Done {
        Ok(self.0.push(number).await?)
    }

    async fn push_all(&mut self, numbers: Range<usize>) -> Done {
        Ok(self.0.push_bulk(numbers.collect()).await?)
    }

    /// On a thread of its own: the future of a worker cannot be given to `tokio::spawn` as it is.
    fn run(&mut self) {
        let storage = self.0.clone();
        let runtime = tokio::runtime::Handle::current();
        std::thread::spawn(move || {
            let worker = WorkerBuilder::new("peer")
                // Its default is to look ever more seldom while there is nothing.
                .backend(storage.poll_with_interval(POLL_INTERVAL))
                .parallelize(tokio::spawn)
                .build(nothing);
            measure::end_with(runtime.block_on(worker.run()));
        });
    }
}

#[tokio::main]
async fn main() -> Done {
    measure::main::<Apalis>().await
}
