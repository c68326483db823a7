//! Several runners on one database, each with a folder of its own, as hosts have.

use std::time::Duration;

use dispatcher_tests::{HostService, PATIENCE, configure_host, eventually, on_host, pass, said};

use super::{HOSTS, Site};

#[test]
fn three_hosts_share_the_work() {
    let site = Site::new();
    for host in HOSTS {
        configure_host(&site.home, host, "[service]\nworkers = 2");
    }
    let services = site.serve_everywhere();
    site.send("Storm", r#"{"ms": 5, "gate": "gate"}"#, 150);
    eventually("each has a part of it", PATIENCE, || {
        let parts = "SELECT count(DISTINCT supervisor) FROM dispatcher.jobs WHERE state = 1";
        site.psql(parts) == "3"
    });
    site.home.open_gate("gate");
    site.all_succeed(150);
    let ran_by = "SELECT count(DISTINCT pid) FROM dispatcher.attempts";
    assert_eq!(site.psql(ran_by), "150", "a process each");
    services.into_iter().for_each(HostService::end);
    assert_eq!(
        site.psql("SELECT count(*) FROM dispatcher.supervisors"),
        "0"
    );
}

/// From the moment on at which others see its row, it closes that when it is told to end.
#[test]
fn a_service_that_has_just_begun_ends_as_any_other() {
    let site = Site::new();
    for _ in 0..12 {
        site.serve("one").end();
        let left = site.psql("SELECT count(*) FROM dispatcher.supervisors");
        assert_eq!(left, "0");
    }
}

/// One at a time over all hosts, and each as often as it was sent.
#[test]
fn a_limit_of_concurrency_holds_over_hosts() {
    let site = Site::new();
    let _services = site.serve_everywhere();
    for round in 0..3 {
        site.send("Exclusive", r#"{"name": "x", "run_ms": 2}"#, 10);
        eventually("all of a round have run", PATIENCE, || {
            site.count(2) == 10 * (round + 1)
        });
    }
    assert_eq!(site.home.read("violations"), "");
    assert_eq!(site.home.starts().len(), 30);
}

/// `spawn_process()` and the command line, with a detached supervisor of the host.
#[test]
fn a_submitter_is_served_without_a_service() {
    let site = Site::new();
    let said = site.answer(
        "one",
        &[
            "notifydispatcher",
            "Shell",
            r#"{"line": "echo over there"}"#,
        ],
    );
    assert_eq!(said, "over there");
    let jobs = site.answer("two", &["jobs", "--json"]);
    assert!(jobs.contains("succeeded"), "{jobs}");
    assert_eq!(site.count(2), 1);
}

/// What a host holds is not taken over by another one as long as nothing says that it is gone.
#[test]
fn a_service_elsewhere_is_left_alone() {
    let site = Site::new();
    let _one = site.serve("one");
    site.send("Storm", r#"{"gate": "gate"}"#, 1);
    eventually("it runs", PATIENCE, || site.count(1) == 1);
    // Longer than the interval of rescue: the other one looks at the rows several times.
    let mut two = site.serve("two");
    site.send("Racer", "{}", 30);
    eventually("the others ran", PATIENCE, || site.count(2) == 30);
    pass(Duration::from_secs(5));
    assert_eq!(site.count(1), 1);
    let attempt = "SELECT max(attempt) FROM dispatcher.jobs";
    assert_eq!(site.psql(attempt), "1");
    assert!(two.is_alive());
    site.home.open_gate("gate");
    site.all_succeed(31);
}

/// What a state file has, a database is not asked for.
#[test]
fn commands_about_the_state_know_that_it_is_a_database() {
    let site = Site::new();
    site.answer("one", &["store", "migrate"]);
    let place = format!("state      {}", site.url);
    let status = site.answer("one", &["status"]);
    let line = status.lines().find(|line| line.starts_with("state"));
    assert!(
        line.is_some_and(|line| line.starts_with(&place) && !line.contains(", ")),
        "{status}"
    );
    let status = site.answer("one", &["status", "--json"]);
    assert!(status.contains("\"state_bytes\": null"), "{status}");
    let doctor = site.answer("one", &["doctor"]);
    assert!(doctor.contains(&format!("state: {}", site.url)), "{doctor}");
    assert!(
        !doctor.contains("SQLite") && !doctor.contains("fail"),
        "{doctor}"
    );
}

/// The password of the URL is nowhere to be read but where it is needed.
#[test]
fn a_password_is_not_shown() {
    let site = Site::new();
    let shown = |url: &str, arguments: &[&str]| {
        assert!(url.contains(":s3cret@"));
        let output = on_host(&site.home, "one", url, arguments).output();
        let output = output.expect("the program starts");
        let text = said(&output.stdout) + &said(&output.stderr);
        assert!(!text.contains("s3cret"), "{text}");
        text
    };
    let url = site.url.replace("postgres@", "postgres:s3cret@");
    for arguments in [&["config", "show"][..], &["status"], &["doctor"], &["jobs"]] {
        let text = shown(&url, arguments);
        assert!(text.contains("postgres://postgres@127.0.0.1"), "{text}");
    }
    // Nobody listens at the first of these; the second one cannot be right.
    let two = url.replace("127.0.0.1", "127.0.0.1:1,127.0.0.1");
    let text = shown(&two, &["status"]);
    assert!(text.contains("postgres://postgres@127.0.0.1:1,"), "{text}");
    let text = shown("postgres://u:s3cret@h/d?schema=S3", &["status"]);
    assert!(text.starts_with("error: "), "{text}");
}
