//! Programs built from nothing, as on a user's machine on the first day.
//!
//! Sources of crates are there already; nothing that was compiled before is used.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::Done;

/// A program, and what it asks for.
pub(crate) struct Program {
    name: &'static str,
    main: &'static str,
    /// Lines of its manifest; `{ours}` is the folder of this workspace.
    dependencies: &'static str,
}

/// What a user writes who wants background jobs.
pub(crate) const MINIMAL: Program = Program {
    name: "minimal",
    main: include_str!("../minimal.rs"),
    dependencies: "dispatcher-core = { path = \"{ours}/dispatcher-core\" }\n\
                   dispatcher-runner = { path = \"{ours}/dispatcher-runner\" }\n\
                   serde = { version = \"1\", features = [\"derive\"] }\n",
};

/// What nobody who keeps jobs in a file can do without.
pub(crate) const SQLITE_ALONE: Program = Program {
    name: "alone",
    main: "fn main() {\n    \
               let file = rusqlite::Connection::open(\"alone.db\").unwrap();\n    \
               file.execute_batch(\"CREATE TABLE jobs (id INTEGER PRIMARY KEY)\").unwrap();\n\
           }\n",
    dependencies: "rusqlite = { version = \"0.41\", default-features = false, features = [\"bundled\"] }\n",
};

/// A program as it was built.
pub(crate) struct Built {
    pub(crate) program: PathBuf,
    /// By the clock on the wall, which knows who else was at work.
    pub(crate) time: Duration,
    /// Of all processors.
    pub(crate) cpu: Duration,
    pub(crate) size: u64,
    /// Without its symbols.
    pub(crate) stripped: u64,
}

/// Builds a program below `folder`, as cargo does with `--release` and nothing else set.
pub(crate) fn cold(program: &Program, folder: &Path) -> Done<Built> {
    let own = folder.join(program.name);
    fs::create_dir_all(own.join("src"))?;
    let ours = dispatcher_tests::workspace();
    for name in ["Cargo.lock", "rust-toolchain.toml"] {
        fs::copy(ours.join(name), own.join(name))?;
    }
    let dependencies = program
        .dependencies
        .replace("{ours}", &ours.to_string_lossy());
    let manifest = format!(
        "[package]\nname = \"{}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n\
         [workspace]\n\n[dependencies]\n{dependencies}",
        program.name
    );
    fs::write(own.join("Cargo.toml"), manifest)?;
    fs::write(own.join("src/main.rs"), program.main)?;
    let (start, cpu) = (Instant::now(), cpu_of_children()?);
    let built = Command::new(dispatcher_tests::cargo())
        .args(["build", "--release", "--offline", "--quiet"])
        .current_dir(&own)
        .env("CARGO_TARGET_DIR", own.join("target"))
        .status()?;
    let (time, cpu) = (start.elapsed(), cpu_of_children()?.saturating_sub(cpu));
    if !built.success() {
        return Err(format!("cargo build of {}: {built}", program.name).into());
    }
    let image = own.join("target/release").join(program.name);
    let bare = own.join("stripped");
    let stripped = Command::new("strip")
        .arg("-o")
        .arg(&bare)
        .arg(&image)
        .status()?;
    if !stripped.success() {
        return Err(format!("strip: {stripped}").into());
    }
    Ok(Built {
        time,
        cpu,
        size: fs::metadata(&image)?.len(),
        stripped: fs::metadata(&bare)?.len(),
        program: image,
    })
}

/// CPU time of everything that was started and waited for, as `proc_pid_stat(5)` has it.
fn cpu_of_children() -> Done<Duration> {
    const TICKS_PER_SECOND: u64 = 100;
    let stat = fs::read_to_string("/proc/self/stat")?;
    let (_, after_name) = stat.rsplit_once(')').ok_or("no name in /proc/self/stat")?;
    // `cutime` and `cstime` are the fields 16 and 17; the state, behind the name, is the third.
    let fields = after_name.split_whitespace().skip(16 - 3).take(2);
    let mut ticks: u64 = 0;
    for field in fields {
        ticks += field.parse::<u64>()?;
    }
    Ok(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
}
