//! `notifydispatcher`: submits a job, waits for its end and passes its output through.
//!
//! The job never depends on this process: whatever happens here, it is a row in the store.

use std::io::Read as _;
use std::time::{Duration, Instant};

use dispatcher_core::limits::PAYLOAD_BYTES_MAX;
use dispatcher_core::{JobId, JobState};
use serde_json::json;

use super::check_label;
use super::jobs::record_json;
use crate::cli::error::{CliError, Done, Stop, exit};
use crate::cli::live::Follower;
use crate::cli::session::{OpenStore, Session};
use crate::cli::terminal::{JobOutput, Progress};
use crate::cli::{JobOptions, JobRequest, SubmittedJob, format};
use crate::client::SERVED_EVERY;
use crate::config::{OptionValue, Overrides};
use crate::store::{CancelReply, JobRecord};

const PAUSE_MIN: Duration = Duration::from_millis(2);
const PAUSE_MAX: Duration = Duration::from_millis(50);
/// How often the whole record is read while waiting.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// A wait shorter than this shows no progress.
const PROGRESS_AFTER: Duration = Duration::from_millis(500);

/// Options of the command that are options of the job.
const JOB_FLAGS: &[&str] = &[
    "timeout", "delay", "priority", "queue", "retries", "expires",
];

pub(super) fn notifydispatcher(session: &mut Session<'_, '_>) -> Done {
    let name = session.first_word().to_owned();
    let definition = session.definition(&name)?;
    let payload = payload(session.arguments.words.get(1).map(String::as_str))?;
    let options = job_options(session)?;
    let detach = session.arguments.has("detach");
    if !detach {
        // Before the submission, so that no interruption falls between it and the wait.
        session.environment.interrupts.watch();
    }
    let request = JobRequest {
        definition,
        payload,
        options,
        retry_of: None,
    };
    let submitted = session.with_host(|host, state| host.submit(state, &request))?;
    note_duplicate(session, submitted, definition.name);
    if detach {
        return report_submission(session, submitted);
    }
    wait(session, submitted, definition.name)
}

/// Says that nothing was stored, because the job is there already.
pub(super) fn note_duplicate(session: &mut Session<'_, '_>, submitted: SubmittedJob, name: &str) {
    if submitted.duplicate {
        let id = submitted.id;
        let text = format!("{name} is unfinished and has the same identity: job {id}");
        session.terminal().note(&text);
    }
}

fn report_submission(session: &mut Session<'_, '_>, submitted: SubmittedJob) -> Done {
    let SubmittedJob { id, duplicate } = submitted;
    if session.json() {
        let value = json!({ "id": id, "duplicate": duplicate });
        session.terminal().json(&value)?;
    } else {
        session.terminal().line(id.as_str())?;
    }
    Ok(0)
}

/// The payload that the second argument stands for.
fn payload(argument: Option<&str>) -> Result<String, CliError> {
    let (text, origin) = match argument {
        None => ("{}".to_owned(), "the payload"),
        Some("-") => (
            bounded(std::io::stdin().lock(), "standard input")?,
            "standard input",
        ),
        Some(path) if path.starts_with('@') => {
            let path = &path[1..];
            let file = std::fs::File::open(path).map_err(|error| unreadable(path, &error))?;
            (bounded(file, path)?, path)
        }
        Some(text) => (text.to_owned(), "the payload"),
    };
    if text.len() > PAYLOAD_BYTES_MAX {
        return Err(too_large(origin));
    }
    match serde_json::from_str::<serde::de::IgnoredAny>(&text) {
        Ok(_) => Ok(text),
        Err(error) => Err(CliError::usage(
            format!("{origin} is not JSON; nothing was stored"),
            error.to_string(),
            "write JSON in single quotes, such as '{\"domain\":\"a.example\"}', or @file or -",
        )),
    }
}

fn bounded(from: impl std::io::Read, name: &str) -> Result<String, CliError> {
    let mut bytes = Vec::new();
    let limit = PAYLOAD_BYTES_MAX as u64 + 1;
    from.take(limit)
        .read_to_end(&mut bytes)
        .map_err(|error| unreadable(name, &error))?;
    if bytes.len() > PAYLOAD_BYTES_MAX {
        return Err(too_large(name));
    }
    String::from_utf8(bytes).map_err(|error| {
        CliError::usage(
            format!("{name} is not JSON; nothing was stored"),
            error.to_string(),
            "write it in UTF-8",
        )
    })
}

fn unreadable(name: &str, error: &std::io::Error) -> CliError {
    CliError::usage(
        format!("cannot read the payload from {name}"),
        error.to_string(),
        "check the path behind the @",
    )
}

fn too_large(origin: &str) -> CliError {
    CliError::usage(
        format!("{origin} is too large; nothing was stored"),
        format!("a payload may have {PAYLOAD_BYTES_MAX} bytes"),
        "put large data into a file and send its name",
    )
}

fn job_options(session: &Session<'_, '_>) -> Result<JobOptions, CliError> {
    let mut overrides = Overrides::default();
    for name in JOB_FLAGS {
        if let Some(text) = session.arguments.value(name) {
            // A label may look like a number.
            let value = if *name == "queue" {
                OptionValue::from(text)
            } else {
                OptionValue::typed(text)
            };
            overrides.set(name, value).map_err(|why| {
                CliError::usage(
                    format!("--{name} cannot be `{text}`"),
                    why,
                    "`notifydispatcher --help` shows what it takes",
                )
            })?;
        }
    }
    if let Some(label) = session.arguments.value("queue") {
        check_label(session, label, "nothing was stored")?;
    }
    let unique_key = session.arguments.value("unique-key").map(str::to_owned);
    Ok(JobOptions::Adjusted {
        overrides,
        unique_key,
    })
}

/// A job being waited for.
struct Wait<'n> {
    job: JobId,
    name: &'n str,
    /// Somebody else submitted it.
    duplicate: bool,
    follower: Follower,
    interruptions: u32,
    began: Instant,
    looked: Option<Instant>,
    /// When there was somebody, or would have been, to run the job.
    served: Instant,
    pause: Duration,
}

fn wait(session: &mut Session<'_, '_>, submitted: SubmittedJob, name: &str) -> Done {
    let mut store = session.open_store()?;
    if session.json() {
        session.terminal().send_job_output(JobOutput::Err);
    }
    let mut wait = Wait {
        job: submitted.id,
        name,
        duplicate: submitted.duplicate,
        follower: Follower::new(session.location.directory(), submitted.id, 1),
        interruptions: 0,
        began: Instant::now(),
        looked: None,
        served: Instant::now(),
        pause: PAUSE_MIN,
    };
    loop {
        let state = store.ask(|store| store.state(submitted.id))?;
        match state {
            None => return Err(gone(submitted.id).into()),
            Some(JobState::Succeeded | JobState::Failed | JobState::Cancelled) => break,
            Some(JobState::Queued | JobState::Running) => {}
        }
        if let Some(code) = wait.interrupted(session, &mut store)? {
            return Ok(code);
        }
        wait.follow(session, &mut store)?;
        let pause = wait.pause;
        session.with_host(|host, _| host.wait(pause));
    }
    // Nobody is told of an end that a power cut could undo.
    store.ask(|store| store.sync())?;
    let record = store.ask(|store| store.job(submitted.id))?;
    let record = record.ok_or_else(|| gone(submitted.id))?;
    wait.finish(session, &mut store, &record)?;
    report_end(session, &mut store, &record)
}

impl Wait<'_> {
    /// Acts on signals: the exit code when waiting is over.
    fn interrupted(
        &mut self,
        session: &mut Session<'_, '_>,
        store: &mut OpenStore,
    ) -> Result<Option<u8>, Stop> {
        let arrived = session.environment.interrupts.pending();
        if arrived == 0 {
            return Ok(None);
        }
        let first = self.interruptions == 0;
        self.interruptions = self.interruptions.saturating_add(arrived);
        let job = self.job;
        if self.duplicate {
            let text =
                format!("no longer waiting; job {job} was submitted by somebody else and goes on");
            session.terminal().note(&text);
            return Ok(Some(exit::INTERRUPTED));
        }
        if first {
            session.terminal().note(&format!(
                "cancelling job {job}; interrupt again to stop waiting"
            ));
            let by = format!(
                "an interruption of notifydispatcher (pid {})",
                std::process::id()
            );
            let replies = store.ask(|store| store.cancel(&[job], &by))?;
            super::control::wake_for(session, store, &replies)?;
        }
        if self.interruptions > 1 {
            let text = format!("no longer waiting; job {job} is being cancelled");
            session.terminal().note(&text);
            return Ok(Some(exit::INTERRUPTED));
        }
        Ok(None)
    }

    /// Prints what is new, and moves on to the next attempt when there is one.
    fn follow(&mut self, session: &mut Session<'_, '_>, store: &mut OpenStore) -> Result<(), Stop> {
        let pumped = self.follower.pump(session.terminal());
        let any = or_discard(pumped, session)?.unwrap_or(true);
        self.pause = if any {
            PAUSE_MIN
        } else {
            (self.pause * 3 / 2).min(PAUSE_MAX)
        };
        let next = self.follower.attempt + 1;
        let directory = session.location.directory().to_owned();
        if Follower::new(&directory, self.job, next).is_live() {
            self.switch_to(next, session, store)?;
        }
        if self.served.elapsed() >= SERVED_EVERY {
            self.served = Instant::now();
            if let Some(record) = store.ask(|store| store.job(self.job))? {
                let job = &record.summary;
                session.with_host(|host, state| {
                    host.keep_served(state, &job.dispatcher, &job.queue);
                });
            }
        }
        let due = self
            .looked
            .is_none_or(|looked| looked.elapsed() >= LOOK_EVERY);
        if due && self.began.elapsed() >= PROGRESS_AFTER {
            self.looked = Some(Instant::now());
            self.look(session, store)?;
        }
        Ok(())
    }

    fn look(&mut self, session: &mut Session<'_, '_>, store: &mut OpenStore) -> Result<(), Stop> {
        let Some(record) = store.ask(|store| store.job(self.job))? else {
            return Ok(());
        };
        let attempt = record.summary.counters.attempt;
        if attempt > self.follower.attempt {
            self.switch_to(attempt, session, store)?;
        }
        if session.terminal().progress() == Progress::Shown {
            let text = progress_line(self.name, &record, self.began.elapsed(), session.now());
            session.terminal().draw_progress(&text);
        }
        Ok(())
    }

    /// Ends the attempts before `attempt` with what is on record, then follows that one.
    fn switch_to(
        &mut self,
        attempt: u32,
        session: &mut Session<'_, '_>,
        store: &mut OpenStore,
    ) -> Result<(), Stop> {
        while self.follower.attempt < attempt {
            self.finish_attempt(session, store)?;
            let next = self.follower.attempt + 1;
            self.follower = Follower::new(session.location.directory(), self.job, next);
        }
        Ok(())
    }

    fn finish_attempt(
        &mut self,
        session: &mut Session<'_, '_>,
        store: &mut OpenStore,
    ) -> Result<(), Stop> {
        let attempt = self.follower.attempt;
        let capture = store.ask(|store| store.capture(self.job, attempt))?;
        let finished = self.follower.finish(capture.as_ref(), session.terminal());
        or_discard(finished, session)?;
        Ok(())
    }

    fn finish(
        &mut self,
        session: &mut Session<'_, '_>,
        store: &mut OpenStore,
        record: &JobRecord,
    ) -> Result<(), Stop> {
        let last = record.attempts.last().map_or(0, |attempt| attempt.attempt);
        self.switch_to(last, session, store)?;
        self.finish_attempt(session, store)
    }
}

/// A closed standard output ends the passing on, not the waiting.
fn or_discard<T>(
    passed: Result<T, Stop>,
    session: &mut Session<'_, '_>,
) -> Result<Option<T>, Stop> {
    match passed {
        Ok(value) => Ok(Some(value)),
        Err(Stop::Pipe) => {
            session.terminal().discard_out();
            Ok(None)
        }
        Err(stop @ Stop::Failed(_)) => Err(stop),
    }
}

fn progress_line(name: &str, record: &JobRecord, waited: Duration, now: i64) -> String {
    let summary = &record.summary;
    let waited = format::rough(waited);
    let id = summary.id;
    if summary.state == JobState::Running {
        return match &summary.progress {
            Some((fraction, text)) => {
                let percent = fraction * 100.0;
                format!("{name} {id}: {percent:.0} % {text} ({waited})")
            }
            None => format!("{name} {id}: running ({waited})"),
        };
    }
    match summary.run_at {
        Some(run_at) if run_at > now => {
            format!(
                "{name} {id}: waiting, to start {} ({waited})",
                format::ago(run_at, now)
            )
        }
        Some(_) => format!("{name} {id}: waiting for its turn ({waited})"),
        None => format!("{name} {id}: held until a job like it ends ({waited})"),
    }
}

fn report_end(session: &mut Session<'_, '_>, store: &mut OpenStore, record: &JobRecord) -> Done {
    let summary = &record.summary;
    let code = exit_code(record);
    if session.json() {
        let rows = store.ask(|store| store.dispatchers())?;
        let about = session.all_about(&rows);
        let value = record_json(record, about.get(&summary.dispatcher));
        session.terminal().json(&value)?;
    } else if summary.state != JobState::Succeeded {
        let why = match &summary.outcome {
            Some(outcome) => format!("it {}", format::sentence(outcome, &record.options)),
            None => "no outcome is on record".to_owned(),
        };
        let error = CliError::new(
            code,
            format!("{} {}: {}", summary.dispatcher, summary.id, summary.state),
            why,
            format!(
                "`show {id}` tells more, `retry {id}` runs it again",
                id = summary.id
            ),
        );
        session.terminal().error(&error);
    }
    Ok(code)
}

fn exit_code(record: &JobRecord) -> u8 {
    let told = record
        .summary
        .outcome
        .as_ref()
        .and_then(|outcome| outcome.cause.exit_code());
    match (record.summary.state, told) {
        (JobState::Succeeded, _) => 0,
        (JobState::Queued | JobState::Running | JobState::Failed | JobState::Cancelled, told) => {
            told.filter(|code| *code != 0).unwrap_or(exit::LOST)
        }
    }
}

fn gone(job: JobId) -> CliError {
    CliError::new(
        exit::LOST,
        format!("job {job} is gone"),
        "it was pruned, or the state file was replaced while it was waited for",
        "`status` shows which state file is used",
    )
}

/// What a cancellation means for the supervisors that must hear of it.
pub(super) fn stopping(replies: &[CancelReply]) -> Vec<crate::store::SupervisorId> {
    let ids = replies.iter().filter_map(|reply| match reply {
        CancelReply::Stopping(supervisor) => Some(*supervisor),
        CancelReply::Cancelled | CancelReply::Ended(_) | CancelReply::Unknown => None,
    });
    ids.collect()
}
