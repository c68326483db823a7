//! The shipped source: a tick every so often, to a pool or as a job.
//!
//! A tick is started, missed and counted, or waits; none is forgotten without a count. Ticks run
//! beside each other as far as the pool has workers, and what becomes of each is seen.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;

use dispatcher_core::PayloadKind;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep, sleep_until};

use super::{DispatchOptions, Host, Interval, Source, SourceError, Stop};
use crate::{log, register_source};

/// Ticks that wait for a worker, at most, with `overlap = "queue"`.
const WAITING_MAX: usize = 1_000;

/// Counters, as metrics name them.
const STARTED: &str = "ticks";
const FAILED: &str = "failed_ticks";
const MISSED: &str = "missed_ticks";

/// The source `ticker`: every `interval` a request to its pool, or a job.
#[derive(Debug, Deserialize)]
pub struct Ticker {
    #[serde(default = "one_second")]
    interval: Interval,
    dispatcher: Option<String>,
    payload: Option<Value>,
    #[serde(default)]
    overlap: Overrun,
}

/// What becomes of a tick when every worker is busy with earlier ones, or the job of an earlier
/// one is unfinished.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Overrun {
    /// It is missed, and counted as such.
    #[default]
    Skip,
    /// It waits; so do those after it.
    Queue,
    /// It waits, and takes the place of an earlier one that waits.
    Coalesce,
}

fn one_second() -> Interval {
    Interval::from_secs(1)
}

register_source!(Ticker);

impl Source for Ticker {
    const NAME: &'static str = "ticker";

    fn init(&mut self, host: &Host) -> Result<(), SourceError> {
        match (&self.dispatcher, host.pool()) {
            (Some(name), None) => {
                let definition = host.dispatcher(name)?;
                if self.overlap == Overrun::Coalesce {
                    return Err(format!(
                        "`overlap = \"coalesce\"` is for a pool; of jobs it is \
                         `on_duplicate = \"queue_one\"` of {}",
                        definition.name
                    )
                    .into());
                }
                Ok(())
            }
            (None, Some(_)) if self.payload.is_some() => {
                Err("`payload` is for a `dispatcher`; a pool is told the tick".into())
            }
            (None, Some(_)) => Ok(()),
            (None, None) => Err(
                "it has nobody to tell: set `pool`, [sources.ticker.pool] or `dispatcher`".into(),
            ),
            (Some(_), Some(_)) => Err("`dispatcher` and `pool` exclude each other".into()),
        }
    }

    async fn serve(&self, host: &Host, stop: Stop) -> Result<(), SourceError> {
        Ticking::new(self, host).run(&stop).await;
        Ok(())
    }
}

/// A tick that was due.
#[derive(Debug, Clone, Copy, Serialize)]
struct Tick {
    #[serde(rename = "tick")]
    number: u64,
}

/// What one round of waiting came to.
enum Woken {
    Stopped,
    Due,
    Finished,
}

/// A ticker at work.
struct Ticking<'a> {
    ticker: &'a Ticker,
    host: &'a Host,
    began: Instant,
    /// Ticks that were due so far; the number of the next one.
    due: u64,
    /// When the latest tick was started, in seconds since 1970.
    last: Option<i64>,
    waiting: VecDeque<Tick>,
    running: JoinSet<()>,
}

impl<'a> Ticking<'a> {
    fn new(ticker: &'a Ticker, host: &'a Host) -> Self {
        Self {
            ticker,
            host,
            began: Instant::now(),
            due: 0,
            last: None,
            waiting: VecDeque::new(),
            running: JoinSet::new(),
        }
    }

    /// Ticks until it is told to stop, and waits for what runs then.
    async fn run(mut self, stop: &Stop) {
        let mut alarm = Box::pin(sleep_until(self.next()));
        loop {
            match self.wait(stop, alarm.as_mut()).await {
                Woken::Stopped => break,
                Woken::Finished => {}
                Woken::Due => {
                    self.catch_up();
                    alarm.as_mut().reset(self.next());
                }
            }
            self.start_waiting();
        }
        self.miss(self.waiting.len() as u64);
        // Whoever stops the source has set a time for this.
        while self.running.join_next().await.is_some() {}
    }

    async fn wait(&mut self, stop: &Stop, mut alarm: Pin<&mut Sleep>) -> Woken {
        let mut stopped = pin!(stop.requested());
        poll_fn(|cx| {
            if stopped.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Woken::Stopped);
            }
            if let Poll::Ready(Some(_)) = self.running.poll_join_next(cx) {
                return Poll::Ready(Woken::Finished);
            }
            alarm.as_mut().poll(cx).map(|()| Woken::Due)
        })
        .await
    }

    /// When the next tick is due. Times are multiples of the interval, so they do not drift.
    fn next(&self) -> Instant {
        let nanos = self.ticker.interval.duration().as_nanos();
        let since = nanos.saturating_mul(u128::from(self.due) + 1);
        let since = u64::try_from(since).unwrap_or(u64::MAX);
        self.began + std::time::Duration::from_nanos(since)
    }

    /// Takes up every tick that is due; more than one if this thread was held up.
    fn catch_up(&mut self) {
        let passed = self.began.elapsed().as_nanos() / self.ticker.interval.duration().as_nanos();
        let passed = u64::try_from(passed).unwrap_or(u64::MAX);
        let places = match self.ticker.overlap {
            Overrun::Queue => WAITING_MAX as u64,
            // After a while without this thread, or this machine, no burst of old ticks.
            Overrun::Skip | Overrun::Coalesce => 1,
        };
        let skipped = passed.saturating_sub(self.due).saturating_sub(places);
        self.miss(skipped);
        for number in self.due + skipped..passed {
            self.take(Tick { number });
        }
        self.due = self.due.max(passed);
    }

    /// A tick waits if there is a place for it; whether it must, is seen next.
    fn take(&mut self, tick: Tick) {
        let places = match self.ticker.overlap {
            Overrun::Skip => self.free(),
            Overrun::Queue => WAITING_MAX,
            Overrun::Coalesce => self.free().max(1),
        };
        if self.waiting.len() < places {
            return self.waiting.push_back(tick);
        }
        self.miss(1);
        if self.ticker.overlap == Overrun::Coalesce {
            self.waiting.pop_back();
            self.waiting.push_back(tick);
        }
    }

    fn miss(&self, ticks: u64) {
        if ticks > 0 {
            tracing::debug!(source = Ticker::NAME, ticks, "ticks missed");
            self.host.count_by(MISSED, ticks);
        }
    }

    /// Ticks that could be started now.
    fn free(&self) -> usize {
        let at_once = match self.ticker.dispatcher {
            // They are stored one after the other, so that each sees the one before.
            Some(_) => 1,
            None => self.host.pool_workers().max(1) as usize,
        };
        at_once.saturating_sub(self.running.len())
    }

    fn start_waiting(&mut self) {
        while self.free() > 0
            && let Some(tick) = self.waiting.pop_front()
        {
            let last = self.last.replace(self.host.unix_seconds());
            self.host.count(STARTED);
            let host = self.host.clone();
            match &self.ticker.dispatcher {
                None => drop(self.running.spawn(ask(host, tick, last))),
                Some(name) => {
                    let job = self.job(name.clone(), tick);
                    self.running.spawn(send(host, job));
                }
            }
        }
    }

    fn job(&self, dispatcher: String, tick: Tick) -> TickJob {
        let takes_nothing = match self.host.dispatcher(&dispatcher) {
            Ok(it) => it.payload == PayloadKind::Fields && it.fields.is_empty(),
            Err(_) => false,
        };
        let payload = match &self.ticker.payload {
            Some(payload) => payload.clone(),
            None if takes_nothing => json!({}),
            None => json!(tick),
        };
        let one = match self.ticker.overlap {
            Overrun::Skip => Some(format!("source {}", Ticker::NAME)),
            Overrun::Queue | Overrun::Coalesce => None,
        };
        TickJob {
            dispatcher,
            payload,
            options: DispatchOptions {
                unique_key: one,
                ..DispatchOptions::default()
            },
        }
    }
}

/// A tick as a job.
struct TickJob {
    dispatcher: String,
    payload: Value,
    options: DispatchOptions,
}

/// A tick as a request.
async fn ask(host: Host, tick: Tick, last: Option<i64>) {
    let context = json!({ "lastTick": last }).to_string();
    let body = json!(tick).to_string();
    match host.exec(context, body).await {
        Ok(_) => host.report_healthy(),
        Err(error) => failed(&host, &error),
    }
}

async fn send(host: Host, job: TickJob) {
    match host
        .dispatch(&job.dispatcher, job.payload, job.options)
        .await
    {
        Ok(sent) => {
            if sent.duplicate {
                host.count(MISSED);
            }
            host.report_healthy();
        }
        Err(error) => failed(&host, &error),
    }
}

fn failed(host: &Host, error: &(dyn std::error::Error + 'static)) {
    let error = log::chain(error);
    tracing::warn!(source = Ticker::NAME, error, "a tick failed");
    host.count(FAILED);
    host.report_unhealthy(error);
}
