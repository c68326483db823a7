//! The kit keeps the promises of the real thing, without its processes.

use std::time::Duration;

use dispatcher_core::{
    Backoff, Cause, Context, Dispatcher, EnvPolicy, Failure, Isolation, JobState, Leftovers,
    OnLost, Options, Process,
};
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

#[derive(Dispatcher, Serialize, Deserialize, Debug)]
struct Login {
    user: String,
    #[dispatcher(secret)]
    token: String,
    #[dispatcher(secret)]
    #[serde(default, deserialize_with = "one_way")]
    pin: u32,
}

/// Reads no number back: what was written does not fit any more.
fn one_way<'de, D: serde::Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    let number = u32::deserialize(from)?;
    match number {
        0 => Ok(0),
        other => Err(serde::de::Error::custom(format!("{other} is too much"))),
    }
}

fn login(pin: u32) -> Login {
    let (user, token) = ("ann".to_owned(), "hunter2".to_owned());
    Login { user, token, pin }
}

impl Process for Login {
    fn process(&mut self, _: &mut Context) -> Result<(), Failure> {
        Ok(())
    }
}

/// What a test that fails prints is a log, too.
fn complaint(work: impl FnOnce() + std::panic::UnwindSafe) -> String {
    let panic = std::panic::catch_unwind(work).unwrap_err();
    let text = panic.downcast::<String>();
    *text.expect("a panic with a message")
}

#[test]
fn secrets_are_told_by_no_assertion() {
    let sent = || {
        let recorder = record();
        login(0).spawn_process().unwrap();
        recorder
    };
    for told in [
        complaint(move || sent().assert_nothing_enqueued()),
        complaint(move || sent().assert_not_enqueued::<Login>()),
        complaint(move || sent().assert_enqueued::<Login>(|job| job.user == "bob")),
    ] {
        assert!(told.contains("ann") && told.contains("***"), "{told}");
        assert!(!told.contains("hunter2"), "{told}");
    }
}

#[test]
fn secrets_are_told_by_no_payload_that_does_not_fit() {
    let told = complaint(|| drop(run(login(4711))));
    assert!(told.contains("does not fit Login"), "{told}");
    assert!(
        !told.contains("4711") && !told.contains("hunter2"),
        "{told}"
    );
    let recorder = record();
    let refused = login(4711).spawn_process();
    let told = format!("{:?}", refused.map(drop).unwrap_err());
    assert!(
        !told.contains("4711") && !told.contains("hunter2"),
        "{told}"
    );
    recorder.assert_nothing_enqueued();
}

/// Every method of the builder sets the option that it is called after.
#[test]
fn the_builder_has_every_option() {
    let recorder = record();
    let second = Duration::from_secs(1);
    let expected = Options {
        timeout: Some(2 * second),
        grace: 3 * second,
        queue: "bulk".to_owned(),
        expires: Some(4 * second),
        unique_key: Some("key".to_owned()),
        // Of a submission from outside; the dispatcher has it for the others.
        on_duplicate: None,
        retries: 5,
        backoff: Backoff::Constant { delay: 6 * second },
        on_lost: OnLost::Fail,
        priority: -7,
        delay: Some(8 * second),
        required_packages: vec!["p".to_owned()],
        required_commands: vec!["c".to_owned(), "d".to_owned()],
        package_includes: vec!["l.so".to_owned()],
        isolation: Isolation::Exec,
        memory_limit: Some(9 << 20),
        cpu_limit: Some(10 * second),
        open_files: Some(11),
        nice: Some(12),
        env: EnvPolicy::Only(vec!["HOME".to_owned()]),
        working_directory: Some("/tmp".to_owned()),
        leftovers: Leftovers::Kill,
    };
    let built = login(0).dispatch();
    let built = built.timeout(2 * second).grace(3 * second).queue("bulk");
    let built = built.expires(4 * second).unique_key("key").retries(5);
    let built = built.backoff(Backoff::Constant { delay: 6 * second });
    let built = built.on_lost(OnLost::Fail).priority(-7).delay(8 * second);
    let built = built.required_packages(["p"]).required_commands(["c", "d"]);
    let built = built.package_includes(["l.so"]).isolation(Isolation::Exec);
    let built = built
        .memory_limit(9 << 20)
        .cpu_limit(10 * second)
        .open_files(11);
    let built = built.nice(12).env(["HOME"]).working_directory("/tmp");
    built.leftovers(Leftovers::Kill).spawn().unwrap();
    let sent = recorder.enqueued_with_options::<Login>();
    assert_eq!(sent[0].1, expected);
}

#[test]
fn the_builder_takes_zero_for_none_and_refuses_what_does_not_fit() {
    let recorder = record();
    let zero = Duration::ZERO;
    let built = login(0).dispatch().timeout(zero).expires(zero).delay(zero);
    built.cpu_limit(zero).spawn().unwrap();
    let sent = recorder.enqueued_with_options::<Login>().remove(0).1;
    let none = Options {
        timeout: None,
        ..Options::default()
    };
    assert_eq!(sent, none);
    let refused = login(0).dispatch().nice(99).spawn().map(drop).unwrap_err();
    let text = refused.to_string();
    assert!(
        text.contains("`nice` of this job of Login does not fit"),
        "{text}"
    );
    assert!(matches!(refused, SpawnError::Option { option: "nice", .. }));
    assert_eq!(recorder.enqueued::<Login>().len(), 1);
}

#[test]
fn the_longest_times_take_none_here() {
    let recorder = record();
    let built = job("a", 2).dispatch().delay(Duration::MAX);
    let longest = Backoff::Constant {
        delay: Duration::MAX,
    };
    built
        .backoff(longest)
        .expires(Duration::MAX)
        .spawn()
        .unwrap();
    assert_eq!(recorder.drain().len(), 3);
}
