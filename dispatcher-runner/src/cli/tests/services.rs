//! Commands for running services, against made-up ones.

use serde_json::Value;

use super::*;
use crate::control::{JobSeen, PoolSeen, SourceSeen, WorkerSeen};

/// A row of a supervisor with this process id.
fn open(program: &mut Program, pid: u32) {
    let row = NewSupervisor {
        program: "app".to_owned(),
        build: build(),
        pid,
        slots: 4,
        directory: PathBuf::from("/state"),
        serves: vec!["CliIdle".to_owned()],
        queues: Vec::new(),
        lease: None,
    };
    program.host.store.open_supervisor(&row).unwrap();
}

/// One that is a service as well.
fn serve(program: &mut Program, pid: u32, pools: &[(&str, Option<&str>)]) {
    open(program, pid);
    let pools = pools.iter().map(|(name, degraded)| PoolSeen {
        name: (*name).to_owned(),
        waiting: 3,
        running: 1,
        degraded: degraded.map(str::to_owned),
        restarts: [("crash".to_owned(), 2), ("ttl".to_owned(), 0)].into(),
    });
    let worker = |pool: Option<&str>, busy: bool| WorkerSeen {
        pool: pool.map(str::to_owned),
        pid: Some(4242),
        state: if busy { "working" } else { "ready" }.to_owned(),
        job: busy.then(|| JobSeen {
            id: JobId::from_bytes([1; 10]),
            dispatcher: "CliIdle".to_owned(),
        }),
        served: 9,
        age_ms: 61_000,
        idle_ms: (!busy).then_some(1_500),
        rss_bytes: Some(3 * 1024 * 1024),
        cpu_ms: Some(250),
    };
    program.host.services.push(Seen {
        pid,
        program: "app".to_owned(),
        build: build().id,
        serving: true,
        slots: 4,
        queues: Vec::new(),
        pools: pools.collect(),
        workers: vec![worker(Some("php"), false), worker(None, true)],
        sources: vec![SourceSeen {
            name: "ticker".to_owned(),
            unhealthy: Some("it panicked".to_owned()),
            counters: [("missed_ticks".to_owned(), 7)].into(),
        }],
    });
}

#[test]
fn without_a_service_that_is_said_in_three_parts() {
    let mut program = program();
    // A detached supervisor is none.
    open(&mut program, 5);
    for line in [
        "workers",
        "reset",
        "reset php",
        "stop",
        "status --metrics",
        "stop --service 5",
    ] {
        let ran = program.run(line);
        assert_eq!(ran.code, 1, "{line}: {ran:?}");
        let lines: Vec<_> = ran.err.lines().collect();
        assert_eq!(lines.len(), 3, "{line}: {ran:?}");
        assert_eq!(lines[0], "error: no service is running");
        assert!(
            lines[1].starts_with("because: none has its state at "),
            "{ran:?}"
        );
        assert!(
            lines[2].starts_with("try: start one with `app serve`"),
            "{ran:?}"
        );
    }
}

#[test]
fn workers_and_pools_are_shown() {
    let mut program = program();
    serve(&mut program, 7, &[("php", Some("it ends at once"))]);
    let ran = program.run("workers");
    assert_eq!(
        ran.out,
        "service app (pid 7) serves, 1 of 4 slots busy\n\
         \n\
         POOL  WAITING  RUNNING  REPLACED  STATE\n\
         php         3        1  2 crash   degraded: it ends at once\n\
         \n \
          PID  POOL  STATE    SERVED   AGE  IDLE   RSS    CPU  JOB               DISPATCHER\n\
         4242  php   ready         9  1m1s    1s  3MiB  250ms\n\
         4242  -     working       9  1m1s        3MiB  250ms  040g2081040g2081  CliIdle\n"
    );
    let value: Value = serde_json::from_str(&program.run("workers --json").out).unwrap();
    let service = &value["services"][0];
    assert_eq!(service["pid"], 7);
    assert_eq!(service["pools"][0]["restarts"]["crash"], 2);
    assert_eq!(service["workers"][1]["job"]["dispatcher"], "CliIdle");
    assert_eq!(service["workers"][0]["idle_ms"], 1_500);
}

#[test]
fn status_tells_what_services_say() {
    let mut program = program();
    serve(&mut program, 7, &[("php", None)]);
    let ran = program.run("status");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.out
            .contains("php         3        1  2 crash   works\n"),
        "{}",
        ran.out
    );
    assert!(
        ran.out
            .contains("ticker  7 missed_ticks  unhealthy: it panicked\n"),
        "{}",
        ran.out
    );
    let value: Value = serde_json::from_str(&program.run("status --json").out).unwrap();
    assert_eq!(
        value["services"][0]["sources"][0]["counters"]["missed_ticks"],
        7
    );
    assert_eq!(program.run("status --metrics").out, "# of a service\n");
}

#[test]
fn a_reset_is_for_the_services_that_have_the_pool() {
    let mut program = program();
    serve(&mut program, 7, &[("php", None)]);
    serve(&mut program, 8, &[("python", None), ("broken", None)]);
    let ran = program.run("reset python");
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (0, "pool python of service 8 has new workers\n")
    );
    let ran = program.run("reset");
    assert_eq!(ran.out.lines().count(), 2, "{ran:?}");
    let ran = program.run("reset broken");
    assert_eq!(ran.code, 1);
    assert_eq!(
        ran.err,
        "error: pool broken of service 8 was not reset\n\
         because: the new workers end at once\n\
         try: the old workers go on; mend what new ones need, and reset again\n"
    );
    let ran = program.run("reset broken --json");
    assert_eq!(ran.code, 1);
    let value: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(value[0]["reset"], false);
    assert_eq!(value[0]["why"], "the new workers end at once");
    let ran = program.run("reset pyton");
    assert_eq!(ran.code, 64);
    assert!(
        ran.err.contains("there are broken, php, python"),
        "{}",
        ran.err
    );
    assert!(ran.err.contains("did you mean `python`?"), "{}", ran.err);
    let ran = program.run("reset python --service 7");
    assert_eq!(ran.code, 64, "{ran:?}");
}

#[test]
fn a_stop_waits_for_the_end() {
    let mut program = program();
    serve(&mut program, 7, &[]);
    serve(&mut program, 8, &[]);
    program.host.ends_after = 20;
    let ran = program.run("stop");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(
        ran.out,
        "the service with pid 7 has ended\nthe service with pid 8 has ended\n"
    );
    assert!(program.host.waits >= 20, "it was waited for");
    let told = |request: &Request| *request == Request::Stop { now: false };
    let told = program.host.asked.iter().filter(|(_, it)| told(it));
    assert_eq!(told.map(|(pid, _)| *pid).collect::<Vec<_>>(), [7, 8]);
}

#[test]
fn one_of_several_can_be_chosen() {
    let mut program = program();
    serve(&mut program, 7, &[]);
    serve(&mut program, 8, &[]);
    program.host.ends_after = 0;
    let ran = program.run("stop --now --service 8 --json");
    let value: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(value.to_string(), r#"[{"ended":true,"pid":8}]"#);
    assert!(
        program
            .host
            .asked
            .contains(&(8, Request::Stop { now: true }))
    );
    assert!(program.host.asked.iter().all(|(pid, _)| *pid == 8));
    program.host.asked.clear();
    for line in ["workers --service 9", "status --service 9"] {
        let ran = program.run(line);
        assert_eq!(ran.code, 64);
        assert!(
            ran.err.contains("those of services here are 7, 8"),
            "{ran:?}"
        );
    }
    let ran = program.run("status --metrics");
    assert_eq!(ran.code, 64, "{ran:?}");
    assert_eq!(
        program.run("status --metrics --service 7").out,
        "# of a service\n"
    );
}

#[test]
fn an_interrupted_stop_says_that_the_service_goes_on_ending() {
    let mut program = program();
    serve(&mut program, 7, &[]);
    program.interrupts = [0, 0, 1].into();
    let ran = program.run("stop");
    assert_eq!((ran.code, ran.out.as_str()), (130, ""));
    assert_eq!(
        ran.err,
        "not waited for: the service with pid 7 goes on ending\n"
    );
}
