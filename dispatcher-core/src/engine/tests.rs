//! The engine, driven by hand through virtual time.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::message::WorkResult;
use crate::{Cause, Counters, ExitStatus, Leftovers, OnLost, Options, Usage};

mod commands;
mod leases;
mod odd_orders;
mod pools;
mod random;
mod shutdown;

const SECOND: Duration = Duration::from_secs(1);

/// An engine with a clock that only tests move.
struct Desk {
    engine: Engine,
    monotonic: Duration,
    effects: VecDeque<Effect>,
}

impl Desk {
    fn new(slots: u32) -> Self {
        Self::with_pools(slots, vec![], Some(5 * SECOND))
    }

    fn with_pools(slots: u32, pools: Vec<PoolSpec>, linger: Option<Duration>) -> Self {
        let config = EngineConfig {
            slots,
            pools,
            lease: None,
            poll_interval: SECOND,
            linger,
            hello_timeout: 60 * SECOND,
            drain_timeout: Duration::from_millis(200),
            seed: 7,
        };
        let mut desk = Self {
            engine: Engine::new(
                config,
                Now {
                    monotonic: Duration::ZERO,
                    wall_ms: 0,
                },
            ),
            monotonic: Duration::ZERO,
            effects: VecDeque::new(),
        };
        desk.tell(Event::Woken);
        desk
    }

    fn now(&self) -> Now {
        Now {
            monotonic: self.monotonic,
            wall_ms: i64::try_from(self.monotonic.as_millis()).expect("small"),
        }
    }

    fn tell(&mut self, event: Event) {
        let now = self.now();
        self.engine.handle(now, event).expect("it fits");
        self.collect();
    }

    fn collect(&mut self) {
        while let Some(effect) = self.engine.poll_effect() {
            self.effects.push_back(effect);
        }
    }

    /// Jumps to the next deadline.
    fn pass(&mut self) {
        let at = self.engine.poll_timeout().expect("something is due");
        assert!(at >= self.monotonic, "time does not go back");
        self.monotonic = at;
        let now = self.now();
        self.engine.handle_timeout(now);
        self.collect();
    }

    fn next(&mut self) -> Effect {
        self.effects.pop_front().expect("an effect")
    }

    fn quiet(&self) {
        assert_eq!(self.effects, [], "no effect is open");
    }

    /// Answers the open claim with jobs for the first slots.
    fn give(&mut self, options: &[Options]) {
        let Effect::Claim { slots, .. } = self.next() else {
            panic!("a claim")
        };
        let jobs = options
            .iter()
            .zip(slots)
            .map(|(options, slot)| assignment(slot, options));
        let jobs = jobs.collect();
        self.tell(Event::Claimed {
            lane: Lane::Process,
            jobs,
            next_due: None,
        });
    }

    fn start(&mut self, options: Options) -> WorkerId {
        self.give(&[options]);
        let Effect::Spawn { worker, .. } = self.next() else {
            panic!("a spawn")
        };
        self.tell(Event::Spawned { worker });
        self.tell(Event::Said {
            worker,
            word: Word::Hello,
        });
        self.absorb_claim();
        worker
    }

    /// Answers a claim with nothing, if one is open.
    fn absorb_claim(&mut self) {
        if matches!(self.effects.front(), Some(Effect::Claim { .. })) {
            self.effects.pop_front();
            self.tell(Event::Claimed {
                lane: Lane::Process,
                jobs: vec![],
                next_due: None,
            });
        }
    }

    fn exit(&mut self, worker: WorkerId, status: ExitStatus, strays: u32) {
        let (usage, memory) = (Usage::default(), MemoryVerdict::Silent);
        self.tell(Event::Exited {
            worker,
            status,
            usage,
            strays,
            memory,
        });
    }

    /// From the exit to the verdict, for a worker without strays.
    fn end(&mut self, worker: WorkerId, status: ExitStatus) -> Verdict {
        self.exit(worker, status, 0);
        let Effect::Drain { .. } = self.next() else {
            panic!("a drain")
        };
        self.tell(Event::Drained {
            worker,
            leaked: false,
        });
        self.verdict()
    }

    fn verdict(&mut self) -> Verdict {
        let Effect::Record { verdict, .. } = self.next() else {
            panic!("a record")
        };
        *verdict
    }
}

fn assignment(slot: u32, options: &Options) -> Assignment {
    Assignment {
        job: JobId::from_bytes([u8::try_from(slot).expect("small"); 10]),
        slot,
        dispatcher: "Test".into(),
        link: LinkKind::Framed,
        payload: Arc::from("{}"),
        options: Arc::new(options.clone()),
        counters: Counters {
            attempt: 1,
            failures: 0,
            token: 1,
        },
        snoozes: 0,
    }
}

fn claimed(jobs: Vec<Assignment>, next_due: Option<Duration>) -> Event {
    Event::Claimed {
        lane: Lane::Process,
        jobs,
        next_due,
    }
}

/// The attempt of a worker that serves one job.
fn of(worker: WorkerId) -> AttemptId {
    AttemptId(worker.0)
}

fn result(worker: WorkerId, result: WorkResult) -> Event {
    Event::Said {
        worker,
        word: Word::Result(result),
    }
}

fn killed() -> ExitStatus {
    ExitStatus::Signalled {
        signal: 9,
        core: false,
    }
}

#[test]
fn a_job_goes_from_claim_to_record() {
    let mut desk = Desk::new(2);
    let worker = desk.start(Options::default());
    desk.tell(Event::Said {
        worker,
        word: Word::Output("1".into()),
    });
    desk.tell(result(worker, WorkResult::Succeeded));
    desk.monotonic += SECOND;
    let verdict = desk.end(worker, ExitStatus::Exited(0));
    assert_eq!(verdict.outcome.cause, Cause::Succeeded);
    assert_eq!(verdict.next, Next::Succeed);
    assert_eq!(verdict.output.as_deref(), Some("1"));
    assert_eq!(verdict.run_time, SECOND);
    assert!(!verdict.outcome.unclean_exit);
    // The slot is free before the store has answered, and a claim follows the record.
    assert!(matches!(desk.next(), Effect::Claim { slots, .. } if slots == [0, 1]));
    desk.tell(Event::Recorded {
        attempt: of(worker),
    });
    desk.quiet();
}

#[test]
fn a_timeout_climbs_the_ladder() {
    let mut desk = Desk::new(1);
    let worker = desk.start(Options {
        timeout: Some(3 * SECOND),
        grace: 2 * SECOND,
        ..Options::default()
    });
    while desk.effects.is_empty() {
        desk.pass();
    }
    assert_eq!(desk.monotonic, 3 * SECOND);
    assert_eq!(desk.next(), Effect::Stop { worker });
    desk.tell(Event::Signalled { worker });
    desk.pass();
    assert_eq!(desk.monotonic, 5 * SECOND);
    assert_eq!(desk.next(), Effect::Kill { worker });
    let verdict = desk.end(worker, killed());
    assert_eq!(verdict.outcome.cause, Cause::TimedOut);
    assert_eq!(verdict.next, Next::Fail);
}

#[test]
fn a_result_before_the_deadline_counts_though_the_exit_hangs() {
    let mut desk = Desk::new(1);
    let worker = desk.start(Options {
        timeout: Some(3 * SECOND),
        grace: 10 * SECOND,
        ..Options::default()
    });
    desk.monotonic = 2 * SECOND;
    desk.tell(result(worker, WorkResult::Succeeded));
    while desk.effects.is_empty() {
        desk.pass();
    }
    assert_eq!(desk.monotonic, 12 * SECOND, "the grace, not the timeout");
    assert_eq!(desk.next(), Effect::Kill { worker });
    let verdict = desk.end(worker, killed());
    assert_eq!(verdict.outcome.cause, Cause::Succeeded);
    assert!(verdict.outcome.unclean_exit);
}

#[test]
fn a_result_after_the_stop_comes_too_late() {
    let mut desk = Desk::new(1);
    let worker = desk.start(Options::default());
    let job = assignment(0, &Options::default()).job;
    desk.tell(Event::CancelRequested {
        job,
        token: 1,
        by: "me".into(),
    });
    assert_eq!(desk.next(), Effect::Stop { worker });
    desk.tell(result(worker, WorkResult::Succeeded));
    let verdict = desk.end(worker, ExitStatus::Exited(0));
    assert_eq!(verdict.outcome.cause, Cause::Cancelled { by: "me".into() });
    assert_eq!(verdict.next, Next::Cancel);
}

#[test]
fn a_cancellation_of_an_older_claim_is_ignored() {
    let mut desk = Desk::new(1);
    desk.start(Options::default());
    let job = assignment(0, &Options::default()).job;
    desk.tell(Event::CancelRequested {
        job,
        token: 0,
        by: "me".into(),
    });
    desk.quiet();
}

#[test]
fn strays_of_a_success_stay_unless_told_otherwise() {
    let cases = [
        (Leftovers::Leave, WorkResult::Succeeded, Strays::Leave),
        (Leftovers::Kill, WorkResult::Succeeded, Strays::Kill),
        (
            Leftovers::Leave,
            WorkResult::Discarded {
                message: "no".into(),
            },
            Strays::Kill,
        ),
    ];
    for (leftovers, answer, strays) in cases {
        let mut desk = Desk::new(1);
        let worker = desk.start(Options {
            leftovers,
            ..Options::default()
        });
        desk.tell(result(worker, answer));
        desk.exit(worker, ExitStatus::Exited(0), 2);
        assert_eq!(desk.next(), Effect::Bury { worker, strays });
        assert!(matches!(desk.next(), Effect::Drain { .. }));
        desk.tell(Event::Drained {
            worker,
            leaked: true,
        });
        desk.quiet();
        desk.tell(Event::Buried { worker, left: 2 });
        let verdict = desk.verdict();
        assert!(verdict.outcome.leaked_output);
        assert_eq!(verdict.outcome.left_processes, 2);
    }
}

#[test]
fn failures_use_retries_and_then_end() {
    for (failures, retries, retried) in [(0, 0, false), (0, 1, true), (1, 1, false), (1, 2, true)] {
        let mut desk = Desk::new(1);
        let Effect::Claim { .. } = desk.next() else {
            panic!("a claim")
        };
        let mut job = assignment(
            0,
            &Options {
                retries,
                ..Options::default()
            },
        );
        job.counters.failures = failures;
        desk.tell(Event::Claimed {
            lane: Lane::Process,
            jobs: vec![job],
            next_due: None,
        });
        let Effect::Spawn { worker, .. } = desk.next() else {
            panic!("a spawn")
        };
        desk.tell(Event::Spawned { worker });
        desk.tell(Event::Said {
            worker,
            word: Word::Hello,
        });
        let verdict = desk.end(worker, ExitStatus::Exited(3));
        assert_eq!(verdict.outcome.cause, Cause::Exited { code: 3 });
        assert_eq!(
            matches!(verdict.next, Next::Retry { .. }),
            retried,
            "{failures}/{retries}"
        );
    }
}

#[test]
fn an_asked_for_delay_replaces_the_back_off_and_a_snooze_is_no_failure() {
    let failed = WorkResult::Failed {
        message: "busy".into(),
        causes: vec![],
        retry_after_ms: Some(1234),
    };
    let cases = [
        (
            failed,
            Next::Retry {
                after: Duration::from_millis(1234),
            },
        ),
        (
            WorkResult::Snoozed { delay_ms: 99 },
            Next::Snooze {
                after: Duration::from_millis(99),
            },
        ),
    ];
    for (answer, next) in cases {
        let mut desk = Desk::new(1);
        let worker = desk.start(Options {
            retries: 1,
            ..Options::default()
        });
        desk.tell(result(worker, answer));
        assert_eq!(desk.end(worker, ExitStatus::Exited(0)).next, next);
    }
}

#[test]
fn a_spawn_short_of_resources_is_tried_again_and_then_fails() {
    let mut desk = Desk::new(1);
    desk.give(&[Options::default()]);
    for tries in 1.. {
        let Effect::Spawn { worker, .. } = desk.next() else {
            panic!("a spawn")
        };
        desk.tell(Event::SpawnFailed {
            worker,
            errno: 11,
            transient: true,
        });
        if tries == 5 {
            break;
        }
        desk.quiet();
        while desk.effects.is_empty() {
            desk.pass();
        }
    }
    let verdict = desk.verdict();
    assert_eq!(verdict.outcome.cause, Cause::SpawnFailed { errno: 11 });
    assert_eq!(verdict.started_wall_ms, None);
}

#[test]
fn a_record_is_told_again_until_the_store_has_it() {
    let mut desk = Desk::new(1);
    let worker = desk.start(Options::default());
    desk.end(worker, ExitStatus::Exited(1));
    for _ in 0..20 {
        desk.tell(Event::RecordFailed {
            attempt: of(worker),
        });
        while !matches!(desk.effects.front(), Some(Effect::Record { .. })) {
            desk.absorb_claim();
            if desk.effects.is_empty() {
                desk.pass();
            }
        }
        desk.verdict();
    }
    desk.tell(Event::Recorded {
        attempt: of(worker),
    });
    assert_eq!(desk.engine.snapshot().recording, 0);
}

#[test]
fn a_lost_keeper_ends_every_living_attempt_as_lost() {
    let mut desk = Desk::new(2);
    let worker = desk.start(Options::default());
    desk.tell(Event::KeeperLost);
    let verdict = desk.verdict();
    assert_eq!(verdict.outcome.cause, Cause::WorkerLost);
    assert_eq!(
        verdict.next,
        Next::Lost {
            on_lost: OnLost::Rerun
        }
    );
    assert!(matches!(desk.next(), Effect::Claim { .. }));
    desk.tell(Event::Recorded {
        attempt: of(worker),
    });
}

#[test]
fn a_lost_keeper_answers_what_was_not_performed_yet() {
    let mut desk = Desk::new(2);
    let worker = desk.start(Options::default());
    desk.tell(Event::Woken);
    let Effect::Claim { slots, .. } = desk.next() else {
        panic!("a claim for the other slot")
    };
    // All of this happens before the driver looks for effects.
    let now = desk.now();
    let handled = desk.engine.handle(
        now,
        Event::Exited {
            worker,
            status: ExitStatus::Exited(0),
            usage: Usage::default(),
            strays: 1,
            memory: MemoryVerdict::Silent,
        },
    );
    handled.expect("it fits");
    let handled = desk.engine.handle(
        now,
        Event::Claimed {
            lane: Lane::Process,
            jobs: vec![assignment(slots[0], &Options::default())],
            next_due: None,
        },
    );
    handled.expect("it fits");
    desk.tell(Event::KeeperLost);
    let Effect::Spawn { worker: unmade, .. } = desk.next() else {
        panic!("the worker that was not made yet is made by the next keeper")
    };
    let Effect::Record { attempt: lost, .. } = desk.next() else {
        panic!("nothing is buried or drained that the keeper has taken with it")
    };
    assert_eq!(lost, of(worker));
    desk.tell(Event::Recorded {
        attempt: of(worker),
    });
    desk.tell(Event::Spawned { worker: unmade });
    assert_eq!(desk.engine.snapshot().live.len(), 1);
}

#[test]
fn an_idle_supervisor_offers_to_leave_and_stays_if_it_may_not() {
    let mut desk = Desk::new(1);
    desk.absorb_claim();
    while !matches!(desk.effects.front(), Some(Effect::CloseIfIdle)) {
        desk.pass();
        desk.absorb_claim();
    }
    assert_eq!(desk.monotonic, 5 * SECOND);
    desk.next();
    desk.tell(Event::CloseAnswered { closed: false });
    assert!(
        matches!(desk.next(), Effect::Claim { .. }),
        "it looks again at once"
    );
}

#[test]
fn a_worker_without_hello_is_a_protocol_error() {
    let mut desk = Desk::new(1);
    desk.give(&[Options {
        timeout: None,
        ..Options::default()
    }]);
    let Effect::Spawn { worker, .. } = desk.next() else {
        panic!("a spawn")
    };
    desk.tell(Event::Spawned { worker });
    while desk.effects.is_empty() {
        desk.pass();
    }
    assert_eq!(desk.monotonic, 60 * SECOND);
    assert_eq!(desk.next(), Effect::Stop { worker });
    assert_eq!(desk.next(), Effect::Kill { worker });
    let verdict = desk.end(worker, killed());
    assert!(matches!(verdict.outcome.cause, Cause::ProtocolError { .. }));
}
