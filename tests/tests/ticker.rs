//! The ticker from a configuration alone, with a worker in another language.

use std::fs::{self, File};
use std::process::{Child, ExitStatus};

use dispatcher_tests::{Home, PATIENCE, eventually, said, terminate};
use serde_json::Value;

const FIXTURE: &str = env!("CARGO_BIN_EXE_fixture");
const WORKER: &str = include_str!("../fixtures/goridge/worker.php");

/// What the worker to be copied does by itself.
const ITS_OWN: &str = r#"reply('', "hello $body")"#;

/// A service with this configuration, and a PHP worker that does this with each tick.
struct Service {
    child: Child,
    home: Home,
}

impl Service {
    fn start(config: &str, work: &str) -> Self {
        let home = Home::new(FIXTURE);
        assert!(WORKER.contains(ITS_OWN), "the worker is another one");
        let worker = WORKER.replace(ITS_OWN, &format!("[{work}, reply('', 'OK')]"));
        write(&home, "worker.php", &worker);
        write(&home, "dispatcher.toml", &format!("version = 1\n{config}"));
        let log = File::create(home.file("service.log")).expect("the directory can be written");
        let mut command = home.command(["serve", "--config", "dispatcher.toml"]);
        let child = command.stderr(log).spawn().expect("the program starts");
        Self { child, home }
    }

    /// Waits, unless it has ended already.
    fn until(&mut self, what: &str, mut is_so: impl FnMut(&Self) -> bool) {
        eventually(what, PATIENCE, || {
            let ended = self
                .child
                .try_wait()
                .expect("it is a child of this process");
            assert_eq!(ended, None, "{:?}", self.lines("service.log"));
            is_so(self).then_some(())
        });
    }

    fn lines(&self, file: &str) -> Vec<String> {
        let text = fs::read_to_string(self.home.file(file)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn end(&mut self) -> ExitStatus {
        terminate(self.child.id());
        eventually("the service ends", PATIENCE, || {
            self.child
                .try_wait()
                .expect("it is a child of this process")
        })
    }
}

/// A service that a failed test leaves must not outlive it.
impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn write(home: &Home, name: &str, text: &str) {
    fs::write(home.file(name), text).expect("the directory can be written");
}

/// Written at once, so that no other worker's line stands between.
const NOTE: &str = r#"file_put_contents('ticks', "$context $body\n", FILE_APPEND)"#;

fn hears_every_tick(config: &str, mode: &str) {
    let noted = format!("{NOTE}, file_put_contents('mode', getenv('RR_MODE'))");
    ticks_are_heard(Service::start(config, &noted), mode);
}

fn ticks_are_heard(mut service: Service, mode: &str) {
    service.until("three ticks", |it| it.lines("ticks").len() >= 3);
    assert_eq!(service.end().code(), Some(0));
    let ticks = service.lines("ticks");
    let parts = ticks
        .iter()
        .map(|line| line.split_once(' ').expect("two values"));
    for (number, (context, body)) in parts.take(3).enumerate() {
        assert_eq!(body, format!("{{\"tick\":{number}}}"), "{ticks:?}");
        let context: Value = serde_json::from_str(context).expect("JSON");
        let last = &context["lastTick"];
        let seconds = last.as_i64().is_some_and(|seconds| seconds > 1_700_000_000);
        assert!(
            if number == 0 { last.is_null() } else { seconds },
            "{ticks:?}"
        );
    }
    assert_eq!(service.lines("mode").join(""), mode);
    let log = service.lines("service.log").join("\n");
    assert!(
        log.contains("source is on source=ticker weight=10"),
        "{log}"
    );
    assert!(!log.contains("WARN") && !log.contains("ERROR"), "{log}");
}

#[test]
fn a_worker_of_a_named_pool_hears_every_tick() {
    let config = "[sources.ticker]\ninterval = \"200ms\"\npool = \"php\"\n\
                  [pools.php]\ncommand = [\"php\", \"worker.php\"]\nworkers = 1\nmode = \"clock\"\n";
    hears_every_tick(config, "clock");
}

#[test]
fn a_worker_of_its_own_pool_hears_every_tick() {
    let config = "[sources.ticker]\ninterval = \"200ms\"\n\
                  [sources.ticker.pool]\ncommand = [\"php\", \"worker.php\"]\nnum_workers = 1\n";
    hears_every_tick(config, "ticker");
}

#[test]
fn a_rust_worker_hears_every_tick() {
    let config = format!(
        "[sources.ticker]\ninterval = \"200ms\"\npool = \"rust\"\n\
         [pools.rust]\ncommand = [\"{FIXTURE}\"]\nworkers = 1\nmode = \"clock\"\n"
    );
    ticks_are_heard(Service::start(&config, "1"), "clock");
}

#[test]
fn the_program_itself_hears_every_tick() {
    let config = "[sources.ticker]\ninterval = \"200ms\"\n\
                  [sources.ticker.pool]\nworkers = 1\n";
    ticks_are_heard(Service::start(config, "1"), "ticker");
}

#[test]
fn a_program_that_serves_no_such_requests_says_so() {
    let config = "[sources.ticker]\ninterval = \"200ms\"\npool = \"own\"\n\
                  [pools.own]\nworkers = 1\nmode = \"tuner\"\n";
    let mut service = Service::start(config, "1");
    service.until("a failure", |it| {
        let log = it.lines("service.log").join("\n");
        log.contains("nothing in this program serves RR_MODE `tuner`; it has ")
    });
    assert_eq!(service.end().code(), Some(0));
}

#[test]
fn a_tick_that_runs_is_waited_for_when_the_service_ends() {
    let config = "[sources.ticker]\ninterval = \"50ms\"\n\
                  [sources.ticker.pool]\ncommand = [\"php\", \"worker.php\"]\nworkers = 1\n";
    let work = "touch('begun'), usleep(700000), file_put_contents('done', 'x', FILE_APPEND)";
    let mut service = Service::start(config, work);
    service.until("a tick", |it| it.home.file("begun").exists());
    assert_eq!(service.end().code(), Some(0));
    let log = service.lines("service.log").join("\n");
    assert_eq!(
        service.lines("done").join(""),
        "x",
        "once, and whole: {log}"
    );
    assert!(!log.contains("a tick failed"), "{log}");
}

#[test]
fn a_failure_is_seen_and_the_next_tick_comes() {
    let config = "[sources.ticker]\ninterval = \"50ms\"\n\
                  [sources.ticker.pool]\ncommand = [\"php\", \"worker.php\"]\nworkers = 1\n";
    let work = format!("{NOTE}, $body === '{{\"tick\":0}}' && exit(3)");
    let mut service = Service::start(config, &work);
    service.until("a tick after the failure", |it| {
        it.lines("ticks").len() >= 2
    });
    let metrics = service.home.output(["status", "--metrics"], b"");
    let metrics = said(&metrics.stdout);
    let counted = "dispatcher_source_events_total{source=\"ticker\",event=\"failed_ticks\"} 1";
    assert!(metrics.contains(counted), "{metrics}");
    assert_eq!(service.end().code(), Some(0));
    let log = service.lines("service.log").join("\n");
    assert!(log.contains("a tick failed source=ticker"), "{log}");
}

#[test]
fn a_wrong_interval_is_an_error_with_its_line() {
    for (interval, said_of_it) in [
        ("\"soon\"", "line 3: `interval` of [sources.ticker]"),
        ("\"0s\"", "longer than 0"),
    ] {
        let config = format!(
            "[sources.ticker]\ninterval = {interval}\npool = \"php\"\n\
             [pools.php]\ncommand = [\"php\", \"worker.php\"]\n"
        );
        let home = Home::new(FIXTURE);
        write(&home, "dispatcher.toml", &format!("version = 1\n{config}"));
        let refused = home.output(["serve", "--config", "dispatcher.toml"], b"");
        assert_eq!(refused.status.code(), Some(78), "{refused:?}");
        let trouble = said(&refused.stderr);
        assert!(trouble.contains(said_of_it), "{trouble}");
    }
}

#[test]
fn the_version_lists_it() {
    let output = Home::new(FIXTURE).output(["--version"], b"");
    let version = said(&output.stdout);
    let sources = version.lines().last().unwrap_or_default();
    assert!(sources.starts_with("sources: "), "{version}");
    assert!(sources.contains("ticker 10"), "{version}");
    let output = Home::new(FIXTURE).output(["--version", "--json"], b"");
    let version: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let sources = version["sources"].as_array().expect("a list");
    let ticker = serde_json::json!({ "name": "ticker", "weight": 10 });
    assert!(sources.contains(&ticker), "{version}");
}
