//! What apalis-postgres takes: `peer-apalis-postgres URL enqueue|drain|end-to-end COUNT`.
//!
//! Prints one line of JSON with the seconds. A job has ended when PostgreSQL says so, not when its
//! function has returned.

use std::error::Error;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use apalis::prelude::*;
use apalis_postgres::{Config, PostgresStorage};
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

type Storage = PostgresStorage<usize>;

async fn nothing(_: usize) -> Result<(), BoxDynError> {
    RUN.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, what, count] = &arguments[..] else {
        return Err("peer-apalis-postgres URL enqueue|drain|end-to-end COUNT".into());
    };
    let count: usize = count.parse()?;
    let pool = PgPoolOptions::new()
        .max_connections(10)
        .connect(url)
        .await?;
    PostgresStorage::setup(&pool).await?;
    // As its own example has it that asks for most, but for the size of a batch.
    let config = Config::default()
        .queue("nothing")
        .batch_size(500)
        .lock_tasks(false);
    let mut storage: Storage = PostgresStorage::new(&pool).with_config(config);
    let time = match what.as_str() {
        "enqueue" => enqueue(&mut storage, count).await?,
        "drain" => {
            send(&mut storage, count).await?;
            let start = Instant::now();
            run(&storage);
            ended(&pool, count).await?;
            start.elapsed()
        }
        "end-to-end" => {
            run(&storage);
            send(&mut storage, WARM_UP).await?;
            ended(&pool, WARM_UP).await?;
            let start = Instant::now();
            send(&mut storage, count).await?;
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
async fn enqueue(storage: &mut Storage, count: usize) -> Result<Duration, Box<dyn Error>> {
    storage.push(0).await?;
    let start = Instant::now();
    for number in 0..count {
        storage.push(number).await?;
    }
    Ok(start.elapsed())
}

async fn send(storage: &mut Storage, count: usize) -> Result<(), Box<dyn Error>> {
    for first in (0..count).step_by(GROUP) {
        let numbers = first..(first + GROUP).min(count);
        storage.push_bulk(numbers.collect()).await?;
    }
    Ok(())
}

/// On a thread of its own: the future of a worker cannot be given to `tokio::spawn` as it is.
fn run(storage: &Storage) {
    let storage = storage.clone();
    let runtime = tokio::runtime::Handle::current();
    std::thread::spawn(move || {
        let worker = WorkerBuilder::new("peer")
            .backend(storage)
            .parallelize(tokio::spawn)
            .build(nothing);
        if let Err(error) = runtime.block_on(worker.run()) {
            eprintln!("{error}");
            std::process::exit(1);
        }
    });
}

/// Waits until so many have run and PostgreSQL has each of them as done.
async fn ended(pool: &PgPool, count: usize) -> Result<(), Box<dyn Error>> {
    let start = Instant::now();
    loop {
        if RUN.load(Ordering::Relaxed) >= count {
            let left = "SELECT EXISTS (SELECT FROM apalis.jobs WHERE status <> 'Done')";
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
