//! Ticks of the program's schedules: which have passed, what they submit, when the next is due.
//!
//! A timer calls it once a minute, a service from its own thread: whoever does, each tick is
//! decided once, in the store. A look that finds nothing to do writes nothing.

use std::time::Duration;

use dispatcher_core::{
    DecidedTick, Definition, Registry, ScheduleOptions, ScheduleRecord, TickFate, ZonedSchedule,
};
use jiff::tz::TimeZone;

use super::SpawnError;
use super::submit::{Request, Sender, check_requirements, new_job};
use crate::config::Config;
use crate::ids;
use crate::store::{
    Build, DispatcherStatus, KnownSchedules, ScheduledJobs, StoreError, TickRequest, UnixMs,
};
use crate::supervisor::launch;

/// A dispatcher of this program that has, or had, a schedule.
#[derive(Debug, Clone)]
pub(crate) struct Scheduled {
    pub(crate) definition: &'static Definition,
    /// As the newest build says; `None` when it has no schedule any more.
    pub(crate) options: Option<ScheduleOptions>,
    pub(crate) record: ScheduleRecord,
    pub(crate) paused: bool,
}

/// What a look at the schedules did.
#[derive(Debug, Clone, Default)]
pub(crate) struct TickReport {
    /// In the order of the dispatchers' names.
    pub(crate) decided: Vec<(&'static str, DecidedTick)>,
    /// Schedules that cannot be followed here.
    pub(crate) problems: Vec<ScheduleProblem>,
    /// Until the next tick of any of them.
    pub(crate) next_in: Option<Duration>,
}

/// A schedule that cannot be followed here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the schedule of {dispatcher} cannot be followed: {reason}")]
pub(crate) struct ScheduleProblem {
    pub(crate) dispatcher: &'static str,
    pub(crate) reason: String,
}

impl Scheduled {
    /// Those of the program, with what a store has on record about them.
    pub(crate) fn of(
        registry: &Registry,
        config: &Config,
        build: Option<&Build>,
        known: &KnownSchedules,
        rows: &[DispatcherStatus],
    ) -> Vec<Self> {
        let all = registry.iter().map(|definition| {
            let name = definition.name;
            let status = rows.iter().find(|status| status.row.name == name);
            let newer = status.filter(|status| build.is_some_and(|own| status.row.build > *own));
            let record = known.rows.iter().find(|row| row.dispatcher == name);
            Self {
                definition,
                options: match newer {
                    Some(newer) => newer.row.options.schedule.clone(),
                    None => options_of(definition, config),
                },
                record: record.map(|row| row.record.clone()).unwrap_or_default(),
                paused: status.is_some_and(|status| status.paused),
            }
        });
        let mut scheduled: Vec<_> = all
            .filter(|it| match it.options {
                // A newer build has given it a schedule, and only that knows with what payload.
                Some(_) => it.definition.default_payload.is_some(),
                None => it.record.rule.is_some(),
            })
            .collect();
        scheduled.sort_by_key(|it| it.definition.name);
        scheduled
    }

    /// The schedule in its zone; `None` when there is none.
    ///
    /// # Errors
    /// When this machine does not know the zone, or this build not the expression.
    pub(crate) fn zoned(&self) -> Result<Option<ZonedSchedule>, ScheduleProblem> {
        let Some(options) = &self.options else {
            return Ok(None);
        };
        let problem = |reason| ScheduleProblem {
            dispatcher: self.definition.name,
            reason,
        };
        let zone = TimeZone::get(&options.timezone).map_err(|error| problem(error.to_string()))?;
        match ZonedSchedule::new(options, zone) {
            Ok(zoned) => Ok(Some(zoned)),
            Err(error) => Err(problem(format!("{:?} is {error}", options.expression))),
        }
    }

    /// Whether there is something to decide.
    fn is_due(&self, zoned: Option<&ZonedSchedule>, now: UnixMs) -> bool {
        match zoned {
            Some(zoned) => zoned.decide(&self.record, now).is_some(),
            None => self.record.without_schedule().is_some(),
        }
    }
}

impl Sender<'_> {
    /// Decides the ticks that have passed and submits their jobs; then makes sure that somebody
    /// runs what is unfinished, which after a reboot nobody does.
    ///
    /// # Errors
    /// When the store fails; nothing was decided then.
    pub(crate) fn tick(&self, registry: &Registry) -> Result<TickReport, SpawnError> {
        let report = self.decide_due(registry)?;
        self.serve_unfinished(registry)?;
        Ok(report)
    }

    /// The same for a service, which runs what is unfinished itself: only what a tick has submitted
    /// may need somebody else, for its label.
    ///
    /// # Errors
    /// As [`Self::tick`].
    pub(crate) fn tick_in_service(&self, registry: &Registry) -> Result<TickReport, SpawnError> {
        let report = self.decide_due(registry)?;
        let mut decided = report.decided.iter();
        if decided.any(|(_, tick)| has_a_job(&tick.fate)) {
            self.serve_unfinished(registry)?;
        }
        Ok(report)
    }

    fn decide_due(&self, registry: &Registry) -> Result<TickReport, SpawnError> {
        let known = self.store.call(|store| store.schedules())?;
        let rows = self.store.call(|store| store.dispatchers())?;
        let scheduled = Scheduled::of(registry, self.config, Some(self.build), &known, &rows);
        let mut report = TickReport::default();
        let mut requests = Vec::new();
        let mut names = Vec::new();
        for it in &scheduled {
            let zoned = match it.zoned() {
                Ok(zoned) => zoned,
                Err(problem) => {
                    report.problems.push(problem);
                    continue;
                }
            };
            report.note_next(it, zoned.as_ref(), known.now);
            if it.is_due(zoned.as_ref(), known.now) {
                names.push(it.definition.name);
                requests.push(self.tick_request(it, zoned));
            }
        }
        if !requests.is_empty() {
            self.decide(requests, &names, &mut report)?;
        }
        Ok(report)
    }

    fn decide(
        &self,
        requests: Vec<TickRequest>,
        names: &[&'static str],
        report: &mut TickReport,
    ) -> Result<(), SpawnError> {
        let file = self.location.file();
        launch::prepare(&self.orders(), self.build)
            .map_err(|source| StoreError::unusable(file, self.location.directory(), source))?;
        let ticked = self.store.call(move |store| store.tick(&requests))?;
        for (name, ticks) in names.iter().zip(ticked) {
            for tick in ticks {
                tracing::debug!(name, tick = tick.tick, fate = tick.fate.as_str(), "tick");
                report.decided.push((name, tick));
            }
        }
        Ok(())
    }

    /// What the store is asked for a dispatcher that is due.
    fn tick_request(&self, it: &Scheduled, zoned: Option<ZonedSchedule>) -> TickRequest {
        let schedule = match (zoned, &it.options) {
            (Some(when), Some(options)) => {
                let jobs = self.jobs_of(it.definition, options, when.runs_max());
                Some(ScheduledJobs {
                    when,
                    overlap: options.overlap,
                    // A listing has one line for it.
                    jobs: jobs.map_err(|error| error.to_string().replace('\n', " ")),
                })
            }
            (None, _) | (_, None) => None,
        };
        TickRequest {
            dispatcher: self.row(it.definition),
            schedule,
        }
    }

    /// A job for each tick that may run, checked as every other submission.
    fn jobs_of(
        &self,
        definition: &'static Definition,
        options: &ScheduleOptions,
        count: usize,
    ) -> Result<Vec<crate::store::NewJob>, SpawnError> {
        let Some(payload) = definition.default_payload else {
            return Err(SpawnError::Config(format!(
                "{} is scheduled, but has no default value",
                definition.name
            )));
        };
        let mut request = Request::checked(definition, payload()?, self.config)?;
        request.origin = "schedule".to_owned();
        check_requirements(&request)?;
        let jobs = (0..count).map(|_| {
            let mut request = request.clone();
            let jitter = draw(options.jitter);
            if !jitter.is_zero() {
                let delay = request.options.delay.unwrap_or_default();
                request.options.delay = Some(delay.saturating_add(jitter));
            }
            new_job(request, self.build)
        });
        jobs.collect()
    }
}

/// Whether there is a job for the tick that somebody must run.
fn has_a_job(fate: &TickFate) -> bool {
    match fate {
        TickFate::Submitted | TickFate::Duplicate => true,
        TickFate::Overlapped | TickFate::Missed | TickFate::QueueFull | TickFate::Refused(_) => {
            false
        }
    }
}

impl TickReport {
    fn note_next(&mut self, it: &Scheduled, zoned: Option<&ZonedSchedule>, now: UnixMs) {
        let next = zoned.and_then(|zoned| zoned.upcoming(&it.record, now, 1).pop());
        if let Some(next) = next {
            let wait = Duration::from_millis(next.abs_diff(now));
            self.next_in = Some(self.next_in.map_or(wait, |other| other.min(wait)));
        }
    }
}

fn options_of(definition: &Definition, config: &Config) -> Option<ScheduleOptions> {
    let mut job = (definition.options)();
    let mut shared = (definition.dispatcher_options)();
    config.apply(definition.name, &mut job, &mut shared);
    shared.schedule
}

/// A time up to `spread`, by chance: a fleet of machines with one schedule must not start as one.
fn draw(spread: Duration) -> Duration {
    let ms = u64::try_from(spread.as_millis()).unwrap_or(u64::MAX);
    match ms.checked_add(1) {
        Some(choices) => Duration::from_millis(ids::random_u64() % choices),
        None => Duration::from_millis(ids::random_u64()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_is_within_its_spread_and_uses_all_of_it() {
        assert_eq!(draw(Duration::ZERO), Duration::ZERO);
        let spread = Duration::from_millis(3);
        let mut seen = [false; 4];
        for _ in 0..1_000 {
            let drawn = draw(spread);
            assert!(drawn <= spread);
            seen[usize::try_from(drawn.as_millis()).unwrap()] = true;
        }
        assert_eq!(seen, [true; 4]);
        let _ = draw(Duration::MAX);
    }
}
