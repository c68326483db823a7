//! `doctor`: checks this machine and the store, and says what to do about each finding.
//!
//! It reads only; the one thing that it may create is what opening the store creates.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, access, accessat};
use serde_json::{Value, json};

use crate::cli::error::{Done, Stop, exit};
use crate::cli::session::Session;
use crate::cli::terminal::Colour;
use crate::process::{NoSubtree, Subtree};

/// The oldest SQLite whose WAL mode is free of known corruption.
const SQLITE_MIN: (i32, &str) = (3_051_003, "3.51.3");

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    subject: &'static str,
    grade: Grade,
    text: String,
    /// Empty when there is nothing to do.
    advice: String,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Grade {
    Ok,
    Warn,
    Fail,
}

impl Grade {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }

    fn colour(self) -> Colour {
        match self {
            Self::Ok => Colour::Good,
            Self::Warn => Colour::Odd,
            Self::Fail => Colour::Bad,
        }
    }
}

pub(super) fn doctor(session: &mut Session<'_, '_>) -> Done {
    let findings = examine(session);
    if session.json() {
        let listed = findings.iter().map(|it| {
            json!({
                "subject": it.subject,
                "grade": it.grade.word(),
                "text": it.text,
                "advice": it.advice,
            })
        });
        let listed = Value::Array(listed.collect());
        session.terminal().json(&listed)?;
    } else {
        for it in &findings {
            let terminal = session.terminal();
            let grade = format!("{:<4}", it.grade.word());
            let grade = terminal.colours().paint(it.grade.colour(), &grade);
            terminal.line(&format!("{grade} {}: {}", it.subject, it.text))?;
            if !it.advice.is_empty() {
                terminal.line(&format!("     {}", it.advice))?;
            }
        }
    }
    let failed = findings.iter().any(|it| it.grade == Grade::Fail);
    Ok(if failed { exit::NEGATIVE } else { 0 })
}

fn examine(session: &mut Session<'_, '_>) -> Vec<Finding> {
    let mut findings = vec![store(session)];
    let directory = session.location.directory().to_owned();
    let file = session.location.file().to_owned();
    findings.push(file_system(&directory));
    findings.push(permissions(&directory, &file));
    if session.location.target().is_none() {
        findings.push(sqlite());
        findings.push(journal(&file));
    }
    findings.push(cgroup(Subtree::foresee()));
    findings.push(children());
    findings.push(zones());
    findings.push(build(session));
    findings.push(systemd(session));
    findings
}

fn store(session: &mut Session<'_, '_>) -> Finding {
    let location = session.location.to_string();
    match session.open_store() {
        Ok(_) => ok("state", location),
        Err(Stop::Failed(error)) => fail(
            "state",
            format!("{}: {}", error.what, error.why),
            &error.todo,
        ),
        Err(Stop::Pipe) => fail("state", location, "try again"),
    }
}

/// The nearest existing folder above a path that may not exist yet.
fn existing(path: &Path) -> &Path {
    path.ancestors()
        .find(|path| path.exists())
        .unwrap_or(Path::new("/"))
}

fn file_system(directory: &Path) -> Finding {
    let subject = "file system";
    let facts = match rustix::fs::statfs(existing(directory)) {
        Ok(facts) => facts,
        Err(error) => return warn(subject, error.to_string(), "check the state folder's path"),
    };
    // Magic numbers of statfs(2), as far as they matter here.
    let magic = widened(facts.f_type) & 0xffff_ffff;
    let (name, local) = match magic {
        0xef53 => ("ext4", true),
        0x5846_5342 => ("xfs", true),
        0x9123_683e => ("btrfs", true),
        0x2fc1_2fc1 => ("zfs", true),
        0xf2f5_2010 => ("f2fs", true),
        0x794c_7630 => ("overlay", true),
        0x0102_1994 => {
            let text = "tmpfs: jobs are lost at a reboot";
            return warn(
                subject,
                text,
                "put the state on a disk, unless that is meant",
            );
        }
        0x6969 => ("nfs", false),
        0x517b | 0xff53_4d42 | 0xfe53_4d42 => ("smb", false),
        0x0102_1997 => ("9p", false),
        0x00c3_6400 => ("ceph", false),
        0x6573_5546 => {
            let text = "fuse: whether locks hold depends on its server";
            return warn(subject, text, "put the state on a local disk");
        }
        _ => return ok(subject, format!("type {magic:#x}")),
    };
    if local {
        ok(subject, name)
    } else {
        fail(
            subject,
            format!("{name}: SQLite's locks do not hold over a network"),
            "put the state on a local disk with DISPATCHER_DATABASE_URL=sqlite:/path/state.db",
        )
    }
}

/// The type of this number differs between architectures.
fn widened(number: impl Into<i64>) -> i64 {
    number.into()
}

fn permissions(directory: &Path, file: &Path) -> Finding {
    let subject = "permissions";
    let Ok(metadata) = fs::metadata(directory) else {
        let base = existing(directory);
        return match access(base, Access::WRITE_OK) {
            Ok(()) => ok(
                subject,
                "the state folder does not exist yet and can be made",
            ),
            Err(error) => fail(
                subject,
                format!("{} cannot be written: {error}", base.display()),
                "change its owner, or name another place with DISPATCHER_DATABASE_URL",
            ),
        };
    };
    let writable = |path: &Path| {
        !path.exists() || accessat(CWD, path, Access::WRITE_OK, AtFlags::EACCESS).is_ok()
    };
    let mode = metadata.permissions().mode() & 0o777;
    let own = rustix::process::geteuid().as_raw();
    if !writable(directory) || !writable(file) {
        let text = format!(
            "{} or its folder cannot be written by user {own}",
            file.display()
        );
        return fail(subject, text, "change the owner of both");
    }
    if mode & 0o077 != 0 {
        let text = format!("the state folder has mode {mode:04o}: others may see payloads");
        let advice = format!("chmod 0700 {}", directory.display());
        return warn(subject, text, &advice);
    }
    if metadata.uid() != own {
        let text = format!(
            "the state folder belongs to user {}, not to {own}",
            metadata.uid()
        );
        return warn(
            subject,
            text,
            "run as that user, or jobs of both will mix owners",
        );
    }
    ok(subject, format!("the state folder has mode {mode:04o}"))
}

fn sqlite() -> Finding {
    let version = rusqlite::version();
    if rusqlite::version_number() >= SQLITE_MIN.0 {
        ok("SQLite", version)
    } else {
        let text = format!("{version} is older than {}", SQLITE_MIN.1);
        fail(
            "SQLite",
            text,
            "build with the feature `bundled`, or update the system's SQLite",
        )
    }
}

/// Reads the journal mode from the header of the file: 2 is WAL.
/// Source: <https://www.sqlite.org/fileformat.html#the_database_header>.
fn journal(file: &Path) -> Finding {
    let subject = "journal";
    let mut header = [0; 20];
    match fs::File::open(file).and_then(|mut file| file.read_exact(&mut header)) {
        Err(error) => warn(
            subject,
            format!("not readable: {error}"),
            "it is made with the first job",
        ),
        Ok(()) if !header.starts_with(b"SQLite format 3\0") => fail(
            subject,
            format!("{} is no state file", file.display()),
            "move it away, or name another file",
        ),
        Ok(()) if header[18..20] == [2, 2] => ok(subject, "WAL"),
        Ok(()) => warn(
            subject,
            "not in WAL mode",
            "any command that opens the state changes that",
        ),
    }
}

/// What a supervisor that is started from here would find.
fn cgroup(subtree: Result<PathBuf, NoSubtree>) -> Finding {
    let subject = "cgroup";
    let advice = match &subtree {
        Ok(base) => {
            let text = format!("v2, delegated: {}; memory_limit is exact", base.display());
            return ok(subject, text);
        }
        Err(NoSubtree::NoV2 | NoSubtree::NoController { .. }) => {
            "memory_limit works by sampling; mount cgroup v2 with its memory controller for more"
        }
        Err(NoSubtree::NotDelegated { .. } | NoSubtree::Refused { .. }) => {
            "memory_limit works by sampling; in a systemd unit with Delegate=yes it is exact"
        }
        Err(NoSubtree::Shared { .. }) => {
            "memory_limit works by sampling; it is exact for a supervisor in a unit of its own"
        }
    };
    let text = subtree.map_or_else(|error| crate::log::chain(&error), |_| String::new());
    warn(subject, text, advice)
}

fn children() -> Finding {
    if Path::new("/proc/thread-self/children").exists() {
        ok("/proc", "lists children of a process")
    } else {
        warn(
            "/proc",
            "does not list children (CONFIG_PROC_CHILDREN)",
            "strays of jobs are found by their tag alone, more slowly; mount /proc if it is missing",
        )
    }
}

fn zones() -> Finding {
    match jiff::tz::TimeZone::get("Europe/Berlin") {
        Ok(_) => ok("time zones", "the database is there"),
        Err(error) => warn(
            "time zones",
            format!("no database: {error}"),
            "install tzdata; schedules in zones other than UTC need it",
        ),
    }
}

fn build(session: &Session<'_, '_>) -> Finding {
    match &session.environment.build {
        Some(build) => ok("build", build.id.as_str()),
        None => warn("build", "unknown", "is /proc mounted?"),
    }
}

fn systemd(session: &Session<'_, '_>) -> Finding {
    let subject = "systemd";
    if session
        .environment
        .surroundings
        .variable("INVOCATION_ID")
        .is_none()
    {
        return ok(subject, "not inside a unit");
    }
    let group = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    if group.trim_end().ends_with(".service") {
        warn(
            subject,
            "inside a service: stopping it kills supervisors that this program started",
            "run `systemd-run --scope`, or set KillMode=process; the jobs run again otherwise",
        )
    } else {
        ok(subject, "inside a unit that is no service")
    }
}

fn ok(subject: &'static str, text: impl Into<String>) -> Finding {
    finding(subject, Grade::Ok, text, "")
}

fn warn(subject: &'static str, text: impl Into<String>, advice: &str) -> Finding {
    finding(subject, Grade::Warn, text, advice)
}

fn fail(subject: &'static str, text: impl Into<String>, advice: &str) -> Finding {
    finding(subject, Grade::Fail, text, advice)
}

fn finding(subject: &'static str, grade: Grade, text: impl Into<String>, advice: &str) -> Finding {
    Finding {
        subject,
        grade,
        text: text.into(),
        advice: advice.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_journal_mode_is_read_from_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state.db");
        assert_eq!(journal(&file).grade, Grade::Warn);
        fs::write(&file, "this is no database at all").unwrap();
        assert_eq!(journal(&file).grade, Grade::Fail);
        let mut header = b"SQLite format 3\0\x10\x00\x02\x02".to_vec();
        fs::write(&file, &header).unwrap();
        assert_eq!(journal(&file), ok("journal", "WAL"));
        header[18] = 1;
        fs::write(&file, &header).unwrap();
        assert_eq!(journal(&file).grade, Grade::Warn);
    }

    #[test]
    fn what_a_supervisor_would_find_is_told() {
        let group = PathBuf::from("/sys/fs/cgroup/a");
        let found = cgroup(Ok(group.clone()));
        assert_eq!(found.grade, Grade::Ok);
        assert_eq!(
            found.text,
            "v2, delegated: /sys/fs/cgroup/a; memory_limit is exact"
        );
        for (why, text) in [
            (NoSubtree::NoV2, "there is no cgroup v2"),
            (
                NoSubtree::Shared { group },
                "other processes live in the control group /sys/fs/cgroup/a",
            ),
        ] {
            let found = cgroup(Err(why));
            assert_eq!((found.grade, found.text.as_str()), (Grade::Warn, text));
            assert!(found.advice.starts_with("memory_limit works by sampling;"));
        }
    }

    #[test]
    fn an_open_folder_is_warned_about() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state.db");
        let mode = |mode| fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode));
        mode(0o755).unwrap();
        assert_eq!(permissions(folder.path(), &file).grade, Grade::Warn);
        mode(0o700).unwrap();
        assert_eq!(permissions(folder.path(), &file).grade, Grade::Ok);
    }
}
