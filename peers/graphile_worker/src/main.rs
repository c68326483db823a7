//! What graphile_worker takes. Its ended jobs are deleted.

#[path = "../../measure.rs"]
mod measure;

use std::ops::Range;
use std::time::Duration;

use graphile_worker::{
    IntoTaskHandlerResult, JobSpec, LocalQueueConfig, TaskHandler, Worker, WorkerContext,
    WorkerOptions, WorkerUtils,
};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;

use measure::{Done, Queue};

#[derive(Clone, Serialize, Deserialize)]
struct Nothing {
    number: usize,
}

impl TaskHandler for Nothing {
    const IDENTIFIER: &'static str = "nothing";

    async fn run(self, _: WorkerContext) -> impl IntoTaskHandlerResult {
        measure::count();
    }
}

struct Graphile {
    utils: WorkerUtils,
    /// None once it runs.
    worker: Option<Worker>,
}

impl Queue for Graphile {
    const LEFT: &str = "SELECT EXISTS (SELECT FROM graphile_worker._private_jobs)";

    async fn open(pool: &PgPool) -> Done<Self> {
        // Its own means for many small jobs: fetched and completed in batches.
        let worker = WorkerOptions::default()
            .concurrency(64)
            .local_queue(LocalQueueConfig::default().with_size(500))
            .complete_job_batch_delay(Duration::from_millis(1))
            .define_job::<Nothing>()
            .pg_pool(pool.clone())
            .init()
            .await?;
        Ok(Self {
            utils: worker.create_utils(),
            worker: Some(worker),
        })
    }

    async fn push(&mut self, number: usize) -> Done {
        let job = Nothing { number };
        self.utils.add_job(job, JobSpec::default()).await?;
        Ok(())
    }

    async fn push_all(&mut self, numbers: Range<usize>) -> Done {
        let spec = JobSpec::default();
        let jobs: Vec<_> = numbers.map(|number| (Nothing { number }, &spec)).collect();
        self.utils.add_jobs(&jobs).await?;
        Ok(())
    }

    fn run(&mut self) {
        if let Some(worker) = self.worker.take() {
            tokio::spawn(async move { measure::end_with(worker.run().await) });
        }
    }
}

#[tokio::main]
async fn main() -> Done {
    measure::main::<Graphile>().await
}
