//! How a supervisor ends: every request, and every order of two.

use super::*;

#[test]
fn a_drain_stops_claiming_at_once_and_workers_at_its_deadline() {
    let mut desk = Desk::new(2);
    let worker = desk.start(Options::default());
    desk.tell(Event::ShutdownRequested(Shutdown::Drain(4 * SECOND)));
    desk.tell(Event::Woken);
    // The row says so at once, so that nobody waits for this supervisor.
    assert_eq!(desk.next(), Effect::Close);
    desk.tell(Event::CloseAnswered { closed: true });
    desk.quiet();
    desk.pass();
    assert_eq!(desk.monotonic, 4 * SECOND);
    assert_eq!(desk.next(), Effect::Stop { worker });
    let verdict = desk.end(
        worker,
        ExitStatus::Signalled {
            signal: 15,
            core: false,
        },
    );
    assert_eq!(
        (verdict.outcome.cause, verdict.next),
        (Cause::Shutdown, Next::Release)
    );
    desk.quiet();
    desk.tell(Event::Recorded {
        attempt: of(worker),
    });
    assert_eq!(desk.next(), Effect::Finish);
}

#[test]
fn every_ordered_pair_of_shutdown_requests_only_gets_faster() {
    let requests = [
        Shutdown::Finish,
        Shutdown::Drain(4 * SECOND),
        Shutdown::Drain(SECOND),
        Shutdown::Now,
    ];
    for first in requests {
        for second in requests {
            for gap in [Duration::ZERO, SECOND / 2, 2 * SECOND] {
                ask_twice(first, second, gap);
            }
        }
    }
}

/// The worker is stopped at the earlier of two deadlines, each counted from its own request, and
/// killed at once if either says so.
fn ask_twice(first: Shutdown, second: Shutdown, gap: Duration) {
    let requests = format!("{first:?}, after {gap:?} {second:?}");
    let grace = Options::default().grace;
    let (mut desk, worker) = desk_with_a_worker();
    desk.tell(Event::ShutdownRequested(first));
    let close = desk
        .effects
        .iter()
        .position(|effect| *effect == Effect::Close);
    desk.effects.remove(close.expect("the row is closed"));
    desk.tell(Event::CloseAnswered { closed: true });
    let at_once = desk.effects.drain(..);
    let mut told: Vec<_> = at_once.map(|effect| (Duration::ZERO, effect)).collect();
    told.extend(pass_until(&mut desk, gap));
    desk.tell(Event::ShutdownRequested(second));
    told.extend(desk.effects.drain(..).map(|effect| (gap, effect)));
    told.extend(pass_until(&mut desk, 20 * SECOND));
    let due = |request, at: Duration| match request {
        Shutdown::Finish => None,
        Shutdown::Drain(time) => Some(at + time),
        Shutdown::Now => Some(at),
    };
    let stop = [due(first, Duration::ZERO), due(second, gap)];
    let Some(stop) = stop.into_iter().flatten().min() else {
        assert_eq!(told, [], "{requests}");
        return;
    };
    assert_eq!(told[0], (stop, Effect::Stop { worker }), "{requests}");
    let hurries = [(first, Duration::ZERO), (second, gap)];
    let hurry = hurries
        .iter()
        .find(|(request, _)| *request == Shutdown::Now);
    let kill = hurry.map_or(stop + grace, |(_, at)| (stop + grace).min(*at));
    assert_eq!(told[1], (kill, Effect::Kill { worker }), "{requests}");
}

#[test]
fn a_second_request_finds_a_worker_in_every_part_of_its_life() {
    for second in [Shutdown::Finish, Shutdown::Drain(SECOND), Shutdown::Now] {
        for steps in 0..=4 {
            let (mut desk, worker) = desk_with_a_worker();
            desk.tell(Event::ShutdownRequested(Shutdown::Drain(SECOND)));
            assert_eq!(desk.next(), Effect::Close);
            desk.tell(Event::CloseAnswered { closed: true });
            let exit = Event::Exited {
                worker,
                status: killed(),
                usage: Usage::default(),
                strays: 0,
                memory: MemoryVerdict::Silent,
            };
            let leaked = false;
            let life = [
                None,
                Some(exit),
                Some(Event::Drained { worker, leaked }),
                Some(Event::Recorded {
                    attempt: of(worker),
                }),
            ];
            pass_until(&mut desk, 2 * SECOND);
            for event in life.into_iter().take(steps).flatten() {
                desk.tell(event);
            }
            desk.effects.retain(|effect| *effect == Effect::Finish);
            desk.tell(Event::ShutdownRequested(second));
            let asked: Vec<Effect> = desk.effects.drain(..).collect();
            let expected = match (steps, second) {
                (4, _) => vec![Effect::Finish],
                (0 | 1, Shutdown::Now) => vec![Effect::Kill { worker }],
                _ => Vec::new(),
            };
            assert_eq!(asked, expected, "{second:?} after {steps} steps");
        }
    }
}

fn desk_with_a_worker() -> (Desk, WorkerId) {
    let mut desk = Desk::new(1);
    let worker = desk.start(Options::default());
    (desk, worker)
}

/// Lets time pass up to an instant; what was asked for, and when.
fn pass_until(desk: &mut Desk, end: Duration) -> Vec<(Duration, Effect)> {
    let mut told = Vec::new();
    for _ in 0..100 {
        let due = desk.engine.poll_timeout();
        let Some(at) = due.filter(|at| *at <= end) else {
            break;
        };
        desk.monotonic = desk.monotonic.max(at);
        let now = desk.now();
        desk.engine.handle_timeout(now);
        desk.collect();
        told.extend(desk.effects.drain(..).map(|effect| (at, effect)));
    }
    desk.monotonic = desk.monotonic.max(end);
    told
}
