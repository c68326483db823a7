//! Which modules may know which: the arrows of the design, read from the paths in the code.
//!
//! A path counts wherever it stands: in `use`, in types, in expressions. Arrows between crates are
//! proved with `cargo tree` by `linked_library.rs`; here they are proved inside the crates.

use std::collections::BTreeMap;

use syn::visit::{self, Visit};

use crate::code::line;
use crate::source::{Finding, Realm, Source, is_for_tests};

/// Modules of the runner, and what each of them may use.
const RUNNER: [(&str, &[&str]); 28] = [
    ("about", &[]),
    ("pool", &[]),
    ("config", &["pool", "target"]),
    ("target", &[]),
    ("ids", &[]),
    ("log", &[]),
    ("metrics", &[]),
    ("admin", &["control"]),
    // What a running service tells and is told.
    ("control", &["metrics", "store", "supervisor"]),
    // The other side of that wire.
    ("publish", &["config", "dispatcherd", "ids", "notify"]),
    // Connections that hear and make notifications.
    ("notify", &["tls"]),
    ("tls", &[]),
    // The texts of another system's wire, as values.
    ("dispatcherd", &[]),
    ("pinned", &[]),
    // Knows no processes.
    ("store", &["ids", "pinned", "target", "tls"]),
    ("process", &["app", "requirements", "store"]),
    ("requirements", &["process"]),
    // The host's own timer; what it calls is the caller's business.
    ("timer", &["process"]),
    (
        "supervisor",
        &[
            "app", "ids", "log", "metrics", "pinned", "pool", "process", "store", "target",
        ],
    ),
    (
        "client",
        &[
            "about",
            "app",
            "config",
            "ids",
            "pool",
            "process",
            "requirements",
            "store",
            "supervisor",
            "testing",
        ],
    ),
    (
        "testing",
        &[
            "about", "app", "client", "config", "ids", "process", "store",
        ],
    ),
    (
        "app",
        &[
            "client",
            "config",
            "log",
            "pinned",
            "process",
            "store",
            "supervisor",
            "testing",
            "worker",
        ],
    ),
    (
        "cli",
        &[
            "about", "client", "config", "control", "ids", "log", "process", "publish", "store",
            "timer",
        ],
    ),
    (
        "host",
        &[
            "app",
            "cli",
            "client",
            "config",
            "control",
            "log",
            "process",
            "service",
            "sources",
            "store",
            "supervisor",
        ],
    ),
    // A worker of a foreign host knows nothing of our own supervisors.
    ("worker", &["log", "process"]),
    // What brings work in sees the client handle only.
    (
        "http",
        &["app", "client", "config", "ids", "log", "sources"],
    ),
    (
        "sources",
        &["client", "config", "dispatcherd", "log", "notify", "pool"],
    ),
    (
        "service",
        &[
            "admin",
            "app",
            "client",
            "config",
            "control",
            "log",
            "metrics",
            "pool",
            "process",
            "sources",
            "store",
            "supervisor",
        ],
    ),
];

/// Paths that only some places may name, each with the reason.
const RESERVED: [(&[&str], &[&str], &str); 9] = [
    (
        &["dispatcher_core", "engine", "Engine"],
        &[
            "dispatcher-runner/src/supervisor/driver.rs",
            "dispatcher-runner/src/supervisor/driver/",
        ],
        "only the driver touches the engine",
    ),
    (
        &["dispatcher_core", "engine"],
        &[
            "dispatcher-runner/src/supervisor/",
            // Names the kind of shutdown that a signal stands for.
            "dispatcher-runner/src/process/signals.rs",
        ],
        "only a supervisor knows the engine",
    ),
    (
        &["std", "process", "Command"],
        &[
            "dispatcher-runner/src/process/",
            "dispatcher-runner/build.rs",
        ],
        "only `process/` starts a process",
    ),
    (
        &["libc", "fork"],
        &["dispatcher-runner/src/process/"],
        "only `process/` starts a process",
    ),
    (
        &["libc", "kill"],
        &["dispatcher-runner/src/process/"],
        "only `process/` signals a process",
    ),
    (
        &["rustix", "process", "kill_process"],
        &["dispatcher-runner/src/process/"],
        "only `process/` signals a process",
    ),
    (
        &["rusqlite"],
        &[
            "dispatcher-runner/src/store/sqlite/",
            "dispatcher-runner/src/cli/commands/doctor.rs",
        ],
        "only the embedded store knows SQLite",
    ),
    (
        &["tokio"],
        &[
            "dispatcher-runner/src/process/runtime.rs",
            "dispatcher-runner/src/store/postgres/",
            "dispatcher-runner/src/sources/",
            "dispatcher-runner/src/admin/",
            "dispatcher-runner/src/http/",
            "dispatcher-runner/src/notify/",
            "dispatcher-runner/src/publish/",
        ],
        "the embedded mode needs no async runtime; only a job that is a future and sources have one",
    ),
    (
        &["libc"],
        &[
            "dispatcher-runner/src/process/",
            "dispatcher-runner/src/supervisor/",
        ],
        "system calls belong to `process/`",
    ),
];

/// What the pure crates must not know of the standard library, or of anything else.
const IMPURE: [(&[&str], &str); 20] = [
    (&["std", "fs"], "the file system"),
    (&["std", "env"], "the environment"),
    (&["std", "net"], "a socket"),
    (&["std", "os"], "the operating system"),
    (&["std", "process"], "processes"),
    (&["std", "time", "Instant"], "a clock"),
    (&["std", "time", "SystemTime", "now"], "a clock"),
    (&["SystemTime", "now"], "a clock"),
    (&["Timestamp", "now"], "a clock"),
    (&["Zoned", "now"], "a clock"),
    (&["TimeZone", "system"], "the environment"),
    (&["TimeZone", "get"], "the file system"),
    (
        &["std", "collections", "HashMap"],
        "an order of iteration that changes",
    ),
    (
        &["std", "collections", "HashSet"],
        "an order of iteration that changes",
    ),
    (&["std", "hash", "RandomState"], "randomness"),
    (&["std", "thread", "sleep"], "a clock"),
    (&["std", "thread", "spawn"], "threads"),
    (&["std", "sync", "mpsc"], "threads"),
    (&["tokio"], "an async runtime"),
    (&["rusqlite"], "a database"),
];

/// Arrows between the modules of the runner.
pub(crate) fn inside_the_runner(source: &Source) -> Vec<Finding> {
    let Some(module) = module_of(source, "dispatcher-runner/src/") else {
        return Vec::new();
    };
    let Some(own) = module.first() else {
        return Vec::new();
    };
    let allowed: BTreeMap<_, _> = RUNNER.into_iter().collect();
    let Some(may) = allowed.get(own.as_str()) else {
        return vec![Finding::at(
            1,
            format!("`{own}` is new: say in `tests/tests/tidy/edges.rs` what it may use"),
        )];
    };
    let mut found = Vec::new();
    for path in paths(source, &module) {
        let [first, second, ..] = &path.names[..] else {
            continue;
        };
        let is_arrow = first == "crate" && allowed.contains_key(second.as_str());
        if is_arrow && second != own && !may.contains(&second.as_str()) {
            let what = format!("`{own}` must not know `{second}`");
            found.push(Finding::at(path.line, what));
        }
    }
    found
}

/// Paths that are reserved for a place.
pub(crate) fn reserved(source: &Source) -> Vec<Finding> {
    let Some(module) = module_of(source, "dispatcher-runner/src/") else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for path in paths(source, &module) {
        // The narrowest one counts.
        let reserved = RESERVED.iter().find(|(name, ..)| begins(&path.names, name));
        if let Some((name, places, reason)) = reserved
            && !source.is_in(places)
        {
            let what = format!("`{}`: {reason}", name.join("::"));
            found.push(Finding::at(path.line, what));
        }
    }
    found
}

/// What the core and the macros must never know.
pub(crate) fn purity(source: &Source) -> Vec<Finding> {
    let core = module_of(source, "dispatcher-core/src/");
    let Some(module) = core.or_else(|| module_of(source, "dispatcher-macros/src/")) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for path in paths(source, &module) {
        for (name, what) in IMPURE {
            if begins(&path.names, name) {
                let what = format!("`{}`: this crate must not know {what}", name.join("::"));
                found.push(Finding::at(path.line, what));
            }
        }
    }
    found
}

/// Whether a path begins with a name; one that starts at a type is told by its end as well.
fn begins(path: &[String], name: &[&str]) -> bool {
    let starts = path.len() >= name.len() && path.iter().zip(name).all(|(is, want)| is == want);
    let is_type = name[0].starts_with(char::is_uppercase);
    let ends =
        || path.len() >= name.len() && path[path.len() - name.len()..].iter().eq(name.iter());
    starts || (is_type && ends())
}

/// The module that a product file is, from the root of its crate.
fn module_of(source: &Source, crate_folder: &str) -> Option<Vec<String>> {
    if source.realm != Realm::Product {
        return None;
    }
    let path = source
        .path
        .strip_prefix(crate_folder)?
        .strip_suffix(".rs")?;
    if path.starts_with("bin/") {
        return None;
    }
    let mut parts: Vec<String> = path.split('/').map(str::to_owned).collect();
    if matches!(
        parts.last().map(String::as_str),
        Some("mod" | "lib" | "main")
    ) {
        parts.pop();
    }
    Some(parts)
}

/// A path as the code names it, from `crate` or from the name of a crate.
struct Named {
    line: usize,
    names: Vec<String>,
}

/// All paths outside of tests, with `super` and `self` resolved, and `use … as` followed.
fn paths(source: &Source, module: &[String]) -> Vec<Named> {
    let mut walk = Walk {
        module: module.to_vec(),
        imported: BTreeMap::new(),
        found: Vec::new(),
    };
    if let Some(syntax) = source.syntax() {
        walk.visit_file(syntax);
    }
    let imported = walk.imported;
    let mut found = walk.found;
    // `Command::new` is `std::process::Command::new` where that was imported.
    for path in &mut found {
        if let Some(full) = path.names.first().and_then(|first| imported.get(first)) {
            path.names.splice(..1, full.iter().cloned());
        }
    }
    found
}

struct Walk {
    module: Vec<String>,
    imported: BTreeMap<String, Vec<String>>,
    found: Vec<Named>,
}

impl Walk {
    fn meet(&mut self, at: usize, names: Vec<String>) {
        let names = self.resolve(names);
        self.found.push(Named { line: at, names });
    }

    fn resolve(&self, names: Vec<String>) -> Vec<String> {
        let ups = names.iter().take_while(|name| *name == "super").count();
        let here = names.first().is_some_and(|name| name == "self");
        if ups == 0 && !here {
            return names;
        }
        let kept = self.module.len().saturating_sub(ups);
        let mut full = vec!["crate".to_owned()];
        full.extend(self.module[..kept].iter().cloned());
        full.extend(names.into_iter().skip(ups.max(1)));
        full
    }

    fn uses(&mut self, tree: &syn::UseTree, mut before: Vec<String>) {
        match tree {
            syn::UseTree::Path(path) => {
                before.push(path.ident.to_string());
                self.uses(&path.tree, before);
            }
            syn::UseTree::Group(group) => {
                for tree in &group.items {
                    self.uses(tree, before.clone());
                }
            }
            syn::UseTree::Name(name) => {
                if name.ident != "self" {
                    before.push(name.ident.to_string());
                }
                self.import(line(name.ident.span()), None, before);
            }
            syn::UseTree::Rename(rename) => {
                before.push(rename.ident.to_string());
                let alias = rename.rename.to_string();
                self.import(line(rename.ident.span()), Some(alias), before);
            }
            syn::UseTree::Glob(glob) => self.meet(line(glob.star_token.spans[0]), before),
        }
    }

    fn import(&mut self, at: usize, alias: Option<String>, names: Vec<String>) {
        let names = self.resolve(names);
        if let Some(name) = alias.or_else(|| names.last().cloned()) {
            self.imported.insert(name, names.clone());
        }
        self.found.push(Named { line: at, names });
    }
}

impl<'ast> Visit<'ast> for Walk {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if !is_for_tests(&module.attrs) {
            self.module.push(module.ident.to_string());
            visit::visit_item_mod(self, module);
            self.module.pop();
        }
    }

    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        if !is_for_tests(&function.attrs) {
            visit::visit_item_fn(self, function);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if !is_for_tests(&item.attrs) {
            self.uses(&item.tree, Vec::new());
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names = path
            .segments
            .iter()
            .map(|segment| segment.ident.to_string());
        if let Some(first) = path.segments.first() {
            self.meet(line(first.ident.span()), names.collect());
        }
        visit::visit_path(self, path);
    }
}
