//! The kit keeps the promises of the real thing, without its processes.

use std::time::Duration;

use dispatcher_core::{Cause, Context, Dispatcher, Failure, JobState, Process};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{attempt, record, run};
use crate::{Dispatch, SpawnError, spawn_all};

#[derive(Dispatcher, Serialize, Deserialize, Debug, PartialEq)]
#[dispatcher(
    max_queue = 2,
    retries = 2,
    backoff = "constant(1h)",
    required_commands = "no-such-7f"
)]
struct Job {
    name: String,
    /// Attempts that fail.
    bad: u32,
}

fn job(name: &str, bad: u32) -> Job {
    let name = name.to_owned();
    Job { name, bad }
}

impl Process for Job {
    fn process(&mut self, cx: &mut Context) -> Result<(), Failure> {
        cx.progress(0.5, &self.name)?;
        cx.output(&0)?;
        if cx.attempt() <= self.bad {
            return Err(Failure::new("not yet"));
        }
        cx.output(&1)?;
        cx.output(&self.name)
    }
}

#[derive(Dispatcher, Serialize, Deserialize)]
#[dispatcher(on_duplicate = "discard", delay = "1d")]
struct Parent;

impl Process for Parent {
    fn process(&mut self, cx: &mut Context) -> Result<(), Failure> {
        let ended = job("child", 0).run_process()?;
        cx.output(&ended.output::<String>()?)
    }
}

#[derive(Dispatcher, Serialize, Deserialize)]
struct Snooze;

impl Process for Snooze {
    fn process(&mut self, cx: &mut Context) -> Result<(), Failure> {
        match cx.attempt() {
            1 => Err(Failure::snooze(Duration::from_secs(3600))),
            2 => Err(Failure::discard("enough")),
            _ => unreachable!("discarded is discarded"),
        }
    }
}

#[derive(Dispatcher, Serialize, Deserialize)]
struct Ring;

impl Process for Ring {
    fn process(&mut self, _: &mut Context) -> Result<(), Failure> {
        Ring.run_process()?;
        Ok(())
    }
}

#[derive(Dispatcher, Serialize, Deserialize)]
struct Echo;

impl Process for Echo {
    fn process(&mut self, _: &mut Context) -> Result<(), Failure> {
        Echo.spawn_process()?;
        Ok(())
    }
}

#[test]
fn one_job_runs_here() {
    let run = run(job("a", 0));
    assert_eq!(run.result, Ok(()));
    assert_eq!(run.progress, [(0.5, "a".to_owned())]);
    assert_eq!(run.outputs, [json!(0), json!(1), json!("a")]);
    assert_eq!(run.output::<String>().as_deref(), Some("a"));
    let failed = attempt(job("a", 3)).number(3).run();
    assert_eq!(failed.result, Err(Failure::new("not yet")));
    assert_eq!(failed.outputs, [json!(0)]);
    assert_eq!(failed.output::<u8>(), None, "it did not succeed");
    assert_eq!(attempt(job("a", 3)).number(4).run().result, Ok(()));
}

#[test]
fn without_a_recorder_nothing_is_sent() {
    assert!(matches!(
        job("a", 0).spawn_process(),
        Err(SpawnError::NotInitialised)
    ));
}

#[test]
fn what_is_sent_is_kept_and_runs_when_told() {
    let recorder = record();
    recorder.assert_not_enqueued::<Job>();
    let handles = spawn_all([job("a", 0), job("b", 1)]).unwrap();
    assert_eq!(recorder.enqueued::<Job>(), [job("a", 0), job("b", 1)]);
    recorder.assert_enqueued::<Job>(|job| job.name == "b");
    recorder.assert_not_enqueued::<Parent>();
    assert_eq!(handles[0].status().unwrap().state, JobState::Queued);
    assert_eq!(handles[0].output::<String>().unwrap(), None);

    let drained = recorder.drain();
    let order: Vec<_> = drained.iter().map(|one| (one.id, one.attempt)).collect();
    let (a, b) = (handles[0].id(), handles[1].id());
    assert_eq!(order, [(a, 1), (b, 1), (b, 2)]);
    assert_eq!(handles[1].output::<String>().unwrap().as_deref(), Some("b"));
    assert_eq!(recorder.enqueued::<Job>().len(), 2, "run or not");
    assert_eq!(recorder.drain(), []);
}

#[test]
fn the_queue_limit_holds() {
    let recorder = record();
    spawn_all([job("a", 0), job("b", 0)]).unwrap();
    let refused = job("c", 0).spawn_process();
    assert!(matches!(
        refused,
        Err(SpawnError::QueueFull { max_queue: 2, .. })
    ));
    assert_eq!(recorder.enqueued::<Job>().len(), 2);
    recorder.drain();
    job("c", 0).spawn_process().unwrap();
}

#[test]
fn retries_end() {
    let _recorder = record();
    let ended = job("a", 9).run_process().unwrap();
    assert_eq!(ended.state, JobState::Failed);
    assert!(matches!(ended.cause(), Cause::Failed { message, .. } if message == "not yet"));
}

#[test]
fn a_job_may_send_one_and_wait_for_it() {
    let recorder = record();
    let parent = Parent.spawn_process().unwrap();
    assert!(Parent.spawn_process().unwrap().is_duplicate());
    let ended = parent.wait().unwrap();
    assert_eq!(ended.output::<String>().unwrap().as_deref(), Some("child"));
    assert_eq!(recorder.enqueued::<Parent>().len(), 1);
}

#[test]
fn a_snooze_is_slept_through() {
    let recorder = record();
    let job = Snooze.spawn_process().unwrap();
    assert_eq!(recorder.drain().len(), 2);
    let cause = job.wait().unwrap().outcome.cause;
    assert!(matches!(cause, Cause::Discarded { .. }));
}

#[test]
fn waiting_for_oneself_is_an_error_and_no_hang() {
    let _recorder = record();
    let ended = Ring.run_process().unwrap();
    assert_eq!(ended.state, JobState::Failed);
    assert!(format!("{:?}", ended.cause()).contains("waits for one that waits for it"));
}

#[test]
#[should_panic(expected = "and still jobs left")]
fn a_job_that_sends_itself_for_ever_is_noticed() {
    let recorder = record();
    Echo.spawn_process().unwrap();
    recorder.drain();
}

#[test]
fn waiting_runs_what_comes_before_and_no_more() {
    let recorder = record();
    let handles = spawn_all([job("a", 0), job("b", 0)]).unwrap();
    assert_eq!(handles[0].wait().unwrap().state, JobState::Succeeded);
    assert_eq!(handles[1].status().unwrap().state, JobState::Queued);
    assert_eq!(recorder.drain().len(), 1);
}

#[test]
fn options_of_the_call_are_seen() {
    let recorder = record();
    let week = Duration::from_secs(7 * 86_400);
    job("a", 0)
        .dispatch()
        .delay(week)
        .retries(9)
        .spawn()
        .unwrap();
    let sent = recorder.enqueued_with_options::<Job>();
    let (sent, options) = sent.first().unwrap();
    assert_eq!(
        (sent, options.delay, options.retries),
        (&job("a", 0), Some(week), 9)
    );
    assert_eq!(recorder.drain().len(), 1, "a week takes no time");
}

#[test]
#[should_panic(expected = r#"jobs were enqueued: ["Snooze {}"]"#)]
fn whatever_was_sent_is_told() {
    let recorder = record();
    recorder.assert_nothing_enqueued();
    Snooze.spawn_process().unwrap();
    recorder.assert_nothing_enqueued();
}

#[test]
fn a_waiting_job_can_be_cancelled() {
    let recorder = record();
    let handle = job("a", 0).spawn_process().unwrap();
    assert!(handle.cancel().unwrap());
    assert_eq!(recorder.drain(), []);
    assert_eq!(handle.wait().unwrap().state, JobState::Cancelled);
}

#[test]
#[should_panic(expected = "this thread has a recorder already")]
fn one_recorder_at_a_time() {
    let _one = record();
    let _two = record();
}

#[test]
#[should_panic(
    expected = r#"no such job of Job was enqueued; there are ["{\"name\":\"a\",\"bad\":0}"]"#
)]
fn a_missing_job_is_told_with_what_there_is() {
    let recorder = record();
    job("a", 0).spawn_process().unwrap();
    recorder.assert_enqueued::<Job>(|job| job.name == "b");
}
