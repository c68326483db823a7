//! A service that takes in the files of a folder: each becomes one job, whatever happens to it.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::support::{Program, eventually};

struct Service {
    child: Child,
}

/// Killed with the test.
impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn serve(program: &Program, inbox: &Path) -> Service {
    let config = inbox.with_file_name("dispatcher.toml");
    let text = format!(
        "version = 1\n[sources.watcher]\ndirectory = {inbox:?}\ndispatcher = \"Letter\"\n\
         interval = \"10ms\"\n"
    );
    fs::write(&config, text).expect("a new file");
    let log = fs::File::create(config.with_file_name("service.log")).expect("a new file");
    let child = program
        .command(&["serve", "--config", config.to_str().expect("UTF-8")])
        .stdin(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("the example can be started");
    Service { child }
}

fn put(inbox: &Path, name: &str, text: &str) {
    let hidden = inbox.join(format!(".{name}"));
    fs::write(&hidden, text).expect("a new file");
    fs::rename(hidden, inbox.join(name)).expect("a new name");
}

/// Outputs of the jobs that have ended, in the order of their files' names.
fn read(program: &Program) -> Vec<String> {
    let jobs = program.json(&["jobs", "--json", "--limit", "100"]);
    let jobs = jobs.as_array().or_else(|| jobs["jobs"].as_array());
    let jobs = jobs.expect("a list").iter();
    let mut read: Vec<String> = jobs
        .filter(|job| job["state"] == "succeeded")
        .map(|job| {
            let id = job["id"].as_str().expect("an id");
            let shown: Value = program.json(&["show", id, "--json"]);
            assert_eq!(shown["origin"], "source watcher", "{shown}");
            program.says(&["output", id]).trim().to_owned()
        })
        .collect();
    read.sort_unstable();
    read
}

fn files(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).expect("a folder").flatten();
    entries.filter(|entry| entry.path().is_file()).count()
}

#[test]
fn each_file_becomes_one_job_also_beyond_a_kill_of_the_service() {
    let program = Program::new(env!("CARGO_BIN_EXE_letters"));
    let inbox = program.folder().join("inbox");
    fs::create_dir(&inbox).expect("a new folder");
    put(&inbox, "a", "first");
    fs::write(inbox.join(".half"), "not yet whole").expect("a new file");
    let service = serve(&program, &inbox);
    eventually("the file that was there", || {
        (read(&program) == ["\"first\""]).then_some(())
    });
    put(&inbox, "b", "second");
    eventually("one more", || (read(&program).len() > 1).then_some(()));
    assert_eq!(
        read(&program),
        ["\"first\"", "\"second\""],
        "and no job twice"
    );
    put(&inbox, "c", "third");
    // Killed, whatever it was about to do.
    drop(service);
    put(&inbox, "a", "fourth, of an old name");
    let mut service = serve(&program, &inbox);
    eventually("all files", || {
        // Killed between storing a job and forgetting its file, it may have sent one again.
        let mut read = read(&program);
        read.dedup();
        let all = [
            "\"first\"",
            "\"fourth, of an old name\"",
            "\"second\"",
            "\"third\"",
        ];
        (read == all).then_some(())
    });
    assert_eq!(files(&inbox), 1, "only what is not whole is left");
    assert_eq!(files(&inbox.join("taken")), 4);
    let pid = service.child.id().to_string();
    let told = Command::new("kill").args(["-TERM", &pid]).status();
    assert!(told.expect("kill can be started").success());
    let ended = eventually("the end of the service", || {
        service.child.try_wait().expect("it is a child of the test")
    });
    assert!(ended.success(), "{ended}");
    let log = fs::read_to_string(inbox.with_file_name("service.log")).expect("a log");
    assert!(log.contains("source is on source=watcher"), "{log}");
}

#[test]
fn the_service_of_another_program_says_that_it_has_no_such_source() {
    let program = Program::new(env!("CARGO_BIN_EXE_letters"));
    let config = program.folder().join("dispatcher.toml");
    for (text, said) in [
        ("[sources.watchr]", "did you mean [sources.watcher]?"),
        (
            "[sources.watcher]\ndirectory = \"/\"\ndispatcher = \"Lettr\"\ninterval = \"1s\"",
            "no dispatcher is called `Lettr`",
        ),
        (
            "[sources.watcher]\ndirectory = \"/\"\ndispatcher = \"Letter\"\ninterval = \"soon\"",
            "line 5: `interval` of [sources.watcher]",
        ),
    ] {
        fs::write(&config, format!("version = 1\n{text}\n")).expect("a new file");
        let path = config.to_str().expect("UTF-8");
        let refused = program.run(&["serve", "--config", path]);
        assert_eq!(refused.status.code(), Some(78), "{refused:?}");
        let trouble = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(trouble.contains(said), "{trouble}");
    }
}
