//! One upgrade at a time, a look before the leap, and no half of a version.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::support::{Program, eventually, text};

struct Site {
    program: Program,
    folder: PathBuf,
}

impl Site {
    fn new() -> Self {
        let program = Program::new(env!("CARGO_BIN_EXE_upgrade"));
        let folder = program.folder();
        let site = Self { program, folder };
        site.version(
            "1.0",
            &[("app", "one"), ("readme", "same"), ("old", "gone")],
        );
        site.version(
            "2.0",
            &[("app", "two"), ("readme", "same"), ("new", "here")],
        );
        site
    }

    fn version(&self, version: &str, files: &[(&str, &str)]) {
        let folder = self.folder.join("versions").join(version);
        std::fs::create_dir_all(&folder).expect("a folder");
        for (name, text) in files {
            std::fs::write(folder.join(name), text).expect("it can be written");
        }
    }

    fn run(&self, words: &[&str]) -> (i32, String) {
        let folder = self.folder.to_str().expect("text");
        let all = [&["run", folder], words].concat();
        let output = self.program.run(&all);
        let code = output.status.code().expect("no signal ends it");
        (code, text(output.stdout) + &text(output.stderr))
    }

    fn installed(&self) -> BTreeMap<String, String> {
        files(&self.folder.join("installed"))
    }
}

fn files(folder: &Path) -> BTreeMap<String, String> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return BTreeMap::new();
    };
    let file = |entry: std::io::Result<std::fs::DirEntry>| {
        let entry = entry.expect("it can be read");
        let name = entry.file_name().into_string().expect("text");
        (name, std::fs::read_to_string(entry.path()).expect("text"))
    };
    entries.map(file).collect()
}

#[test]
fn a_dry_run_tells_and_changes_nothing() {
    let site = Site::new();
    assert_eq!(
        site.run(&["1.0", "--dry-run"]),
        (
            0,
            "would add app\nwould add old\nwould add readme\n".to_owned()
        )
    );
    assert!(!site.folder.join("installed").exists());
    assert_eq!(site.run(&["1.0"]).0, 0);
    let before = site.installed();
    assert_eq!(before, files(&site.folder.join("versions/1.0")));
    let (code, told) = site.run(&["2.0", "--dry-run"]);
    assert_eq!(
        (code, told.as_str()),
        (0, "would add new\nwould change app\nwould remove old\n")
    );
    assert_eq!(site.installed(), before);
    let (code, told) = site.run(&["2.0"]);
    assert_eq!(
        (code, told.as_str()),
        (0, "did add new\ndid change app\ndid remove old\n")
    );
    assert_eq!(site.installed(), files(&site.folder.join("versions/2.0")));
    assert!(!site.folder.join("installed.old").exists());
    let (code, told) = site.run(&["3.0"]);
    assert_eq!(code, 1);
    assert!(told.contains("nothing changed: it failed"), "{told}");
    assert!(told.contains("no version 3.0"), "{told}");
}

/// Waiting counts as much as running, and a dry run as much as a real one.
#[test]
fn a_second_one_is_refused_while_the_first_is_unfinished() {
    let site = Site::new();
    site.run(&["1.0"]);
    let before = site.installed();
    let slow = json!({ "folder": site.folder, "version": "2.0", "file_ms": 60_000 });
    let words = ["notifydispatcher", "--detach", "Upgrade", &slow.to_string()];
    let id = site.program.says(&words).trim().to_owned();
    for words in [&["2.0"][..], &["2.0", "--dry-run"]] {
        let (code, told) = site.run(words);
        assert_eq!(code, 69, "{told}");
        assert!(told.contains("another upgrade is under way"), "{told}");
    }
    let refused = site.program.run(&words);
    assert_eq!(refused.status.code(), Some(69), "by hand as well");
    let all = site.program.says(&["jobs", "--ids"]);
    assert_eq!(all.lines().count(), 2, "a refused one leaves nothing");

    // Stopped in the middle of a version, it clears away and nothing has changed.
    let shown = || site.program.json(&["show", &id, "--json"]);
    eventually("its first file", || {
        (!shown()["progress"].is_null()).then_some(())
    });
    site.program.says(&["cancel", &id]);
    let ended = eventually("its end", || {
        let shown = shown();
        (shown["state"] == "cancelled").then_some(shown)
    });
    assert_eq!(ended["attempt"], 1);
    assert_eq!(site.installed(), before);
    assert_eq!(site.run(&["2.0"]).0, 0, "there is room again");
}
