//! The supervisor's log tells of jobs only when asked: a busy one would fill its disk.

use dispatcher_tests::{Home, said};

/// What a supervisor logs for one job, with a value of the variable.
fn logged(level: Option<&str>) -> String {
    let home = Home::new(env!("CARGO_BIN_EXE_fixture"));
    let mut command = home.command(["notifydispatcher", "Act", r#"{"deed":"succeed"}"#]);
    command.env_remove("DISPATCHER_LOG");
    command.envs(level.map(|level| ("DISPATCHER_LOG", level)));
    let output = command.output().expect("the program starts");
    assert!(output.status.success(), "{}", said(&output.stderr));
    home.log()
}

#[test]
fn jobs_are_logged_when_asked() {
    for level in [None, Some(""), Some("info")] {
        let log = logged(level);
        assert!(log.contains("INFO  supervisor serves"), "{level:?}: {log}");
        assert!(!log.contains("job "), "{level:?}: {log}");
        assert!(!log.contains("DISPATCHER_LOG"), "{level:?}: {log}");
    }
    let log = logged(Some("debug"));
    assert!(
        log.contains("job starts") && log.contains("job ends"),
        "{log}"
    );
    assert_eq!(logged(Some("error")), "");
}

#[test]
fn an_unknown_level_is_told_with_those_there_are() {
    let log = logged(Some("loud"));
    assert!(log.contains("WARN"), "{log}");
    assert!(log.contains("\"loud\""), "{log}");
    assert!(log.contains("none of error, warn, info, debug"), "{log}");
    assert!(log.contains("supervisor serves"), "{log}");
}
