//! What is the same for every peer in Rust: it is told `URL enqueue|drain|end-to-end COUNT`, and
//! prints one line of JSON with the seconds.
//!
//! A job has ended when PostgreSQL says so, not when its function has returned.

use std::error::Error;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

/// Jobs are sent in groups of this size where they are not sent one by one.
const GROUP: usize = 1_000;
/// Jobs that make everything warm.
const WARM_UP: usize = 1_000;
/// Longest time of anything here.
const PATIENCE: Duration = Duration::from_secs(300);
const LOOK_INTERVAL: Duration = Duration::from_millis(1);

/// Jobs whose function was called.
static RUN: AtomicUsize = AtomicUsize::new(0);

pub type Done<T = ()> = Result<T, Box<dyn Error>>;

/// Somebody's queue, whose jobs call [`count`] and do nothing else.
pub trait Queue: Sized {
    /// Whether there are jobs that have not ended.
    const LEFT: &str;

    async fn open(pool: &PgPool) -> Done<Self>;

    /// Sends one job.
    async fn push(&mut self, number: usize) -> Done;

    /// Sends many together.
    async fn push_all(&mut self, numbers: Range<usize>) -> Done;

    /// Has a worker run from now on.
    fn run(&mut self);
}

/// A job has run.
pub fn count() {
    RUN.fetch_add(1, Ordering::Relaxed);
}

/// A worker runs for as long as this program.
pub fn end_with<E: Error>(ended: Result<(), E>) {
    if let Err(error) = ended {
        eprintln!("{error}");
        std::process::exit(1);
    }
}

pub async fn main<Q: Queue>() -> Done {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, what, count] = &arguments[..] else {
        return Err("it is told: URL enqueue|drain|end-to-end COUNT".into());
    };
    let count: usize = count.parse()?;
    let pool = PgPoolOptions::new()
        .max_connections(10)
        .connect(url)
        .await?;
    let mut queue = Q::open(&pool).await?;
    let start;
    match what.as_str() {
        // One after the other, each on disk before the next.
        "enqueue" => {
            queue.push(0).await?;
            start = Instant::now();
            for number in 0..count {
                queue.push(number).await?;
            }
        }
        "drain" => {
            send(&mut queue, count).await?;
            start = Instant::now();
            queue.run();
            ended::<Q>(&pool, count).await?;
        }
        "end-to-end" => {
            queue.run();
            send(&mut queue, WARM_UP).await?;
            ended::<Q>(&pool, WARM_UP).await?;
            start = Instant::now();
            send(&mut queue, count).await?;
            ended::<Q>(&pool, WARM_UP + count).await?;
        }
        other => return Err(format!("it cannot {other}").into()),
    }
    println!("{{\"seconds\": {}}}", start.elapsed().as_secs_f64());
    // Nothing is waited for any more.
    std::process::exit(0)
}

async fn send<Q: Queue>(queue: &mut Q, count: usize) -> Done {
    for first in (0..count).step_by(GROUP) {
        queue.push_all(first..(first + GROUP).min(count)).await?;
    }
    Ok(())
}

/// Waits until so many have run and PostgreSQL has each of them as done.
async fn ended<Q: Queue>(pool: &PgPool, count: usize) -> Done {
    let start = Instant::now();
    loop {
        if RUN.load(Ordering::Relaxed) >= count
            && !sqlx::query_scalar::<_, bool>(Q::LEFT)
                .fetch_one(pool)
                .await?
        {
            return Ok(());
        }
        if start.elapsed() > PATIENCE {
            return Err(format!("{} of {count} have run", RUN.load(Ordering::Relaxed)).into());
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}
