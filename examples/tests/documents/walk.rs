//! Does what a document tells its reader to do, in a folder outside the workspace.
//!
//! Three things differ from a reader's machine, to save time and to leave nothing behind: the new
//! crate's `target` is the workspace's, its `Cargo.lock` begins as a copy of the workspace's, and
//! its state lies in a folder of the test. Paths, files and commands are those of the document, to
//! the letter. The folder has the same path each time: cargo would build everything anew in another.
//!
//! * A code block in `rust` or `toml` follows a line that ends in a colon and names its file in
//!   backticks; the file is written whole, or added to where that line begins with `Add`.
//!   A manifest replaces the empty `[dependencies]` of a new crate.
//! * A `console` block holds commands after `$`, each with what it prints, a pipe's way: both
//!   streams, spaces counted as one; `…` stands for anything within a line, and for any lines when
//!   alone on one. A command that prints `error:` must fail, every other must succeed.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// One thing to do.
#[derive(Debug, PartialEq)]
enum Step {
    Write {
        path: String,
        text: String,
    },
    Add {
        path: String,
        text: String,
    },
    Run {
        command: String,
        prints: Vec<String>,
    },
}

/// Walks through a document, or through the part of it that is given, which makes this new crate.
pub(crate) fn walk(new: &str, document: &str) {
    let steps = steps(document);
    assert!(!steps.is_empty(), "nothing to do");
    let folder = tempfile::tempdir().expect("a folder for the state");
    let script = folder.path().join("walk.sh");
    let workspace = workspace();
    let home = home(&workspace);
    // One walk at a time, whoever runs these tests.
    let lock = fs::File::create(home.join(format!("{new}.lock"))).expect("a new file");
    lock.lock().expect("a lock");
    let _ = fs::remove_dir_all(home.join(new));
    fs::write(&script, shell(&steps, &folder)).expect("a new file");
    let output = Command::new("bash")
        .arg(&script)
        .current_dir(&home)
        .envs([
            ("XDG_STATE_HOME", folder.path().join("state")),
            ("XDG_CONFIG_HOME", folder.path().join("config")),
            ("TMPDIR", folder.path().to_owned()),
            ("WORKSPACE", workspace),
            ("TARGET", target()),
        ])
        .env("CARGO_NET_OFFLINE", "true")
        .env("CARGO_TERM_COLOR", "never")
        .env_remove("CARGO_TARGET_DIR")
        .env_remove("DISPATCHER_DATABASE_URL")
        .env_remove("DISPATCHER_CONFIG")
        .env_remove("RUST_BACKTRACE")
        .stdin(Stdio::null())
        .output()
        .expect("bash can be started");
    let _ = fs::remove_dir_all(home.join(new));
    let said = String::from_utf8(output.stdout).expect("text");
    let trouble = String::from_utf8_lossy(&output.stderr).into_owned();
    compare(&steps, &said, &trouble);
}

/// Where a reader would have a copy of the repository: outside of it, and always the same.
fn home(workspace: &Path) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    workspace.hash(&mut hasher);
    let name = format!("dispatcher-walks-{:x}", hasher.finish());
    let home = std::env::temp_dir().join(name);
    // Both may be there already, made by the walk before or beside this one.
    let _ = fs::DirBuilder::new().mode(0o700).create(&home);
    let _ = symlink(workspace, home.join("dispatcher"));
    let link = fs::read_link(home.join("dispatcher"));
    assert_eq!(
        link.ok().as_deref(),
        Some(workspace),
        "{home:?} is not ours"
    );
    home
}

fn workspace() -> PathBuf {
    let above = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    above.expect("this package lies in it").to_owned()
}

fn target() -> PathBuf {
    let above = Path::new(env!("CARGO_TARGET_TMPDIR")).parent();
    above.expect("cargo makes it there").to_owned()
}

/// What stands between two commands' outputs.
const MARK: &str = "@@@ exit code";

/// One script, so that variables and the working directory last from one command to the next.
fn shell(steps: &[Step], folder: &TempDir) -> String {
    let mut script = "exec 2>&1\n".to_owned();
    for (number, step) in steps.iter().enumerate() {
        let text = folder.path().join(format!("text-{number}"));
        let kept = text.display();
        match step {
            Step::Write { path, text: new } if path.ends_with("Cargo.toml") => {
                fs::write(&text, new).expect("a new file");
                script.push_str(&format!(
                    "[ \"$(tail -n 1 {path})\" = '[dependencies]' ] || exit 97\n\
                     sed -i '$d' {path} && cat {kept} >> {path}\n"
                ));
            }
            Step::Write { path, text: new } => {
                fs::write(&text, new).expect("a new file");
                script.push_str(&format!("mkdir -p $(dirname {path}) && cp {kept} {path}\n"));
            }
            Step::Add { path, text: new } => {
                fs::write(&text, format!("\n{new}")).expect("a new file");
                script.push_str(&format!("[ -f {path} ] && cat {kept} >> {path}\n"));
            }
            Step::Run { command, .. } => {
                script.push_str(&format!("{command}\n"));
                // The next command may ask for `$?`.
                script.push_str(&format!("code=$?; echo; echo {MARK} $code; (exit $code)\n"));
                if let Some(new) = command.strip_prefix("cargo new -q ") {
                    let name = new.split_whitespace().next().unwrap_or_default();
                    let own = workspace().join(format!("examples/src/bin/{name}.rs"));
                    assert!(!own.exists(), "its build would replace the example {name}");
                    script.push_str("ln -s $TARGET target; cp $WORKSPACE/Cargo.lock .\n");
                }
            }
        }
    }
    script
}

fn compare(steps: &[Step], said: &str, trouble: &str) {
    let mut rest = said;
    let mut wrong = Vec::new();
    for step in steps {
        let Step::Run { command, prints } = step else {
            continue;
        };
        let (printed, after) = rest
            .split_once(&format!("\n{MARK} "))
            .unwrap_or_else(|| panic!("the walk broke off at `{command}`:\n{rest}\n{trouble}"));
        let (code, after) = after.split_once('\n').unwrap_or((after, ""));
        rest = after;
        let refused = prints.iter().any(|line| line.starts_with("error:"));
        let printed: Vec<_> = printed.trim_end().lines().map(squeezed).collect();
        let expected: Vec<_> = prints.iter().map(|line| squeezed(line)).collect();
        if (code != "0") != refused || !fits(&expected, &printed) {
            let (printed, expected) = (printed.join("\n"), expected.join("\n"));
            wrong.push(format!(
                "$ {command}\n{printed}\n(exit code {code}); the document says\n{expected}\n"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}\n{trouble}", wrong.join("\n"));
}

/// Runs of spaces as one, none at the end.
fn squeezed(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether lines are as expected; a lone `…` stands for any number of them.
fn fits(expected: &[String], printed: &[String]) -> bool {
    match (expected, printed) {
        ([], []) => true,
        ([any, rest @ ..], _) if any == "…" => {
            (0..=printed.len()).any(|skipped| fits(rest, &printed[skipped..]))
        }
        ([one, rest @ ..], [line, lines @ ..]) => line_fits(one, line) && fits(rest, lines),
        ([], [..]) | ([..], []) => false,
    }
}

fn line_fits(expected: &str, line: &str) -> bool {
    let Some((first, rest)) = expected.split_once('…') else {
        return expected == line;
    };
    let Some(mut line) = line.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<_> = rest.split('…').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        match line.split_once(part) {
            Some((_, after)) => line = after,
            None => return false,
        }
    }
    line.ends_with(last)
}

fn steps(document: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut before = "";
    let mut lines = document.lines();
    while let Some(line) = lines.next() {
        let Some(language) = line.strip_prefix("```") else {
            if !line.trim().is_empty() && !line.starts_with("<!--") {
                before = line;
            }
            continue;
        };
        let block: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
        match language.split(',').next() {
            Some("console") => steps.extend(commands(&block)),
            Some("rust" | "toml") => steps.push(file(before, &block)),
            other => panic!("a block of {other:?} after {before:?} cannot be run"),
        }
    }
    steps
}

fn file(before: &str, block: &[&str]) -> Step {
    let named = before.strip_suffix(':').and_then(|line| {
        let quoted = line.split('`').skip(1).step_by(2);
        quoted
            .filter(|name| name.contains('.'))
            .last()
            .map(str::to_owned)
    });
    let path = named.unwrap_or_else(|| panic!("{before:?} names no file for the block after it"));
    let text = block.join("\n") + "\n";
    if before.starts_with("Add") {
        Step::Add { path, text }
    } else {
        Step::Write { path, text }
    }
}

fn commands(block: &[&str]) -> Vec<Step> {
    let mut steps = Vec::new();
    for line in block {
        match (line.strip_prefix("$ "), steps.last_mut()) {
            (Some(command), _) => steps.push(Step::Run {
                command: command.to_owned(),
                prints: Vec::new(),
            }),
            (None, Some(Step::Run { prints, .. })) => prints.push((*line).to_owned()),
            (None, _) => panic!("{line:?} is printed before any command"),
        }
    }
    steps
}

#[test]
fn a_document_is_read_as_its_reader_would() {
    let document = "Text.\n\nIn `Cargo.toml`, in place of nothing:\n\n```toml\n[a]\n```\n\n\
                    Add to `src/lib.rs`:\n```rust,no_run\nstruct A;\n```\n\
                    ```console\n$ a b\nout\n$ c\n```\n";
    let run = |command: &str, prints: &[&str]| Step::Run {
        command: command.to_owned(),
        prints: prints.iter().map(|line| (*line).to_owned()).collect(),
    };
    assert_eq!(
        steps(document),
        [
            Step::Write {
                path: "Cargo.toml".to_owned(),
                text: "[a]\n".to_owned()
            },
            Step::Add {
                path: "src/lib.rs".to_owned(),
                text: "struct A;\n".to_owned()
            },
            run("a b", &["out"]),
            run("c", &[]),
        ]
    );
}

#[test]
fn output_is_compared_but_for_what_is_left_open() {
    let lines = |text: &str| text.lines().map(squeezed).collect::<Vec<_>>();
    for (expected, printed, fit) in [
        ("a  b", "a b", true),
        ("a … c", "a b d c", true),
        ("a … c", "a b", false),
        ("…x", "abx", true),
        ("a…", "b", false),
        ("a\n…\nz", "a\nb\nc\nz", true),
        ("a\n…\nz", "a\nz", true),
        ("a\n…", "a\nb", true),
        ("a", "a\nb", false),
        ("", "a", false),
    ] {
        assert_eq!(
            fits(&lines(expected), &lines(printed)),
            fit,
            "{expected:?} {printed:?}"
        );
    }
}
