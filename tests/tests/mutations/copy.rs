//! A copy of the project, with what its dependencies were built to.

use std::fs;
use std::path::Path;

/// What is no source: built, or not the project's.
const LEFT_OUT: [&str; 3] = ["target", ".git", ".ci"];

/// Copies the sources.
pub(crate) fn project(from: &Path, to: &Path) {
    each(from, to, &LEFT_OUT, &|from, to| {
        fs::copy(from, to).expect("a source can be copied");
    });
}

/// Links what stands beside a built program, so that only what was changed is built again.
pub(crate) fn built_dependencies(program: &Path, target: &Path) {
    let profile = program.parent().expect("it lies in a folder");
    for folder in ["deps", "build", ".fingerprint"] {
        let to = target.join("debug").join(folder);
        // Whatever vanishes meanwhile is built again.
        each(&profile.join(folder), &to, &[], &|from, to| {
            let _ = fs::hard_link(from, to).or_else(|_| fs::copy(from, to).map(drop));
        });
    }
}

fn each(from: &Path, to: &Path, left_out: &[&str], file: &dyn Fn(&Path, &Path)) {
    fs::create_dir_all(to).expect("a folder can be made");
    for entry in fs::read_dir(from).expect("a folder can be read").flatten() {
        let name = entry.file_name();
        if left_out.iter().any(|left_out| name == *left_out) {
            continue;
        }
        let (from, to) = (entry.path(), to.join(&name));
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            each(&from, &to, left_out, file);
        } else {
            file(&from, &to);
        }
    }
}
