//! Sources that fail, end, panic or do not listen, and what their keeper makes of it.

use std::cell::RefCell;
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::support::{Service, pass, section, virtually};
use crate::sources::board::Board;
use crate::sources::conductor::{Order, conduct};
use crate::sources::{
    Host, Prepared, Source, SourceError, SourceStage, SourceState, Sources, Stop,
};

type Diary = (Option<Instant>, Vec<(u64, String)>);

thread_local! {
    /// What sources did, when, in seconds since the test began.
    static DIARY: RefCell<Diary> = const { RefCell::new((None, Vec::new())) };
}

fn note(what: impl Into<String>) {
    DIARY.with_borrow_mut(|(began, notes)| {
        let began = *began.get_or_insert_with(Instant::now);
        notes.push((began.elapsed().as_secs(), what.into()));
    });
}

fn diary() -> Vec<(u64, String)> {
    DIARY.with_borrow(|(_, notes)| notes.clone())
}

/// When something was done.
fn times(what: &str) -> Vec<u64> {
    let of = diary().into_iter().filter(|(_, it)| it == what);
    of.map(|(at, _)| at).collect()
}

/// A source that does as its section says.
#[derive(Deserialize)]
struct Odd<const WEIGHT: i32> {
    does: String,
    #[serde(default)]
    after: u64,
}

impl<const WEIGHT: i32> Source for Odd<WEIGHT> {
    const NAME: &'static str = match WEIGHT {
        10 => "ten",
        20 => "twenty",
        _ => "thirty",
    };
    const WEIGHT: i32 = WEIGHT;

    async fn serve(&self, host: &Host, stop: Stop) -> Result<(), SourceError> {
        let name = host.name();
        note(format!("{name} serves"));
        let time = pass(Duration::from_secs(self.after));
        match self.does.as_str() {
            "fail" => {
                time.await;
                Err("no luck".into())
            }
            "panic" => {
                time.await;
                panic!("bad luck")
            }
            "end" => {
                time.await;
                Ok(())
            }
            "deaf" => std::future::pending().await,
            "fail at the end" => {
                stop.requested().await;
                Err("too late".into())
            }
            "block" => {
                let gate = BLOCKS.lock().unwrap().take();
                let _ = gate.map(|gate| gate.recv());
                Ok(())
            }
            _ => {
                stop.requested().await;
                note(format!("{name} is told"));
                time.await;
                note(format!("{name} is done"));
                Ok(())
            }
        }
    }

    async fn reset(&self, host: &Host) -> Result<(), SourceError> {
        note(format!("{} is reset", host.name()));
        match self.does.as_str() {
            "serve" => Ok(()),
            "panic" => panic!("bad luck"),
            _ => std::future::pending().await,
        }
    }
}

/// What `block` waits for; one test uses it.
static BLOCKS: Mutex<Option<mpsc::Receiver<()>>> = Mutex::new(None);

fn prepared(sections: &[(&str, &str)]) -> Prepared {
    let sources = Sources::builder()
        .with::<Odd<10>>()
        .with::<Odd<20>>()
        .with::<Odd<30>>()
        .build()
        .unwrap();
    let of = |name: &str| {
        let text = sections.iter().find(|(it, _)| *it == name);
        text.map(|(name, text)| section(name, text, 0))
    };
    Prepared::new(&sources, of, &Service::new().ways()).unwrap()
}

struct Show {
    board: Board,
    orders: UnboundedSender<Order>,
    conducting: JoinHandle<()>,
}

impl Show {
    fn start(sections: &[(&str, &str)]) -> Self {
        DIARY.take();
        let prepared = prepared(sections);
        let board = prepared.board();
        let (orders, received) = unbounded_channel();
        note("begins");
        let conducting = tokio::spawn(conduct(prepared.entries, received));
        Self {
            board,
            orders,
            conducting,
        }
    }

    fn state(&self, name: &str) -> SourceState {
        let mut states = self.board.look().into_iter();
        states.find(|state| state.name == name).unwrap()
    }

    async fn stop(self, drain: u64) -> Board {
        let order = Order::Stop(Duration::from_secs(drain));
        assert!(self.orders.send(order).is_ok());
        self.conducting.await.unwrap();
        self.board
    }

    async fn reset(&self) -> Result<(), String> {
        let (told, answer) = tokio::sync::oneshot::channel();
        let order = Order::Reset(Box::new(|result| told.send(result).unwrap()));
        assert!(self.orders.send(order).is_ok());
        answer.await.unwrap()
    }
}

async fn secs(seconds: u64) {
    // Never at the same instant as what is awaited.
    pass(Duration::from_millis(seconds * 1000 + 500)).await;
}

const SERVES: &str = "does = \"serve\"";

#[test]
fn the_heavier_start_first_and_are_told_last() {
    virtually(async {
        let show = Show::start(&[("ten", SERVES), ("twenty", SERVES), ("thirty", SERVES)]);
        secs(1).await;
        show.stop(10).await;
        let order: Vec<_> = diary().into_iter().map(|(_, what)| what).collect();
        let told: Vec<_> = order.iter().filter(|it| !it.ends_with("done")).collect();
        assert_eq!(
            told,
            [
                "begins",
                "thirty serves",
                "twenty serves",
                "ten serves",
                "ten is told",
                "twenty is told",
                "thirty is told",
            ]
        );
    });
}

#[test]
fn one_that_fails_is_started_again_ever_later_and_the_others_serve_on() {
    for does in ["fail", "panic"] {
        virtually(async {
            let failing = format!("does = \"{does}\"");
            let show = Show::start(&[("ten", &failing), ("twenty", SERVES)]);
            secs(130).await;
            assert_eq!(times("ten serves"), [0, 1, 3, 7, 15, 31, 61, 91, 121]);
            assert_eq!(times("twenty serves"), [0]);
            let state = show.state("ten");
            assert_eq!((state.stage, state.healthy), (SourceStage::Failed, false));
            assert_eq!(state.restarts, 8);
            let error = state.last_error.unwrap();
            assert!(error.contains("luck"), "{error}");
            assert!(show.state("twenty").healthy);
            let board = show.stop(10).await.look();
            assert!(board.iter().all(|it| it.stage != SourceStage::Failed));
        });
    }
}

#[test]
fn one_that_served_well_begins_with_the_shortest_back_off_again() {
    virtually(async {
        let show = Show::start(&[("ten", "does = \"fail\"\nafter = 60")]);
        secs(61).await;
        assert!(!show.state("ten").healthy, "it has just begun again");
        secs(61).await;
        assert_eq!(times("ten serves"), [0, 61, 122]);
        show.stop(0).await;

        let show = Show::start(&[("ten", "does = \"fail\"\nafter = 100")]);
        secs(150).await;
        assert!(!show.state("ten").healthy);
        secs(20).await;
        assert!(show.state("ten").healthy, "it has served for a minute");
        assert_eq!(show.state("ten").restarts, 1);
        show.stop(0).await;
    });
}

#[test]
fn one_that_ends_is_over() {
    virtually(async {
        let show = Show::start(&[("ten", "does = \"end\"\nafter = 5")]);
        secs(1).await;
        assert_eq!(show.state("ten").stage, SourceStage::Serving);
        secs(100).await;
        let state = show.state("ten");
        assert_eq!((state.stage, state.healthy), (SourceStage::Ended, true));
        assert_eq!(times("ten serves"), [0]);
        show.stop(10).await;
    });
}

#[test]
fn each_has_the_drain_time_and_no_more() {
    virtually(async {
        let slow = "does = \"serve\"\nafter = 8";
        let show = Show::start(&[
            ("ten", slow),
            ("twenty", "does = \"deaf\""),
            ("thirty", SERVES),
        ]);
        secs(2).await;
        show.stop(20).await;
        assert_eq!(times("ten is done"), [10]);
        assert_eq!(times("thirty is done"), [2]);
        note("all is over");
        assert_eq!(times("all is over"), [22], "the deaf one is dropped");
    });
}

#[test]
fn nobody_is_waited_for_who_is_done() {
    virtually(async {
        let failing = "does = \"fail at the end\"";
        let show = Show::start(&[
            ("ten", SERVES),
            ("twenty", failing),
            ("thirty", "does = \"fail\""),
        ]);
        secs(2).await;
        let board = show.stop(1000).await.look();
        note("all is over");
        assert_eq!(times("all is over"), [2]);
        let [thirty, twenty, ten] = &board[..] else {
            panic!("{board:?}")
        };
        assert_eq!((ten.stage, ten.healthy), (SourceStage::Ended, true));
        assert_eq!(twenty.last_error.as_deref(), Some("too late"));
        assert_eq!(
            thirty.stage,
            SourceStage::Ended,
            "it does not wait for its back-off"
        );
    });
}

#[test]
fn a_reset_tells_the_truth() {
    virtually(async {
        let show = Show::start(&[("ten", SERVES), ("twenty", SERVES)]);
        assert_eq!(show.reset().await, Ok(()));
        assert_eq!(times("ten is reset"), times("twenty is reset"));
        show.stop(0).await;
        let sections = [
            ("ten", SERVES),
            ("twenty", "does = \"deaf\""),
            ("thirty", "does = \"panic\"\nafter = 1000"),
        ];
        let show = Show::start(&sections);
        let error = show.reset().await.unwrap_err();
        assert_eq!(
            error,
            "source thirty: it panicked: bad luck; source twenty: it takes longer than 60s"
        );
        assert_eq!(times("ten is reset"), [60], "whatever becomes of others");
        show.stop(0).await;
    });
}

#[test]
fn the_sources_have_a_thread_that_ends_with_them() {
    let sections = [("ten", SERVES)];
    let prepared = virtually(async { prepared(&sections) });
    let board = prepared.board();
    let running = prepared.start().unwrap();
    let minute = Duration::from_secs(60);
    let (told, answer) = mpsc::channel();
    running
        .resetter()
        .reset(Box::new(move |result| told.send(result).unwrap()));
    assert_eq!(answer.recv_timeout(minute), Ok(Ok(())));
    running.stop(minute);
    assert!(running.wait(minute));
    assert!(board.look().iter().all(|it| it.healthy));
    let (told, answer) = mpsc::channel();
    running
        .resetter()
        .reset(Box::new(move |result| told.send(result).unwrap()));
    assert!(answer.recv_timeout(minute).unwrap().is_err());
}

#[test]
fn one_that_blocks_its_thread_holds_up_nobody_else() {
    let prepared = virtually(async { prepared(&[("ten", "does = \"block\"")]) });
    let (release, gate) = mpsc::channel();
    BLOCKS.lock().unwrap().replace(gate);
    let running = prepared.start().unwrap();
    running.stop(Duration::ZERO);
    assert!(!running.wait(Duration::from_millis(50)));
    drop(release);
    assert!(running.wait(Duration::from_secs(60)));
}
