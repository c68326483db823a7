//! Messages that a service sends itself: the sources `scheduled` and `on_start`.
//!
//! Each service has its own: what shall run once over all of them is a dispatcher's `schedule`.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::Deserialize;
use tokio::time::{Duration, Instant, sleep_until};

use super::dispatcherd::{Arrival, Intake};
use super::{Host, Source, SourceError, Stop};
use crate::dispatcherd::Json;
use crate::register_source;

/// What a message says besides its task.
type Options = BTreeMap<String, toml::Value>;

/// Shortest and longest period, in seconds: what is more often is no schedule.
const PERIOD: std::ops::RangeInclusive<f64> = 0.01..=31_557_600.0;

/// The source `scheduled`: tasks every so many seconds, the first time after the first period.
#[derive(Debug, Deserialize)]
pub struct Scheduled {
    task_schedule: BTreeMap<String, Options>,
}

/// The source `on_start`: tasks once, when the service begins to serve.
#[derive(Debug, Deserialize)]
pub struct OnStart {
    task_list: BTreeMap<String, Options>,
}

register_source!(Scheduled);
register_source!(OnStart);

/// A task of a schedule.
struct Recurring {
    period: Duration,
    due: Instant,
    message: Json,
}

fn message(task: &str, options: &Options) -> Result<Json, SourceError> {
    let text = serde_json::to_string(options)?;
    let mut message = Json::read(&text)?;
    message.set("task", Json::text(task));
    Ok(message)
}

/// That a task can be run is known before anything is served.
fn check(host: &Host, task: &str) -> Result<(), SourceError> {
    host.dispatcher(task)?;
    Ok(())
}

async fn send(intake: &Intake, message: &Json, uuid: String, channel: &str) {
    let mut message = message.clone();
    message.set("uuid", Json::text(uuid));
    let arrival = Arrival {
        text: Ok(message.to_ascii()),
        channel: channel.to_owned(),
    };
    intake.take(vec![vec![arrival]]).await;
}

impl Scheduled {
    fn recurring(&self, now: Instant) -> Result<Vec<Recurring>, SourceError> {
        let tasks = self.task_schedule.iter().map(|(task, options)| {
            let mut options = options.clone();
            let period = match options.remove("schedule") {
                Some(toml::Value::Integer(seconds)) => i32::try_from(seconds).ok().map(f64::from),
                Some(toml::Value::Float(seconds)) => Some(seconds),
                Some(_) | None => None,
            };
            let period = period.filter(|period| PERIOD.contains(period));
            let period = period.ok_or_else(|| {
                format!("`schedule` of {task} is no number of seconds between 0.01 and a year")
            })?;
            let period = Duration::from_secs_f64(period);
            Ok(Recurring {
                period,
                due: now + period,
                message: message(task, &options)?,
            })
        });
        tasks.collect()
    }
}

impl Source for Scheduled {
    const NAME: &'static str = "scheduled";

    fn init(&mut self, host: &Host) -> Result<(), SourceError> {
        for task in self.task_schedule.keys() {
            check(host, task)?;
        }
        self.recurring(Instant::now()).map(drop)
    }

    async fn serve(&self, host: &Host, stop: Stop) -> Result<(), SourceError> {
        let intake = Intake::new(host, None, |_| true);
        let mut tasks = self.recurring(Instant::now())?;
        let mut sent = 0_u64;
        loop {
            let Some(next) = tasks.iter_mut().min_by_key(|task| task.due) else {
                return Ok(());
            };
            if stop.or(sleep_until(next.due)).await.is_none() {
                return Ok(());
            }
            sent += 1;
            send(&intake, &next.message, format!("sch-{sent}"), Self::NAME).await;
            // What a machine slept through is not made up for.
            next.due = (next.due + next.period).max(Instant::now());
        }
    }
}

impl Source for OnStart {
    const NAME: &'static str = "on_start";

    fn init(&mut self, host: &Host) -> Result<(), SourceError> {
        for (task, options) in &self.task_list {
            check(host, task)?;
            message(task, options)?;
        }
        Ok(())
    }

    async fn serve(&self, host: &Host, _: Stop) -> Result<(), SourceError> {
        let intake = Intake::new(host, None, |_| true);
        for (number, (task, options)) in self.task_list.iter().enumerate() {
            let uuid = format!("on-start-{number}");
            send(&intake, &message(task, options)?, uuid, Self::NAME).await;
        }
        Ok(())
    }
}
