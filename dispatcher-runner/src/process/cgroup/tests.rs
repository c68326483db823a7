//! The reader on recorded files, the rules on a tree of plain files, and groups for real where
//! cgroup v2 can be changed.
//!
//! `memory.events.killed` and `memory.peak` were recorded on Linux 6.1; the others are written by
//! the formats that `cgroup-v2.rst`, `cgroups(7)` and `proc_pid_mountinfo(5)` describe.

use super::*;

fn recorded(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/process/cgroup/recorded");
    fs::read_to_string(folder.join(name)).unwrap()
}

fn tag() -> Tag {
    Tag {
        job: dispatcher_core::JobId::from_bytes([7; 10]),
        attempt: 3,
    }
}

#[test]
fn the_place_of_a_process_is_found_in_recorded_files() {
    for (groups, mounts, expected) in [
        (
            "cgroup.unified",
            "mountinfo.unified",
            Some(("/sys/fs/cgroup", "/sys/fs/cgroup/system.slice/web.service")),
        ),
        (
            "cgroup.hybrid",
            "mountinfo.hybrid",
            Some((
                "/sys/fs/cgroup/unified",
                "/sys/fs/cgroup/unified/user.slice/user-1000.slice/session-2.scope",
            )),
        ),
        ("cgroup.legacy", "mountinfo.legacy", None),
        ("cgroup.unified", "mountinfo.legacy", None),
        // Its own group lies outside of what is mounted there.
        ("cgroup.unified", "mountinfo.container", None),
    ] {
        let expected = expected.map(|(mount, own)| (mount.into(), own.into()));
        let found = place(&recorded(groups), &recorded(mounts));
        assert_eq!(found, expected, "{groups} {mounts}");
    }
}

#[test]
fn roots_of_mounts_and_odd_names_are_understood() {
    let mounts = recorded("mountinfo.container");
    let below = |own: &str| place(&format!("0::{own}\n"), &mounts);
    assert_eq!(
        below("/system.slice/docker-3f2a.scope/x"),
        Some(("/sys/fs/cgroup".into(), "/sys/fs/cgroup/x".into()))
    );
    assert_eq!(
        below("/system.slice/docker-3f2a.scope/a b/c (deleted)"),
        Some(("/srv/a \\ b".into(), "/srv/a \\ b/c".into()))
    );
    assert_eq!(
        below("/system.slice/docker-3f2a.scope"),
        Some(("/sys/fs/cgroup".into(), "/sys/fs/cgroup".into()))
    );
    assert_eq!(below("/../other"), None);
    for (groups, mounts) in [("", ""), ("0::", "1 2"), ("0::/", " - cgroup2"), ("x", "-")] {
        assert_eq!(place(groups, mounts), None, "{groups:?} {mounts:?}");
    }
}

#[test]
fn events_and_peaks_are_read_from_recorded_files() {
    let folder = tempfile::tempdir().unwrap();
    let group = |events: &str, peak: Option<&str>| {
        let group = Group {
            directory: folder.path().to_owned(),
            _lock: File::open(folder.path()).unwrap(),
        };
        fs::write(folder.path().join("memory.events"), recorded(events)).unwrap();
        let _ = fs::remove_file(folder.path().join("memory.peak"));
        if let Some(peak) = peak {
            fs::write(folder.path().join("memory.peak"), recorded(peak)).unwrap();
        }
        let memory = group.memory();
        std::mem::forget(group);
        (memory.oom_kills, memory.peak)
    };
    assert_eq!(
        group("memory.events.killed", Some("memory.peak")),
        (2, Some(19_996_672))
    );
    assert_eq!(group("memory.events.4.18", None), (0, None));
    let gone = Group {
        directory: "/nowhere".into(),
        _lock: File::open("/").unwrap(),
    };
    assert_eq!(gone.memory(), GroupMemory::default());
    assert!(!gone.is_inhabited());
    assert_eq!(count_of("populated", "populated 1\nfrozen 0\n"), Some(1));
    assert_eq!(count_of("oom", "oom_kill 3\noom 1\n"), Some(1));
    for odd in ["", "oom", "oom x", "oom -1", " oom 1"] {
        assert_eq!(count_of("oom", odd), None, "{odd:?}");
    }
}

/// A tree of plain files that looks like one of control groups.
struct Tree(tempfile::TempDir);

impl Tree {
    fn new() -> Self {
        let tree = Self(tempfile::tempdir().unwrap());
        tree.group("", "cpu memory", "memory");
        fs::remove_file(tree.at("cgroup.type")).unwrap();
        tree
    }

    fn at(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn group(&self, path: &str, controllers: &str, enabled: &str) {
        let group = self.at(path);
        fs::create_dir_all(&group).unwrap();
        for (name, text) in [
            ("cgroup.controllers", controllers),
            ("cgroup.subtree_control", enabled),
            ("cgroup.procs", ""),
            ("cgroup.type", "domain\n"),
        ] {
            fs::write(group.join(name), text).unwrap();
        }
    }

    /// What a process in a group finds, for a user to whom nothing was handed over.
    fn find(&self, own: &str) -> Result<Found, NoSubtree> {
        let mounts = format!(
            "1 2 0:3 / {} rw - cgroup2 none rw\n",
            self.0.path().display()
        );
        find(&format!("0::/{own}\n"), &mounts, 0)
    }

    fn found(&self, base: &str, controller: Controller, this_process: Inside) -> Found {
        Found {
            base: match base {
                "" => self.0.path().to_owned(),
                _ => self.at(base),
            },
            controller,
            this_process,
        }
    }
}

#[test]
fn the_top_of_the_tree_is_nobody_elses() {
    let tree = Tree::new();
    let found = tree.find("").unwrap();
    assert_eq!(found, tree.found("", Controller::Enabled, Inside::Root));
    assert!(!found.must_move());
    // In a namespace the top is a group like any other.
    tree.group("", "memory", "");
    let found = tree.find("").unwrap();
    assert_eq!(found, tree.found("", Controller::ToBeEnabled, Inside::Base));
    assert!(found.must_move());
    found.must_be_alone().unwrap();
    fs::write(tree.at("cgroup.procs"), "1\n").unwrap();
    assert!(matches!(
        found.must_be_alone(),
        Err(NoSubtree::Shared { .. })
    ));
    fs::write(tree.at("cgroup.procs"), format!("{}\n", std::process::id())).unwrap();
    found.must_be_alone().unwrap();
}

#[test]
fn what_belongs_to_others_is_left_alone() {
    let tree = Tree::new();
    tree.group("system.slice", "memory", "memory");
    tree.group("system.slice/web.service", "memory", "");
    let refused = tree.find("system.slice/web.service").unwrap_err();
    assert!(
        matches!(&refused, NoSubtree::NotDelegated { group } if group.ends_with("web.service")),
        "{refused:?}"
    );
    // Neither is its parent ours, which the unit's manager cares for.
    tree.group("web.service", "memory", "");
    assert!(tree.find("web.service").is_err());
    tree.group("no", "cpu", "");
    assert!(matches!(
        tree.find("no"),
        Err(NoSubtree::NoController { .. })
    ));
    assert!(tree.find("gone").is_err());
}

#[test]
fn a_leaf_that_was_made_for_us_leads_to_its_parent() {
    let tree = Tree::new();
    for (own, inside) in [
        (LEAF, Inside::Leaf),
        ("dispatcher-attempt-x.1", Inside::Attempt),
        ("main", Inside::Leaf),
    ] {
        tree.group(own, "memory", "");
        let found = tree.find(own).unwrap();
        assert_eq!(found, tree.found("", Controller::Enabled, inside), "{own}");
        // A supervisor that a job starts is no part of that job.
        assert_eq!(found.must_move(), inside == Inside::Attempt);
    }
}

#[test]
fn a_group_is_set_up_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let subtree = Subtree {
        base: folder.path().to_owned(),
    };
    // Plain folders have none of the kernel's files.
    assert!(subtree.group(&tag(), 1).is_err());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn only_groups_that_nobody_keeps_are_swept() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let subtree = Subtree {
        base: folder.path().to_owned(),
    };
    fs::create_dir(at("dispatcher-attempt-left.1")).unwrap();
    fs::create_dir(at("dispatcher-attempt-inhabited.1")).unwrap();
    fs::write(at("dispatcher-attempt-inhabited.1/x"), "").unwrap();
    fs::create_dir(at(LEAF)).unwrap();
    let kept = Group::make(&at("dispatcher-attempt-kept.1")).unwrap();
    assert!(Group::make(&at("dispatcher-attempt-kept.1")).is_err());
    subtree.sweep();
    let left = fs::read_dir(folder.path()).unwrap().flatten();
    let mut left: Vec<_> = left.map(|entry| entry.file_name()).collect();
    left.sort();
    let expected = [
        "dispatcher-attempt-inhabited.1",
        "dispatcher-attempt-kept.1",
        LEAF,
    ];
    assert_eq!(left, expected);
    drop(kept);
    assert!(!at("dispatcher-attempt-kept.1").exists());
}

/// With the kernel's own files, as far as this machine has them.
#[test]
fn groups_of_the_kernel() {
    let subtree = match look().and_then(Found::take) {
        Ok(subtree) => subtree,
        Err(why) => {
            eprintln!("tested on recorded files only: {why}");
            return;
        }
    };
    eprintln!("tested for real, below {}", subtree.base.display());
    let group = subtree.group(&tag(), 64 << 20).unwrap();
    let read = |name| fs::read_to_string(group.directory.join(name)).unwrap();
    assert_eq!(read("memory.max"), format!("{}\n", 64 << 20));
    assert_eq!(read("memory.oom.group"), "1\n");
    assert_eq!(group.memory().oom_kills, 0);
    assert!(!group.is_inhabited());
    let directory = group.directory.clone();
    drop(group);
    assert!(!directory.exists());
    // One that is kept, and one that a killed supervisor has left.
    let kept = subtree.group(&tag(), 64 << 20).unwrap();
    let left = directory.with_extension("4");
    fs::create_dir(&left).unwrap();
    subtree.sweep();
    assert!(directory.exists() && !left.exists());
    drop(kept);
    assert!(!directory.exists());
}
