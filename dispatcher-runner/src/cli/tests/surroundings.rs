//! The generic binary, help, and what the configuration does to commands.

use std::error::Error;

use super::*;

#[test]
fn the_generic_binary_says_how_to_name_an_application() {
    let mut program = program();
    program.submit("CliIdle");
    program.registry = Registry::default();
    assert_eq!(program.run("status").code, 0);
    assert!(program.run("list").out.contains("CliIdle"));
    assert_eq!(program.run("pause CliIdle").code, 0);
    let ran = program.run("notifydispatcher CliIdle");
    assert_eq!(ran.code, 64);
    assert!(
        ran.err
            .contains("try: name the application with --app ./myapp"),
        "{}",
        ran.err
    );
    let ran = program.run("--app /nowhere/app list");
    assert_eq!(ran.code, 78);
    assert!(
        ran.err
            .starts_with("error: cannot run the application /nowhere/app\n"),
        "{}",
        ran.err
    );
}

#[test]
fn an_application_refuses_app() {
    let ran = program().run("list --app ./x");
    assert_eq!(ran.code, 64);
    assert!(
        ran.err
            .starts_with("error: --app is for the generic dispatcher-runner\n"),
        "{}",
        ran.err
    );
}

#[test]
fn help_version_and_completions_need_no_store() {
    let mut program = program();
    program.host.broken = true;
    program.variables = vec![("DISPATCHER_DATABASE_URL".into(), "nonsense".into())];
    assert!(
        program
            .run("--help")
            .out
            .starts_with("Usage: app <command>")
    );
    assert!(
        program
            .run("show --help")
            .out
            .contains("Usage: app show <id> [options]")
    );
    let version = program.run("--version").out;
    assert!(
        version.starts_with("app (dispatcher-runner 0."),
        "{version}"
    );
    assert!(
        version.contains("commit ") && version.ends_with("sources: heavy 20, ticker 10\n"),
        "{version}"
    );
    program.variables.clear();
    let ran = program.run("completions bash");
    assert!(
        ran.out.starts_with("# bash completion of 'app'"),
        "{}",
        ran.out
    );
    assert_eq!(program.run("completions tcsh").code, 64);
    let ran = program.run("");
    assert_eq!((ran.code, ran.out.as_str()), (64, ""));
    assert!(ran.err.starts_with("Usage: "));
}

#[test]
fn configuration_problems_come_all_at_once() {
    let mut program = program();
    let file = program.folder.path().join("c.toml");
    std::fs::write(
        &file,
        "version = 1\n[app]\nnmae = 1\n[dispatchers.CliLogin]\nretrys = 1\n",
    )
    .unwrap();
    let ran = program.run(&format!("status --config {}", file.display()));
    assert_eq!(ran.code, 78);
    let expected = format!(
        "error: {} has 2 problems\n\
         because: line 3: unknown key `nmae` in [app]; did you mean `name`?\n         \
         line 5: unknown option `retrys`; did you mean `retries`?\n\
         try: correct these lines\n",
        file.display()
    );
    assert_eq!(ran.err, expected);
    std::fs::write(
        &file,
        "version = 1\n[aliases]\nx = \"CliLogni\"\n[dispatchers.CliLogni]\nretries = 1\n\
         [dispatchers.CliIdle]\njitter = 1\n[dispatchers.CliLogin]\nschedule = \"daily\"\n",
    )
    .unwrap();
    let ran = program.run(&format!("status --config {}", file.display()));
    for part in [
        "has 4 problems",
        "line 3: the alias `x` leads to `CliLogni`",
        "line 4: [dispatchers.CliLogni] names no dispatcher of this program; did you mean [dispatchers.CliLogin]?",
        "line 6: [dispatchers.CliIdle] sets `jitter`, but CliIdle has no schedule; set `schedule` as well",
        "line 8: [dispatchers.CliLogin] schedules CliLogin, which has no default payload",
    ] {
        assert!(ran.err.contains(part), "{part:?} in\n{}", ran.err);
    }
}

#[test]
fn configured_options_and_aliases_count() {
    let mut program = program();
    let file = program.folder.path().join("c.toml");
    std::fs::write(
        &file,
        "version = 1\n[aliases]\n\"idle now\" = \"CliIdle\"\n[dispatchers.CliIdle]\nretries = 9\n",
    )
    .unwrap();
    program.variables = vec![("DISPATCHER_CONFIG".into(), file.display().to_string())];
    let ran = program.run_words(&["notifydispatcher", "-d", "idle now"]);
    let id: JobId = ran.out.trim().parse().unwrap();
    let record = program.host.store.job(id).unwrap().unwrap();
    assert_eq!(record.options.retries, 9);
    assert!(
        program
            .run("list CliIdle")
            .out
            .contains("aliases    idle now")
    );
}

#[test]
fn an_application_has_no_benchmark_and_says_who_has() {
    let mut program = program();
    for line in ["bench", "bench --help", "bench --rows 1"] {
        let ran = program.run(line);
        assert_eq!((ran.code, ran.out.as_str()), (64, ""), "{line}");
        let expected = "error: `bench` is a command of the generic dispatcher-runner\n\
            because: it concerns Dispatcher itself, and app is an application of it\n\
            try: `dispatcher-runner bench`; it is built from the package dispatcher-runner\n";
        assert_eq!(ran.err, expected, "{line}");
    }
    assert!(!program.run("--help").out.contains("bench"));
    assert!(!program.run("completions bash").out.contains("bench"));
}

#[test]
fn the_benchmark_is_told_what_to_measure() {
    fn tell(options: &BenchOptions, out: &mut dyn io::Write) -> Result<(), Box<dyn Error>> {
        Ok(write!(out, "{options:?}")?)
    }
    let mut program = program();
    program.bench = Some(tell);
    program.registry = Registry::default();
    // Its own paths count even where the configuration is broken.
    std::fs::write(program.folder.path().join("dispatcher.toml"), "nonsense").unwrap();
    let ran = program.run("bench --rows 7 --workers 3 --directory /d --json");
    assert_eq!(ran.code, 0, "{ran:?}");
    let expected = "BenchOptions { subject: Jobs, rows: 7, jobs: 20000, workers: Some(3), \
        directory: \"/d\", form: Json }";
    assert_eq!(ran.out, expected);
    program.variables = vec![("TMPDIR".into(), "/t".into())];
    let told = program.run("bench").out;
    assert!(told.contains("directory: \"/t\", form: Table"), "{told}");
    #[cfg(feature = "http")]
    assert!(program.run("bench http").out.contains("subject: Http"));
    let ran = program.run("bench everything");
    assert_eq!(ran.code, 64, "{ran:?}");
    let because = "bench cannot measure `everything`\nbecause: it measures jobs or http\n";
    assert!(ran.err.contains(because), "{ran:?}");
    assert!(program.run("completions bash").err.starts_with("error: "));
}
