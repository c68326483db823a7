//! What every store decides in the same way: duplicates, what follows an attempt, searches.
//!
//! Pure functions of what a store has read; no store decides any of this for itself.

use std::borrow::Cow;
use std::time::Duration;

use dispatcher_core::limits::LOST_RERUNS_MAX;
use dispatcher_core::{Cause, JobId, OnDuplicate, OnLost, Options, Outcome, Transition, Usage};

use super::{DispatcherRow, HandOver, NewJob, Next, Serves, Stream, UnixMs};

/// First character of the label of a node.
pub(super) const NODE_MARK: char = '@';

/// Whether who serves these labels serves that one. Labels of nodes are served by whoever names
/// them; who names no other label serves all others.
pub(crate) fn serves_label(labels: &[String], queue: &str) -> bool {
    labels.iter().any(|label| label == queue)
        || (!queue.starts_with(NODE_MARK) && serves_all(labels))
}

/// Whether no label but those of nodes limits who serves these.
pub(crate) fn serves_all(labels: &[String]) -> bool {
    labels.iter().all(|label| label.starts_with(NODE_MARK))
}

/// Bytes of stderr shown with an attempt.
pub(super) const STDERR_END_BYTES: usize = 2048;
/// Jobs that one claim promotes, and jobs that it expires, at most.
pub(super) const DUE_PER_CLAIM_MAX: usize = 1000;

/// How long a job of a newer build is left to a supervisor of that. It is there within a moment,
/// unless it was taken back.
pub(super) const LEFT_TO_NEWER_MAX: Duration = Duration::from_secs(10);

/// What happens to a submitted job because of its unfinished duplicates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is stored.
    Accept,
    /// It is stored, and waits until the duplicates ahead of it have ended.
    Hold,
    /// It is dropped; this job survives.
    Drop(JobId),
}

/// What makes a job a duplicate of another one of its dispatcher. A key is marked as one, so that
/// it is never taken for the hash of a payload.
pub(super) fn identity(job: &NewJob) -> Cow<'_, str> {
    match &job.options.unique_key {
        Some(key) => Cow::Owned(format!("key:{key}")),
        None => Cow::Borrowed(&job.identity),
    }
}

/// The policy of one submission: its own, or that of its dispatcher, of which a `unique_key` turns
/// `parallel` into `discard`.
pub(super) fn policy(on_duplicate: OnDuplicate, options: &Options) -> OnDuplicate {
    match (options.on_duplicate, on_duplicate) {
        (Some(own), _) => own,
        (None, OnDuplicate::Parallel) if options.unique_key.is_some() => OnDuplicate::Discard,
        (
            None,
            OnDuplicate::Parallel
            | OnDuplicate::Serial
            | OnDuplicate::Discard
            | OnDuplicate::QueueOne,
        ) => on_duplicate,
    }
}

/// Whether later submissions find a job. One that says itself what it does about duplicates is
/// among others that say so, each perhaps in another way.
pub(super) fn is_watched(policy: OnDuplicate, options: &Options) -> bool {
    watches(policy) || options.on_duplicate.is_some()
}

/// Whether jobs under a policy look for duplicates.
pub(super) fn watches(policy: OnDuplicate) -> bool {
    match policy {
        OnDuplicate::Parallel => false,
        OnDuplicate::Serial | OnDuplicate::Discard | OnDuplicate::QueueOne => true,
    }
}

/// Decides about a submission. `twins` are unfinished jobs with its identity: the one that would
/// survive first, and no more than two are needed.
pub(super) fn verdict(policy: OnDuplicate, twins: &[JobId]) -> Verdict {
    let Some(survivor) = twins.first().copied() else {
        return Verdict::Accept;
    };
    match policy {
        OnDuplicate::Parallel => Verdict::Accept,
        OnDuplicate::Serial => Verdict::Hold,
        OnDuplicate::Discard => Verdict::Drop(survivor),
        OnDuplicate::QueueOne if twins.len() < 2 => Verdict::Hold,
        OnDuplicate::QueueOne => Verdict::Drop(survivor),
    }
}

/// What a job does after an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// It ends.
    End {
        /// Succeed, Fail or Cancel.
        transition: Transition,
        /// The job's own outcome, where it differs from the attempt's.
        outcome: Option<Outcome>,
    },
    /// It is queued again.
    Again(Again),
}

/// How a job is queued again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Again {
    pub(super) place: Place,
    /// What the wait adds to the job's counters.
    pub(super) failures: u32,
    pub(super) snoozes: u32,
    pub(super) lost: u32,
}

/// Where a job is queued again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Where it was.
    Kept,
    /// Behind everybody, and not before this time has passed.
    Behind(Duration),
}

/// Decides what follows a recorded attempt of a job that was lost `lost` times before. An acknowledged cancellation wins over everything.
pub(super) fn after_attempt(next: Next, lost: u32, cancel_by: Option<&str>) -> Step {
    if let Some(by) = cancel_by {
        return cancelled(by);
    }
    let end = |transition| Step::End {
        transition,
        outcome: None,
    };
    match next {
        Next::Succeed => end(Transition::Succeed),
        Next::Fail => end(Transition::Fail),
        Next::Cancel => end(Transition::Cancel),
        Next::Retry { after } => again(Place::Behind(after), [1, 0, 0]),
        Next::Snooze { after } => again(Place::Behind(after), [0, 1, 0]),
        Next::Release => again(Place::Kept, [0, 0, 0]),
        Next::Lost { on_lost } => after_loss(on_lost, lost, None),
    }
}

/// Decides what follows the loss of a job's supervisor. `lost` counts the losses before this one.
pub(super) fn after_loss(on_lost: OnLost, lost: u32, cancel_by: Option<&str>) -> Step {
    if let Some(by) = cancel_by {
        return cancelled(by);
    }
    match on_lost {
        OnLost::Rerun if lost < LOST_RERUNS_MAX => again(Place::Kept, [0, 0, 1]),
        OnLost::Rerun | OnLost::Fail => Step::End {
            transition: Transition::Fail,
            outcome: None,
        },
    }
}

fn cancelled(by: &str) -> Step {
    Step::End {
        transition: Transition::Cancel,
        outcome: Some(outcome(Cause::Cancelled { by: by.to_owned() })),
    }
}

fn again(place: Place, [failures, snoozes, lost]: [u32; 3]) -> Step {
    Step::Again(Again {
        place,
        failures,
        snoozes,
        lost,
    })
}

/// An outcome without a process.
pub(super) fn outcome(cause: Cause) -> Outcome {
    Outcome {
        cause,
        exit_status: None,
        unclean_exit: false,
        leaked_output: false,
        left_processes: 0,
        usage: Usage::default(),
    }
}

/// What becomes of a supervisor that wants to hand over to one that serves `theirs` (`None`: it has
/// left). `unfinished` are names and queue labels.
pub(super) fn hand_over<'a>(
    mine: &Serves,
    theirs: Option<&[String]>,
    unfinished: impl Iterator<Item = (&'a str, &'a str)>,
) -> HandOver {
    let Some(theirs) = theirs else {
        return HandOver::Refused;
    };
    let only_mine = |name: &&String| !theirs.contains(name);
    let kept: Vec<String> = mine.dispatchers.iter().filter(only_mine).cloned().collect();
    let mut needed = unfinished.filter(|(_, queue)| serves_label(&mine.queues, queue));
    let needed = needed.any(|(name, _)| kept.iter().any(|it| it == name));
    if needed {
        HandOver::Narrowed(kept)
    } else {
        HandOver::Closed
    }
}

/// Whether a registration replaces a stored one: never an older build, and only if it says
/// something else.
pub(super) fn replaces(offered: &DispatcherRow, stored: &DispatcherRow) -> bool {
    offered.build >= stored.build && offered != stored
}

/// Attempts of a dispatcher that may start now. `concurrency = 0` is bounded by worker slots only.
pub(super) fn capacity(concurrency: u32, running: u32, worker_slots: u32) -> u32 {
    match concurrency {
        0 => worker_slots,
        limit => limit.saturating_sub(running),
    }
}

/// Mean run time after one more attempt: recent ones weigh most.
pub(super) fn mean_us(mean: Option<i64>, run: Duration) -> i64 {
    let run = micros(run);
    match mean {
        None => run,
        Some(mean) => mean + (run - mean) / 5,
    }
}

/// Whether a payload has the value at the path (`a.b.0`).
pub(crate) fn payload_matches(payload: &str, path: &str, wanted: &str) -> bool {
    let Ok(mut value) = serde_json::from_str::<serde_json::Value>(payload) else {
        return false;
    };
    for part in path.split('.').filter(|part| !part.is_empty()) {
        let found = match &mut value {
            serde_json::Value::Object(fields) => fields.get_mut(part),
            serde_json::Value::Array(items) => part
                .parse::<usize>()
                .ok()
                .and_then(|index| items.get_mut(index)),
            serde_json::Value::Null
            | serde_json::Value::Bool(_)
            | serde_json::Value::Number(_)
            | serde_json::Value::String(_) => None,
        };
        match found.map(serde_json::Value::take) {
            Some(found) => value = found,
            None => return false,
        }
    }
    value.as_str() == Some(wanted)
        || serde_json::from_str::<serde_json::Value>(wanted).is_ok_and(|wanted| wanted == value)
}

/// The last bytes of a stream.
pub(super) fn end_of(stream: &Stream) -> Vec<u8> {
    let mut end = Vec::new();
    if stream.dropped == 0 {
        end.extend_from_slice(&stream.head);
    }
    if stream.dropped == 0 || !stream.tail.is_empty() {
        end.extend_from_slice(&stream.tail);
    } else {
        end.extend_from_slice(&stream.head);
    }
    end.split_off(end.len().saturating_sub(STDERR_END_BYTES))
}

const LATEST: UnixMs = i64::MAX / 4;

/// Whole milliseconds, rounded up, so that nothing starts before its time.
pub(super) fn millis(duration: Duration) -> UnixMs {
    let millis = duration.as_nanos().div_ceil(1_000_000);
    // Far enough from the end of time that an instant may be added.
    i64::try_from(millis).map_or(LATEST, |millis| millis.min(LATEST))
}

/// Whole microseconds.
pub(super) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX / 4)
}

/// From now until an instant of the store's clock.
pub(super) fn until(now: UnixMs, instant: UnixMs) -> Duration {
    Duration::from_millis(u64::try_from(instant.saturating_sub(now)).unwrap_or(0))
}
