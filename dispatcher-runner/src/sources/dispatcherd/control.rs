//! The control commands: what each of them does, and the shape of its answer.
//!
//! Shapes are those of the original, whose clients read them. A list of jobs has jobs only: whoever
//! counts its keys counts jobs, and `node_id`.

use dispatcher_core::{JobId, JobState};
use tracing::Level;

use super::Intake;
use crate::dispatcherd::{Filter, Json, masked, recall};
use crate::log;
use crate::sources::{JobWait, ServiceView, SourceStage, SourceState, UnfinishedJob, WorkerView};

/// Rounds of a cancellation, each over as many jobs as one look tells of.
const CANCEL_ROUNDS_MAX: usize = 100;
/// Name of the log, where the original names its logger.
const LOGGER: &str = "dispatcher";

/// A command that was given.
pub(super) struct Asked<'a> {
    pub(super) intake: &'a Intake,
    pub(super) command: &'a str,
    pub(super) data: &'a Json,
}

/// An answer; what went wrong is an answer, too.
type Answer = Result<Json, String>;

impl Asked<'_> {
    pub(super) async fn answer(&self) -> Json {
        let answer = match self.data {
            Json::Object(_) => self.obey().await,
            Json::Null
            | Json::Bool(_)
            | Json::Number(_)
            | Json::Text(_)
            | Json::List(_)
            | Json::Odd(_) => Err("`control_data` is no object".to_owned()),
        };
        answer.unwrap_or_else(|error| Json::object([("error", Json::text(error))]))
    }

    async fn obey(&self) -> Answer {
        match self.command {
            "alive" => Ok(Json::empty()),
            "running" => self.running().await,
            "cancel" => self.cancel().await,
            "workers" => Ok(workers(&self.view().await?, &self.jobs(&all()).await?)),
            "producers" => Ok(producers(&self.view().await?)),
            "main" => self.main().await,
            "metrics" => Ok(metrics(&self.view().await?)),
            "chunks" => Ok(self.chunks()),
            "aio_tasks" => Ok(activities(&self.view().await?)),
            "status" => self.status().await,
            "set_log_level" => self.set_log_level(),
            "run" => {
                self.intake.run(self.data.clone()).await?;
                Ok(Json::object([("ack", self.data.clone())]))
            }
            other => Err(format!("No control method {other}")),
        }
    }

    async fn view(&self) -> Result<ServiceView, String> {
        let view = self.intake.host.look().await;
        view.ok_or_else(|| "the service ends".to_owned())
    }

    /// Jobs that match, and where each of them is.
    async fn jobs(&self, filter: &Filter) -> Result<Vec<Shown>, String> {
        let jobs = self.intake.host.unfinished().await;
        let jobs = jobs.map_err(|error| log::chain(&error))?;
        let view = self.view().await?;
        let wanted = filter.task().and_then(|task| {
            let definition = self.intake.host.dispatcher(task).ok()?;
            Some(definition.name)
        });
        let mut places = Places::default();
        let shown = jobs.iter().map(|job| {
            let place = places.of(job, &view.workers);
            let definition = self.intake.host.dispatcher(&job.dispatcher).ok();
            let message = recall(
                job.id,
                &job.dispatcher,
                definition,
                &job.origin,
                &job.payload,
            );
            let matches = filter.matches(&message, &job.dispatcher, wanted);
            matches.then(|| Shown {
                id: job.id,
                place,
                message: masked(message, definition),
            })
        });
        Ok(shown.flatten().collect())
    }

    async fn running(&self) -> Answer {
        let jobs = self.jobs(&Filter::of(self.data)).await?;
        Ok(listed(jobs))
    }

    /// Cancels until nothing is left that matches.
    async fn cancel(&self) -> Answer {
        let filter = Filter::of(self.data);
        let mut cancelled: Vec<Shown> = Vec::new();
        let mut tried = std::collections::BTreeSet::new();
        for _ in 0..CANCEL_ROUNDS_MAX {
            let mut jobs = self.jobs(&filter).await?;
            jobs.retain(|job| tried.insert(job.id));
            if jobs.is_empty() {
                break;
            }
            let ids = jobs.iter().map(|job| job.id).collect();
            let done = self.intake.host.cancel(ids).await;
            let done = done.map_err(|error| log::chain(&error))?;
            let done: std::collections::BTreeSet<JobId> = done.into_iter().collect();
            jobs.retain(|job| done.contains(&job.id));
            cancelled.extend(jobs);
        }
        Ok(listed(cancelled))
    }

    async fn main(&self) -> Answer {
        let view = self.view().await?;
        let jobs = self.intake.host.unfinished().await;
        let jobs = jobs.map_err(|error| log::chain(&error))?;
        let counted = |name| -> u64 {
            let sources = view.sources.iter();
            sources.filter_map(|it| it.counters.get(name)).sum()
        };
        let workers = view.workers.len();
        let running = view.workers.iter().filter(|it| it.job.is_some()).count();
        let due = jobs
            .iter()
            .filter(|job| job.state == JobState::Running || job.wait == JobWait::Worker);
        let next = view.workers.iter().map(|it| u64::from(it.id) + 1).max();
        let usage = Json::object([
            ("count", Json::from(0_u32)),
            ("top5", Json::empty()),
            ("near_worker_ct", Json::empty()),
        ]);
        let pool = Json::object([
            ("next_worker_id", next.unwrap_or(0).into()),
            ("finished_count", view.ended.into()),
            ("canceled_count", view.cancelled.into()),
            ("retirement_count", view.retired.into()),
            ("worker_ct", workers.into()),
            ("running_ct", running.into()),
            ("active_task_ct", due.count().into()),
            ("usage", usage),
        ]);
        Ok(Json::object([
            ("received_count", counted(super::RECEIVED).into()),
            ("control_count", counted(super::CONTROL).into()),
            ("pid", std::process::id().into()),
            ("pool", pool),
        ]))
    }

    fn chunks(&self) -> Json {
        let pieces = self.intake.pieces();
        let now = self.intake.began.elapsed();
        Json::object([
            ("status", pieces.status()),
            ("partials", pieces.partials(now)),
        ])
    }

    async fn status(&self) -> Answer {
        let view = self.view().await?;
        let jobs = self.jobs(&all()).await?;
        let main = self.main().await?;
        let workers = workers(&view, &jobs);
        Ok(Json::object([
            ("running", listed(jobs)),
            ("aio_tasks", activities(&view)),
            ("workers", workers),
            ("producers", producers(&view)),
            ("metrics", metrics(&view)),
            ("main", main),
            ("chunks", self.chunks()),
        ]))
    }

    fn set_log_level(&self) -> Answer {
        let level = match self.data.get("level") {
            Some(Json::Text(name)) => {
                let known = level_called(name.trim());
                known.ok_or_else(|| format!("Unknown log level '{name}'."))?
            }
            Some(number @ Json::Number(_)) => {
                let number = number.as_f64().unwrap_or_default();
                level_numbered(number)
            }
            Some(_) | None => {
                return Err(
                    "Log level must be provided as a string or int via the \"level\" key."
                        .to_owned(),
                );
            }
        };
        let Some(previous) = log::level() else {
            return Err("the log belongs to the program that this service is part of".to_owned());
        };
        log::set_level(level);
        Ok(Json::object([
            ("logger", Json::from(LOGGER)),
            ("level", name_of(level).into()),
            ("previous_level", name_of(previous).into()),
        ]))
    }
}

fn all() -> Filter {
    Filter::of(&Json::empty())
}

/// A job as it is listed.
struct Shown {
    id: JobId,
    place: String,
    message: Json,
}

fn listed(jobs: Vec<Shown>) -> Json {
    Json::object(jobs.into_iter().map(|job| (job.place, job.message)))
}

/// Names the places of jobs, each once.
#[derive(Default)]
struct Places {
    blocked: usize,
    queued: usize,
    delayed: usize,
}

impl Places {
    fn of(&mut self, job: &UnfinishedJob, workers: &[WorkerView]) -> String {
        let worker = workers.iter().find(|worker| worker.job == Some(job.id));
        if let Some(worker) = worker {
            return format!("worker-{}", worker.id);
        }
        let is_running = job.state == JobState::Running;
        let (name, number) = match job.wait {
            // A worker is about to be started for it, or it runs in another service.
            _ if is_running => ("queued", &mut self.queued),
            JobWait::Worker => ("queued", &mut self.queued),
            JobWait::Duplicate => ("blocked", &mut self.blocked),
            JobWait::Time => ("delayed", &mut self.delayed),
        };
        let place = format!("{name}-{number}");
        *number += 1;
        place
    }
}

fn workers(view: &ServiceView, jobs: &[Shown]) -> Json {
    let workers = view.workers.iter().map(|worker| {
        let job = jobs.iter().find(|job| Some(job.id) == worker.job);
        let said = |key: &str| {
            let value = job.and_then(|job| job.message.get(key));
            value.cloned().unwrap_or(Json::Null)
        };
        let status = match worker.state {
            "working" => "ready",
            other => other,
        };
        let told = Json::object([
            ("worker_id", worker.id.into()),
            ("pid", worker.pid.map_or(Json::Null, Json::from)),
            ("status", status.into()),
            ("finished_count", worker.served.into()),
            ("current_task", said("task")),
            ("current_task_uuid", said("uuid")),
            ("active_cancel", (worker.state == "stopping").into()),
            ("age", worker.age.as_secs_f64().into()),
        ]);
        (format!("worker-{}", worker.id), told)
    });
    Json::object(workers)
}

fn producers(view: &ServiceView) -> Json {
    let producers = view.sources.iter().map(|source| {
        // What a source calls its work: messages, ticks.
        let names = [super::RECEIVED, "ticks"];
        let produced = names.iter().find_map(|name| source.counters.get(name));
        let told = Json::object([
            ("produced_count", produced.copied().unwrap_or(0).into()),
            ("uptime_seconds", source.uptime.as_secs_f64().into()),
            ("recycle_count", source.restarts.into()),
            ("healthy", source.healthy.into()),
        ]);
        (format!("{}-producer", source.name), told)
    });
    Json::object(producers)
}

fn metrics(view: &ServiceView) -> Json {
    let Some(address) = view.metrics else {
        return Json::object([("enabled", false)].map(|(key, value)| (key, Json::from(value))));
    };
    let status = Json::object([
        ("host", Json::text(address.ip().to_string())),
        ("port", u32::from(address.port()).into()),
        ("ready", true.into()),
        ("http_server", Json::empty()),
    ]);
    Json::object([("enabled", true.into()), ("status", status)])
}

/// What the original tells of its futures: here each source is one.
fn activities(view: &ServiceView) -> Json {
    let activities = view.sources.iter().map(|source: &SourceState| {
        let told = Json::object([
            ("done", Json::from(source.stage == SourceStage::Ended)),
            ("stack", source.stage.as_str().into()),
        ]);
        (format!("source_{}", source.name), told)
    });
    Json::object(activities)
}

/// Python's names of levels.
fn level_called(name: &str) -> Option<Level> {
    match name.to_ascii_uppercase().as_str() {
        "DEBUG" | "NOTSET" => Some(Level::DEBUG),
        "INFO" => Some(Level::INFO),
        "WARNING" | "WARN" => Some(Level::WARN),
        "ERROR" | "CRITICAL" | "FATAL" => Some(Level::ERROR),
        _ => None,
    }
}

/// Python's numbers of levels.
fn level_numbered(number: f64) -> Level {
    match number {
        ..=10.0 => Level::DEBUG,
        ..=20.0 => Level::INFO,
        ..=30.0 => Level::WARN,
        _ => Level::ERROR,
    }
}

fn name_of(level: Level) -> &'static str {
    match level {
        Level::TRACE | Level::DEBUG => "DEBUG",
        Level::INFO => "INFO",
        Level::WARN => "WARNING",
        Level::ERROR => "ERROR",
    }
}
