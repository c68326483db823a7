//! Schedules without a service: a timer calls `schedule tick`, and each tick runs once.
//!
//! No test waits for the clock. What is on record about a schedule says up to when its ticks were
//! decided; that is set back (or ahead), as if nobody had looked since.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use dispatcher_core::JobState;
use dispatcher_tests::{Home, PATIENCE, Size, configure, eventually, said, terminate};
use rusqlite::Connection;
use serde_json::{Value, json};

const FIXTURE: &str = env!("CARGO_BIN_EXE_fixture");
const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// A tick of the yearly schedule lies within it.
const LONG_MS: i64 = 400 * DAY_MS;

/// A state in which every schedule of the fixture was seen.
fn seen() -> Home {
    let home = Home::new(FIXTURE);
    let output = tick(&home);
    assert_eq!(
        (output.status.code(), &output.stdout[..]),
        (Some(0), &b""[..])
    );
    assert!(home.ids().is_empty(), "nothing of the past");
    home
}

fn tick(home: &Home) -> Output {
    home.output(["schedule", "tick"], b"")
}

/// The program where a configuration has this section.
fn run_with<const N: usize>(home: &Home, section: &str, words: [&str; N]) -> Output {
    configure(home, section);
    let mut command = home.command(words);
    command.env("DISPATCHER_CONFIG", home.file("dispatcher.toml"));
    command.output().expect("it runs")
}

/// What `schedule tick --json` decided about a dispatcher: fates, oldest tick first.
fn fates(output: &Output, dispatcher: &str) -> Vec<String> {
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {output:?}"));
    let decided = report["decided"].as_array().expect("a list");
    let own = decided.iter().filter(|it| it["dispatcher"] == dispatcher);
    own.map(|it| it["fate"].as_str().expect("a word").to_owned())
        .collect()
}

fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(now.expect("after 1970").as_millis()).expect("before the end of time")
}

/// Makes it look as if everything up to an instant had been decided, and nothing since.
fn settle(home: &Home, dispatcher: &str, until: i64) {
    let connection = Connection::open(home.database()).expect("there is a state file");
    connection.busy_timeout(PATIENCE).expect("a time");
    let changed = connection
        .execute(
            "UPDATE schedules
             SET record = json_set(record, '$.settled', json(?2))
             WHERE dispatcher = (SELECT id FROM dispatchers WHERE name = ?1)",
            (dispatcher, json!([[until, until]]).to_string()),
        )
        .expect("the state can be written");
    assert_eq!(changed, 1, "{dispatcher} was seen");
}

fn listed(home: &Home, dispatcher: &str) -> Value {
    let output = home.output(["schedule", "list", "--json"], b"");
    let all: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let all = all.as_array().expect("a list").clone();
    let found = all.into_iter().find(|it| it["name"] == dispatcher);
    found.expect("it has a schedule")
}

#[test]
fn twenty_runners_at_once_submit_one_job() {
    let home = seen();
    for round in 1..=Size::get().pick(2, 10) as usize {
        settle(&home, "Yearly", now() - LONG_MS);
        let runners: Vec<_> = (0..20)
            .map(|_| home.start(["schedule", "tick", "--json"]))
            .collect();
        let mut submitted = 0;
        for runner in runners {
            let output = runner.wait_with_output().expect("it ends");
            assert!(output.status.success(), "{}", said(&output.stderr));
            let fates = fates(&output, "Yearly");
            assert!(fates.iter().all(|fate| fate == "submitted"), "{fates:?}");
            submitted += fates.len();
        }
        assert_eq!((submitted, home.ids().len()), (1, round));
        let job = home.wait(&home.ids()[round - 1]);
        assert_eq!(job.state, JobState::Succeeded, "{job:?}");
    }
    let log = home.log();
    for complaint in ["ERROR", "WARN", "locked"] {
        assert!(!log.contains(complaint), "somebody complained:\n{log}");
    }
}

#[test]
fn nothing_due_says_nothing_and_writes_nothing() {
    let home = seen();
    let before = home.dump();
    let output = tick(&home);
    assert_eq!(
        (&output.stdout[..], &output.stderr[..]),
        (&b""[..], &b""[..])
    );
    assert_eq!(home.dump(), before);
    assert_eq!(listed(&home, "Yearly")["last"], Value::Null);
}

#[test]
fn a_clock_that_was_ahead_or_behind_runs_nothing_twice() {
    let home = seen();
    settle(&home, "Yearly", now() - LONG_MS);
    let output = tick(&home);
    assert!(
        said(&output.stdout).starts_with("Yearly: tick "),
        "{output:?}"
    );
    home.wait(&home.ids()[0]);
    // Somebody looked while the clock was a day ahead: the time until then is not run again.
    let connection = Connection::open(home.database()).expect("there is a state file");
    let ahead = now() + DAY_MS;
    connection
        .execute(
            "UPDATE schedules SET record = json_set(record, '$.settled[#]', json(?1))",
            [json!([ahead, ahead]).to_string()],
        )
        .expect("the state can be written");
    let next = listed(&home, "Yearly")["next"].clone();
    assert_eq!(next.as_array().map(Vec::len), Some(5));
    assert_eq!(said(&tick(&home).stderr), "");
    assert_eq!(home.ids().len(), 1);
}

#[test]
fn a_full_queue_and_made_up_ticks() {
    let home = seen();
    settle(&home, "Monthly", now() - 160 * DAY_MS);
    let output = home.output(["schedule", "tick", "--json"], b"");
    assert_eq!(output.status.code(), Some(69), "{output:?}");
    let mut made_up = fates(&output, "Monthly");
    let refused = made_up.split_off(3);
    assert_eq!(made_up, ["submitted"; 3]);
    // Five or six first days of a month.
    assert!((2..=3).contains(&refused.len()), "{refused:?}");
    assert!(
        refused.iter().all(|fate| fate == "queue_full"),
        "{refused:?}"
    );
    let told = said(&output.stderr);
    assert!(told.contains("error: the tick of Monthly at "), "{told}");
    assert!(told.contains("raise max_queue"), "{told}");
    assert_eq!(listed(&home, "Monthly")["last"]["fate"], "queue_full");
    for id in home.ids() {
        assert_eq!(home.wait(&id).state, JobState::Succeeded);
    }
    let again = home.output(["schedule", "tick", "--json"], b"");
    assert_eq!(fates(&again, "Monthly"), Vec::<String>::new());
    assert_eq!(home.read("monthly").lines().count(), 3);
}

#[test]
fn the_last_run_is_not_overlapped_and_pauses_are_obeyed() {
    let home = seen();
    assert!(home.output(["pause", "Yearly"], b"").status.success());
    for fate in ["submitted", "overlapped"] {
        settle(&home, "Yearly", now() - LONG_MS);
        let output = home.output(["schedule", "tick", "--json"], b"");
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(fates(&output, "Yearly"), [fate]);
    }
    let entry = listed(&home, "Yearly");
    assert_eq!(
        (&entry["paused"], &entry["last"]["fate"]),
        (&json!(true), &json!("overlapped"))
    );
    assert_eq!(entry["last"]["job"], home.ids()[0].as_str());
    assert!(home.output(["resume", "Yearly"], b"").status.success());
    let job = home.wait(&home.ids()[0]);
    assert_eq!(job.state, JobState::Succeeded);
    let shown = said(&home.output(["show", &job.id], b"").stdout);
    assert!(shown.contains("by schedule, tick 20"), "{shown}");
}

#[test]
fn what_is_missing_is_told_and_on_record() {
    let home = seen();
    settle(&home, "Yearly", now() - LONG_MS);
    let section = "[dispatchers.Yearly]\nrequired_commands = \"no-such-command\"\n";
    let output = run_with(&home, section, ["schedule", "tick"]);
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    assert!(
        said(&output.stderr).contains("no-such-command"),
        "{output:?}"
    );
    assert!(home.ids().is_empty());
    let last = listed(&home, "Yearly")["last"].clone();
    assert_eq!(last["fate"], "refused");
    assert!(
        last["reason"]
            .as_str()
            .is_some_and(|it| it.contains("no-such-command"))
    );
}

/// The job is there at once, so that nothing is lost, and starts within the spread.
#[test]
fn jitter_spreads_the_start() {
    let home = seen();
    let section = "[dispatchers.Yearly]\njitter = \"10d\"\ndelay = \"1d\"\n";
    let mut waits = Vec::new();
    for _ in 0..3 {
        settle(&home, "Yearly", now() - LONG_MS);
        let output = run_with(&home, section, ["schedule", "tick"]);
        assert!(output.status.success(), "{output:?}");
        let id = home.ids().pop().expect("a job");
        assert_eq!(home.stands(&id), (JobState::Queued, 0));
        let shown = home.output(["show", "--json", &id], b"");
        let shown: Value = serde_json::from_slice(&shown.stdout).expect("JSON");
        let delay = shown["options"]["delay"].as_i64().expect("milliseconds");
        assert!((DAY_MS..=11 * DAY_MS).contains(&delay), "{delay}");
        waits.push(delay);
        assert!(home.output(["cancel", &id], b"").status.success());
    }
    waits.dedup();
    assert!(
        waits.len() > 1,
        "three of a billion times the same: {waits:?}"
    );
}

/// After a boot nobody runs what is unfinished until the timer looks.
#[test]
fn a_tick_has_unfinished_jobs_run() {
    let home = seen();
    let words = [
        "notifydispatcher",
        "--detach",
        "Yearly",
        r#"{"gate": "gate"}"#,
    ];
    let id = said(&home.output(words, b"").stdout).trim().to_owned();
    home.wait_running(&id);
    home.end_service();
    home.open_gate("gate");
    assert_eq!(
        home.stands(&id).0,
        JobState::Running,
        "as far as anybody knows"
    );
    assert!(tick(&home).status.success());
    assert_eq!(home.wait(&id).state, JobState::Succeeded);
}

/// What kept the job's supervisor, not what its dispatcher usually says, is its label.
#[test]
fn a_tick_has_a_job_run_whose_label_the_service_does_not_serve() {
    let home = Home::new(FIXTURE);
    let payload = json!({
        "deed": {"wait_for": "gate"},
        "options": {"queue": "nobody's"},
    });
    let id = home.submit("Act", &payload);
    home.wait_running(&id);
    home.end_service();
    home.open_gate("gate");
    let mut service = home.command(["serve", "--queues", "default"]);
    let mut service = service
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let status = || said(&home.output(["status"], b"").stdout);
    eventually("the service is open", PATIENCE, || {
        status().contains("1 open")
    });
    assert!(tick(&home).status.success());
    assert_eq!(home.wait(&id).state, JobState::Succeeded);
    terminate(service.id());
    assert!(service.wait().expect("it is a child").success());
}

#[test]
fn a_changed_schedule_makes_up_for_nothing() {
    let home = seen();
    settle(&home, "Nightly", now() - 300 * DAY_MS);
    // Not within two minutes of now.
    let hour = (now() / HOUR_MS + 12) % 24;
    let section =
        format!("[dispatchers.Nightly]\nschedule = \"0 {hour} * * *\"\ntimezone = \"UTC\"\n");
    let run = |words| run_with(&home, &section, words);
    let output = run(["schedule", "tick", "--json"]);
    assert_eq!(fates(&output, "Nightly"), Vec::<String>::new());
    let listed = said(&run(["schedule", "list", "--json"]).stdout);
    let listed: Value = serde_json::from_str(&listed).expect("JSON");
    let nightly = listed
        .as_array()
        .and_then(|all| all.iter().find(|it| it["name"] == "Nightly"));
    let words = format!("every day at {hour:02}:00");
    assert_eq!(nightly.expect("it has a schedule")["words"], words.as_str());
}

/// And takes it away again; a dispatcher that cannot be made by default has none.
#[test]
fn a_configuration_gives_a_schedule() {
    let home = Home::new(FIXTURE);
    let run = |section: &str| run_with(&home, section, ["schedule", "tick", "--json"]);
    let section = "[dispatchers.OnRequest]\nschedule = \"0 0 1 1 *\"\n";
    assert!(run(section).status.success());
    for (section, expected) in [
        (section, vec!["submitted"]),
        // Taken away, nothing runs; given again, nothing of the past does.
        ("[dispatchers.OnRequest]\nschedule = false\n", vec![]),
        (section, vec![]),
    ] {
        settle(&home, "OnRequest", now() - LONG_MS);
        assert_eq!(fates(&run(section), "OnRequest"), expected);
    }
    assert_eq!(home.wait(&home.ids()[0]).state, JobState::Succeeded);
    let refused = run("[dispatchers.Note]\nschedule = \"daily\"\n");
    assert_eq!(refused.status.code(), Some(78), "{refused:?}");
    let told = said(&refused.stderr);
    let why = "line 2: [dispatchers.Note] schedules Note, which has no default payload";
    assert!(told.contains(why), "{told}");
}

#[test]
fn the_list_says_when_in_words_and_five_times() {
    let home = Home::new(FIXTURE);
    let text = said(&home.output(["schedule", "list"], b"").stdout);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 1 + 3 * 5, "{text}");
    assert!(lines[0].starts_with("NAME     SCHEDULE "), "{text}");
    let monthly = "Monthly  on day 1 of the month at 00:00 (UTC)  none yet   ";
    assert!(lines[1].starts_with(monthly), "{text}");
    let nightly = "Nightly  every day at 02:30 (Europe/Berlin)    none yet   ";
    assert!(lines[6].starts_with(nightly), "{text}");
    for line in &lines[6..11] {
        assert!(
            line.contains(" 02:30 +0") || line.contains(" 03:00 +02:00"),
            "{line}"
        );
    }
    assert!(!home.database().exists(), "a listing makes no state");
    let entry = listed(&home, "Yearly");
    let next = entry["next"].as_array().expect("a list").clone();
    let times: Vec<&str> = next.iter().filter_map(Value::as_str).collect();
    assert_eq!(times.len(), 5);
    assert!(
        times
            .iter()
            .all(|time| time.ends_with("-01-01T00:00:00+00:00")),
        "{times:?}"
    );
    assert!(times.windows(2).all(|pair| pair[0] < pair[1]), "{times:?}");
}

/// A folder with a `crontab` that keeps its text in a file.
fn stand_in(home: &Home) -> String {
    let folder = home.file("bin");
    fs::create_dir(&folder).expect("a folder");
    let path = folder.join("crontab");
    let tab = home.file("tab").display().to_string();
    let script = format!(
        "#!/bin/sh\ncase $1 in\n-l) [ -f {tab} ] || {{ echo no crontab for me >&2; exit 1; }}; cat {tab};;\n-) cat >{tab}.new && mv {tab}.new {tab};;\nesac\n"
    );
    fs::write(&path, script).expect("it can be written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it is ours");
    let others = std::env::var("PATH").unwrap_or_default();
    format!("{}:{others}", folder.display())
}

#[test]
fn an_entry_of_the_crontab_is_written_once_works_and_is_taken_out() {
    let home = seen();
    let path = stand_in(&home);
    let run = |words: &[&str]| {
        let output = home
            .command(words)
            .env("PATH", &path)
            .output()
            .expect("it runs");
        assert!(
            output.status.success(),
            "{words:?}: {}",
            said(&output.stderr)
        );
        said(&output.stdout)
    };
    let others = "MAILTO=\"\"\n# mine\n0 4 * * *\tbackup 100\\%  \n";
    fs::write(home.file("tab"), others).expect("it can be written");
    let printed = run(&["schedule", "install", "--crontab", "--print"]);
    assert_eq!(home.read("tab"), others, "only shown");
    run(&["schedule", "install", "--crontab"]);
    let installed = home.read("tab");
    assert_eq!(installed, format!("{others}{printed}"));
    run(&["schedule", "install", "--crontab"]);
    assert_eq!(home.read("tab"), installed, "once");
    let ours: Vec<&str> = printed.lines().collect();
    let [boot, minutely] = ours[..] else {
        panic!("two lines: {printed}");
    };
    assert!(boot.starts_with("@reboot ") && minutely.starts_with("* * * * * "));
    assert_eq!(
        boot.strip_prefix("@reboot"),
        minutely.strip_prefix("* * * * *")
    );
    assert!(
        minutely.ends_with(" # schedules of fixture, by Dispatcher"),
        "{minutely}"
    );
    // As cron runs it: hardly any environment, and a shell.
    settle(&home, "Yearly", now() - LONG_MS);
    let command = minutely
        .trim_start_matches("* * * * * ")
        .replace("\\%", "%");
    let output = Command::new("/bin/sh")
        .args(["-c", &command])
        .current_dir("/")
        .env_clear()
        .env("HOME", "/nowhere")
        .env("DISPATCHER_TEST_HOME", home.path())
        .output()
        .expect("there is a shell");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(
        (&output.stdout[..], &output.stderr[..]),
        (&b""[..], &b""[..]),
        "no mail"
    );
    assert_eq!(home.wait(&home.ids()[0]).state, JobState::Succeeded);
    let removed = run(&["schedule", "remove"]);
    assert!(
        removed.contains("the entry in the crontab was taken out"),
        "{removed}"
    );
    assert_eq!(home.read("tab"), others, "byte for byte");
    assert!(run(&["schedule", "remove"]).contains("there is no entry of fixture"));
}

#[test]
fn a_named_configuration_goes_into_the_entry() {
    let home = Home::new(FIXTURE);
    let path = stand_in(&home);
    let text = "version = 1\n[store]\nurl = \"sqlite:elsewhere/state.db\"\n";
    fs::write(home.file("my c.toml"), text).expect("it can be written");
    let print = |by: &dyn Fn(&mut Command)| {
        let mut command = home.command(["schedule", "install", "--crontab", "--print"]);
        command
            .env("PATH", &path)
            .env_remove("DISPATCHER_DATABASE_URL");
        by(&mut command);
        let output = command.output().expect("it runs");
        assert!(output.status.success(), "{output:?}");
        said(&output.stdout)
    };
    let file = home.file("my c.toml").display().to_string();
    let wanted = format!("schedule tick --config '{file}' >/dev/null");
    let by_flag = print(&|command| _ = command.args(["--config", "my c.toml"]));
    assert!(by_flag.contains(&wanted), "{by_flag}");
    let by_variable = print(&|command| _ = command.env("DISPATCHER_CONFIG", "my c.toml"));
    assert_eq!(by_variable, by_flag);
    let found = print(&|_| ());
    assert!(
        !found.contains("--config") && !found.contains("DATABASE_URL"),
        "{found}"
    );
    assert!(
        found.contains(&format!("HOME={}", home.path().display())),
        "{found}"
    );
}

#[test]
fn a_unit_of_systemd_is_shown() {
    let home = Home::new(FIXTURE);
    stand_in_of_systemctl(&home.file("bin"));
    let path = format!("{}:/usr/bin:/bin", home.file("bin").display());
    let output = home
        .command(["schedule", "install", "--systemd", "--print"])
        .env("PATH", &path)
        .output()
        .expect("it runs");
    let text = said(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    for part in [
        "/dispatcher-fixture.timer\n",
        "/dispatcher-fixture.service\n",
        "OnCalendar=minutely\n",
        &format!(
            "Environment=\"DISPATCHER_DATABASE_URL=sqlite:{}\"\n",
            home.database().display()
        ),
        &format!("ExecStart=\"{FIXTURE}\" \"schedule\" \"tick\"\n"),
    ] {
        assert!(text.contains(part), "{part:?} in\n{text}");
    }
}

fn stand_in_of_systemctl(folder: &Path) {
    fs::create_dir(folder).expect("a folder");
    let path = folder.join("systemctl");
    fs::write(&path, "#!/bin/sh\nexit 1\n").expect("it can be written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it is ours");
}

#[test]
fn without_a_timer_it_says_what_to_do() {
    let home = Home::new(FIXTURE);
    let output = home
        .command(["schedule", "install", "--crontab"])
        .env("PATH", "/nowhere")
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(78));
    assert_eq!(
        said(&output.stderr),
        "error: no timer of this host can be used\n\
         because: there is no crontab on PATH\n\
         try: install cron, or call `schedule tick` every minute by other means\n"
    );
}
