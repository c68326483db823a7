//! What graphile_worker takes: `peer-graphile-worker URL enqueue|drain|end-to-end COUNT`.
//!
//! Prints one line of JSON with the seconds. A job has ended when PostgreSQL says so, not when its
//! function has returned.

use std::error::Error;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use graphile_worker::{
    IntoTaskHandlerResult, JobSpec, LocalQueueConfig, TaskHandler, Worker, WorkerContext,
    WorkerOptions, WorkerUtils,
};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

/// Jobs are sent in groups of this size where they are not sent one by one.
const GROUP: usize = 1_000;
/// Jobs that make everything warm.
const WARM_UP: usize = 200;
/// Longest time of anything here.
const PATIENCE: Duration = Duration::from_secs(300);
const LOOK_INTERVAL: Duration = Duration::from_millis(1);

static RUN: AtomicUsize = AtomicUsize::new(0);

#[derive(Clone, Serialize, Deserialize)]
struct Nothing {
    number: usize,
}

impl TaskHandler for Nothing {
    const IDENTIFIER: &'static str = "nothing";

    async fn run(self, _: WorkerContext) -> impl IntoTaskHandlerResult {
        RUN.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, what, count] = &arguments[..] else {
        return Err("peer-graphile-worker URL enqueue|drain|end-to-end COUNT".into());
    };
    let count: usize = count.parse()?;
    let pool = PgPoolOptions::new()
        .max_connections(10)
        .connect(url)
        .await?;
    // Its own means for many small jobs: fetched and completed in batches.
    let worker = WorkerOptions::default()
        .concurrency(64)
        .local_queue(LocalQueueConfig::default().with_size(500))
        .complete_job_batch_delay(Duration::from_millis(1))
        .define_job::<Nothing>()
        .pg_pool(pool.clone())
        .init()
        .await?;
    let utils = worker.create_utils();
    let time = match what.as_str() {
        "enqueue" => enqueue(&utils, count).await?,
        "drain" => {
            send(&utils, count).await?;
            let start = Instant::now();
            run(worker);
            ended(&pool, count).await?;
            start.elapsed()
        }
        "end-to-end" => {
            run(worker);
            send(&utils, WARM_UP).await?;
            ended(&pool, WARM_UP).await?;
            let start = Instant::now();
            send(&utils, count).await?;
            ended(&pool, WARM_UP + count).await?;
            start.elapsed()
        }
        other => return Err(format!("it cannot {other}").into()),
    };
    println!("{{\"seconds\": {}}}", time.as_secs_f64());
    // Nothing is waited for any more.
    std::process::exit(0)
}

/// One after the other, each on disk before the next.
async fn enqueue(utils: &WorkerUtils, count: usize) -> Result<Duration, Box<dyn Error>> {
    utils
        .add_job(Nothing { number: 0 }, JobSpec::default())
        .await?;
    let start = Instant::now();
    for number in 0..count {
        utils
            .add_job(Nothing { number }, JobSpec::default())
            .await?;
    }
    Ok(start.elapsed())
}

async fn send(utils: &WorkerUtils, count: usize) -> Result<(), Box<dyn Error>> {
    let spec = JobSpec::default();
    for first in (0..count).step_by(GROUP) {
        let numbers = first..(first + GROUP).min(count);
        let jobs: Vec<_> = numbers.map(|number| (Nothing { number }, &spec)).collect();
        utils.add_jobs(&jobs).await?;
    }
    Ok(())
}

fn run(worker: Worker) {
    tokio::spawn(async move {
        if let Err(error) = worker.run().await {
            eprintln!("{error}");
            std::process::exit(1);
        }
    });
}

/// Waits until so many have run and PostgreSQL has none of them any more: ended jobs are deleted.
async fn ended(pool: &PgPool, count: usize) -> Result<(), Box<dyn Error>> {
    let start = Instant::now();
    loop {
        if RUN.load(Ordering::Relaxed) >= count {
            let left = "SELECT EXISTS (SELECT FROM graphile_worker._private_jobs)";
            if !sqlx::query_scalar::<_, bool>(left).fetch_one(pool).await? {
                return Ok(());
            }
        }
        if start.elapsed() > PATIENCE {
            return Err(format!("{} of {count} have run", RUN.load(Ordering::Relaxed)).into());
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}
