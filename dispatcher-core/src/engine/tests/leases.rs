//! Leases: nothing begins without one, and nothing outlives it.

use super::*;

const LEASE: LeaseSpec = LeaseSpec {
    length: Duration::from_secs(40),
    margin: Duration::from_secs(4),
};
/// When an engine gives up what it renewed at zero, and when its keeper does.
const GIVES_UP: Duration = Duration::from_secs(32);
const DEADLINE: Duration = Duration::from_secs(36);

fn leased() -> Desk {
    with_lease(vec![], Some(5 * SECOND))
}

fn with_lease(pools: Vec<PoolSpec>, linger: Option<Duration>) -> Desk {
    let mut desk = Desk::with_pools(1, pools, linger);
    let mut config = desk.engine.config.clone();
    config.lease = Some(LEASE);
    desk.engine = Engine::new(config, desk.now());
    desk.effects.clear();
    desk.tell(Event::Woken);
    desk
}

/// Renewed at zero, with nothing to do.
fn held() -> Desk {
    let mut desk = leased();
    assert_eq!(desk.next(), Effect::Renew);
    desk.tell(Event::Renewed(Renewal::Renewed));
    assert_eq!(desk.next(), deadline(Some(DEADLINE)));
    desk
}

fn deadline(at: Option<Duration>) -> Effect {
    Effect::Deadline { at }
}

fn patient() -> Options {
    Options {
        timeout: None,
        grace: 1000 * SECOND,
        ..Options::default()
    }
}

impl Desk {
    fn is_at(&mut self, at: Duration) {
        self.monotonic = at;
        let now = self.now();
        self.engine.handle_timeout(now);
        self.collect();
        let claims = |effect: &Effect| matches!(effect, Effect::Claim { .. });
        while let Some(claim) = self.effects.iter().position(claims) {
            self.effects.rotate_left(claim);
            self.absorb_claim();
            self.effects.rotate_right(claim);
        }
    }

    fn renews(&mut self, renewal: Renewal) {
        assert_eq!(self.next(), Effect::Renew);
        self.tell(Event::Renewed(renewal));
    }
}

#[test]
fn nothing_is_claimed_before_there_is_a_lease() {
    let mut desk = leased();
    assert_eq!(desk.next(), Effect::Renew);
    desk.quiet();
    assert!(!desk.engine.snapshot().serving);
    desk.tell(Event::Renewed(Renewal::Failed));
    desk.quiet();
    desk.pass();
    desk.renews(Renewal::Renewed);
    let from_the_question = deadline(Some(DEADLINE + desk.monotonic));
    assert_eq!(desk.next(), from_the_question);
    assert!(matches!(desk.next(), Effect::Claim { .. }));
}

#[test]
fn it_is_renewed_in_time_and_counts_from_when_it_was_asked_for() {
    let mut desk = held();
    desk.start(patient());
    desk.is_at(10 * SECOND);
    assert_eq!(desk.next(), Effect::Renew);
    // The answer takes long.
    desk.is_at(20 * SECOND);
    desk.quiet();
    desk.tell(Event::Renewed(Renewal::Renewed));
    assert_eq!(desk.next(), deadline(Some(DEADLINE + 10 * SECOND)));
    // Another one is due already.
    assert_eq!(desk.next(), Effect::Renew);
}

#[test]
fn a_renewal_that_fails_is_tried_again_more_often() {
    let mut desk = held();
    desk.start(patient());
    desk.is_at(10 * SECOND);
    let mut tries = 0;
    while desk.monotonic < GIVES_UP - 5 * SECOND {
        desk.renews(Renewal::Failed);
        tries += 1;
        let at = desk.monotonic + 5 * SECOND;
        while desk.effects.is_empty() {
            desk.pass();
            desk.absorb_claim();
            assert!(desk.monotonic <= at, "it is tried again soon");
        }
    }
    assert!(tries > 4, "{tries}");
    desk.renews(Renewal::Renewed);
    assert_eq!(desk.next(), deadline(Some(DEADLINE + desk.monotonic)));
}

#[test]
fn what_runs_is_killed_before_its_keeper_would() {
    let mut desk = held();
    let worker = desk.start(patient());
    desk.is_at(10 * SECOND);
    assert_eq!(desk.next(), Effect::Renew);
    desk.is_at(GIVES_UP - Duration::from_millis(1));
    desk.quiet();
    desk.is_at(GIVES_UP);
    assert_eq!(desk.next(), Effect::Stop { worker });
    assert_eq!(desk.next(), Effect::Kill { worker });
    desk.tell(Event::Signalled { worker });
    desk.tell(Event::Signalled { worker });
    let killed = ExitStatus::Signalled {
        signal: 9,
        core: false,
    };
    desk.exit(worker, killed, 0);
    desk.tell(Event::Drained {
        worker,
        leaked: false,
    });
    assert!(matches!(desk.next(), Effect::Drain { .. }));
    let verdict = desk.verdict();
    assert_eq!(verdict.outcome.cause, Cause::WorkerLost);
    assert!(matches!(verdict.next, Next::Lost { .. }));
    // The keeper has nobody to end, and may go on with its pools.
    assert_eq!(desk.next(), deadline(None));
}

#[test]
fn a_job_that_had_not_begun_goes_back_without_a_loss() {
    let pool = PoolSpec {
        slot: 2,
        claims: true,
        min_workers: 0,
        max_workers: 1,
        prefetch: 0,
        max_jobs: 0,
        ttl: None,
        idle_ttl: None,
        spawn_timeout: 600 * SECOND,
        queue_timeout: None,
        exec_timeout: None,
        stop_timeout: SECOND,
        drain_timeout: SECOND,
    };
    let mut desk = with_lease(vec![pool], None);
    desk.renews(Renewal::Renewed);
    assert_eq!(desk.next(), deadline(Some(DEADLINE)));
    desk.absorb_claim();
    let Effect::Claim { lane, slots } = desk.next() else {
        panic!("a claim for the pool")
    };
    let jobs = vec![assignment(slots[0], &patient())];
    let next_due = None;
    desk.tell(Event::Claimed {
        lane,
        jobs,
        next_due,
    });
    assert!(matches!(desk.next(), Effect::Boot { .. }));
    desk.is_at(GIVES_UP);
    let verdict = loop {
        match desk.next() {
            Effect::Record { verdict, .. } => break verdict,
            Effect::Renew | Effect::Claim { .. } | Effect::Deadline { .. } => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(verdict.next, Next::Release);
}

#[test]
fn a_claim_that_is_answered_after_the_end_is_given_back() {
    let mut desk = held();
    let Effect::Claim { lane, slots } = desk.next() else {
        panic!("a claim")
    };
    desk.monotonic = GIVES_UP;
    let jobs = vec![assignment(slots[0], &patient())];
    let next_due = None;
    desk.tell(Event::Claimed {
        lane,
        jobs,
        next_due,
    });
    assert_eq!(desk.verdict().next, Next::Release);
    assert_eq!(desk.next(), deadline(None));
    assert_eq!(desk.next(), Effect::Renew);
}

#[test]
fn after_a_loss_another_row_is_opened_when_nothing_is_left_of_the_claims() {
    let mut desk = held();
    let worker = desk.start(patient());
    desk.is_at(10 * SECOND);
    desk.renews(Renewal::Lost);
    assert_eq!(desk.next(), Effect::Stop { worker });
    assert_eq!(desk.next(), Effect::Kill { worker });
    desk.exit(worker, ExitStatus::Exited(0), 0);
    assert!(matches!(desk.next(), Effect::Drain { .. }));
    desk.tell(Event::Drained {
        worker,
        leaked: false,
    });
    let Effect::Record { attempt, .. } = desk.next() else {
        panic!("its end is told, and changes nothing")
    };
    assert_eq!(desk.next(), deadline(None));
    desk.quiet();
    desk.tell(Event::Recorded { attempt });
    assert_eq!(desk.next(), Effect::Reopen);
    desk.tell(Event::Reopened { opened: false });
    desk.quiet();
    desk.pass();
    assert_eq!(desk.next(), Effect::Reopen);
    desk.tell(Event::Reopened { opened: true });
    desk.renews(Renewal::Renewed);
    assert_eq!(desk.next(), deadline(Some(DEADLINE + desk.monotonic)));
    assert!(matches!(desk.next(), Effect::Claim { .. }));
}

#[test]
fn a_result_that_came_before_the_end_of_the_lease_counts() {
    let mut desk = held();
    let worker = desk.start(patient());
    desk.tell(Event::Said {
        worker,
        word: Word::Result(WorkResult::Succeeded),
    });
    desk.monotonic = GIVES_UP;
    desk.is_at(GIVES_UP);
    assert_eq!(desk.next(), Effect::Kill { worker });
    while !desk.effects.is_empty() {
        desk.next();
    }
    let verdict = desk.end(worker, ExitStatus::Exited(0));
    assert_eq!(verdict.outcome.cause, Cause::Succeeded);
}

#[test]
fn whoever_drains_renews_until_nothing_runs() {
    let mut desk = held();
    let worker = desk.start(patient());
    desk.tell(Event::ShutdownRequested(Shutdown::Finish));
    assert_eq!(desk.next(), Effect::Close);
    desk.tell(Event::CloseAnswered { closed: true });
    desk.is_at(10 * SECOND);
    desk.renews(Renewal::Renewed);
    assert_eq!(desk.next(), deadline(Some(DEADLINE + 10 * SECOND)));
    desk.is_at(20 * SECOND);
    assert_eq!(desk.next(), Effect::Renew);
    let Effect::Record { attempt, .. } = end_while_asked(&mut desk, worker) else {
        panic!("a record")
    };
    desk.tell(Event::Recorded { attempt });
    // The last answer is awaited, and no other one asked for.
    desk.quiet();
    desk.tell(Event::Renewed(Renewal::Failed));
    assert_eq!(desk.next(), Effect::Finish);
}

fn end_while_asked(desk: &mut Desk, worker: WorkerId) -> Effect {
    desk.exit(worker, ExitStatus::Exited(0), 0);
    assert!(matches!(desk.next(), Effect::Drain { .. }));
    desk.tell(Event::Drained {
        worker,
        leaked: false,
    });
    desk.next()
}

#[test]
fn whoever_is_told_to_end_while_it_opens_a_row_closes_that_one() {
    for opened in [true, false] {
        let mut desk = with_lease(vec![], None);
        desk.renews(Renewal::Renewed);
        assert_eq!(desk.next(), deadline(Some(DEADLINE)));
        desk.is_at(10 * SECOND);
        desk.renews(Renewal::Lost);
        assert_eq!(desk.next(), deadline(None));
        assert_eq!(desk.next(), Effect::Reopen);
        desk.tell(Event::ShutdownRequested(Shutdown::Finish));
        desk.quiet();
        desk.tell(Event::Reopened { opened });
        if opened {
            assert_eq!(desk.next(), Effect::Close);
            desk.tell(Event::CloseAnswered { closed: true });
        }
        assert_eq!(desk.next(), Effect::Finish);
    }
}

#[test]
fn without_leases_nobody_hears_of_them() {
    let mut desk = Desk::new(1);
    let now = desk.now();
    for event in [
        Event::Renewed(Renewal::Renewed),
        Event::Reopened { opened: true },
    ] {
        assert!(desk.engine.handle(now, event).is_err());
    }
}
