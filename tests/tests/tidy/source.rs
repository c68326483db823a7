//! The files of the workspace, and which rules each of them is held to.
//!
//! Paths are relative to the workspace and use `/`.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Realm {
    /// What a user's program is made of.
    Product,
    /// Tests, and what only they use.
    Test,
    /// Programs that tests run.
    Program,
    /// What a user would write: cases of the derive.
    Case,
    /// Anything but Rust.
    Text,
}

/// One file.
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
    pub(crate) realm: Realm,
    syntax: OnceCell<Option<syn::File>>,
}

/// Something that a rule does not allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// From 1.
    pub(crate) line: usize,
    pub(crate) what: String,
}

impl Finding {
    pub(crate) fn at(line: usize, what: impl Into<String>) -> Self {
        Self {
            line,
            what: what.into(),
        }
    }
}

impl Source {
    /// A file with this text.
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
            realm: realm(path),
            syntax: OnceCell::new(),
        }
    }

    /// The file as Rust. A [`Realm::Case`] may be none.
    ///
    /// # Panics
    /// When it should be Rust and is not.
    pub(crate) fn syntax(&self) -> Option<&syn::File> {
        let parse = || match self.realm {
            Realm::Text => None,
            Realm::Case => syn::parse_file(&self.text).ok(),
            Realm::Product | Realm::Test | Realm::Program => {
                let parsed = syn::parse_file(&self.text);
                Some(parsed.unwrap_or_else(|error| panic!("{} is no Rust: {error}", self.path)))
            }
        };
        self.syntax.get_or_init(parse).as_ref()
    }

    /// Whether the file lies below one of these folders or is one of these files.
    pub(crate) fn is_in(&self, places: &[&str]) -> bool {
        places.iter().any(|place| match place.strip_suffix('/') {
            Some(_) => self.path.starts_with(place),
            None => self.path == *place,
        })
    }

    /// Lines with their numbers.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.text.lines())
    }
}

fn realm(path: &str) -> Realm {
    let parts: Vec<&str> = path.split('/').collect();
    if !path.ends_with(".rs") {
        return Realm::Text;
    }
    match parts[..] {
        [_, "tests", "ui", ..] => Realm::Case,
        ["tests", "src", "bin", ..]
        | ["examples", "src", ..]
        | ["examples", "watcher", "src", ..]
        | ["peers", ..]
        | ["template", "src", ..] => Realm::Program,
        ["examples", "watcher", "tests", ..] => Realm::Test,
        ["tests", ..] | [_, "tests", ..] => Realm::Test,
        _ => Realm::Product,
    }
}

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().expect("a package lies in it").to_owned()
}

/// All files but those that tools made. Modules that only tests compile are marked as such.
///
/// # Panics
/// When a file cannot be read.
pub(crate) fn workspace() -> Vec<Source> {
    let root = root();
    let mut paths = Vec::new();
    walk(&root, &mut paths);
    paths.sort();
    let read = |path: &PathBuf| {
        let bytes = fs::read(path).expect("a file of the workspace can be read");
        let name = path.strip_prefix(&root).expect("it lies in it");
        let text = String::from_utf8(bytes).ok()?;
        Some(Source::new(&name.to_string_lossy(), &text))
    };
    let mut sources: Vec<Source> = paths.iter().filter_map(read).collect();
    let places = test_modules(&sources);
    for source in &mut sources {
        let places: Vec<&str> = places.iter().map(String::as_str).collect();
        if source.realm == Realm::Product && source.is_in(&places) {
            source.realm = Realm::Test;
        }
    }
    sources
}

fn walk(directory: &Path, paths: &mut Vec<PathBuf>) {
    const MADE: [&str; 3] = ["target", ".git", "mutants.out"];
    let entries = fs::read_dir(directory).expect("a folder of the workspace can be read");
    for entry in entries.flatten() {
        let path = entry.path();
        let is_made = MADE.iter().any(|made| path.ends_with(made));
        if path.is_dir() && !is_made {
            walk(&path, paths);
        } else if path.is_file() && !is_made {
            paths.push(path);
        }
    }
}

/// Files and folders of modules that are declared below a `#[cfg(test)]`.
fn test_modules(sources: &[Source]) -> BTreeSet<String> {
    let mut places = BTreeSet::new();
    for source in sources.iter().filter(|source| source.realm != Realm::Text) {
        let lines = source.text.lines();
        for (attribute, declaration) in lines.clone().zip(lines.skip(1)) {
            let name = declaration
                .strip_prefix("mod ")
                .and_then(|rest| rest.strip_suffix(';'));
            if let ("#[cfg(test)]", Some(name)) = (attribute, name) {
                let base = folder_of_modules(&source.path);
                places.insert(format!("{base}{name}.rs"));
                places.insert(format!("{base}{name}/"));
            }
        }
    }
    places
}

/// The folder in which the files of a file's modules lie.
fn folder_of_modules(path: &str) -> String {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    match name {
        "mod.rs" | "lib.rs" | "main.rs" => format!("{folder}/"),
        _ => format!("{}/", path.trim_end_matches(".rs")),
    }
}

/// Whether attributes say `#[cfg(test)]` or `#[test]`.
pub(crate) fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        if attribute.path().is_ident("test") {
            return true;
        }
        let syn::Meta::List(list) = &attribute.meta else {
            return false;
        };
        attribute.path().is_ident("cfg") && list.tokens.to_string() == "test"
    })
}

#[test]
fn realms() {
    let cases = [
        ("dispatcher-core/src/lib.rs", Realm::Product),
        ("dispatcher-runner/build.rs", Realm::Product),
        ("dispatcher-core/tests/derive.rs", Realm::Test),
        ("dispatcher-core/tests/ui/pass/a.rs", Realm::Case),
        ("tests/src/home.rs", Realm::Test),
        ("tests/src/bin/fixture/main.rs", Realm::Program),
        ("tests/tests/tidy/main.rs", Realm::Test),
        ("examples/src/bin/quickstart.rs", Realm::Program),
        ("examples/tests/examples/main.rs", Realm::Test),
        ("examples/watcher/src/lib.rs", Realm::Program),
        ("examples/watcher/tests/watcher.rs", Realm::Test),
        ("template/src/main.rs", Realm::Program),
        ("README.md", Realm::Text),
    ];
    for (path, expected) in cases {
        assert_eq!(realm(path), expected, "{path}");
    }
}

#[test]
fn the_workspace_is_read_whole_and_knows_its_test_modules() {
    let sources = workspace();
    let of = |path: &str| {
        let found = sources.iter().find(|source| source.path == path);
        found.unwrap_or_else(|| panic!("{path} was not read")).realm
    };
    assert_eq!(of("dispatcher-core/src/engine/mod.rs"), Realm::Product);
    assert_eq!(of("dispatcher-core/src/frame/tests.rs"), Realm::Test);
    assert_eq!(
        of("dispatcher-runner/src/store/conformance/mod.rs"),
        Realm::Test
    );
    assert_eq!(
        of("dispatcher-runner/src/store/sqlite/sql/job.sql"),
        Realm::Text
    );
    assert!(!sources.iter().any(|source| source.path.contains("target/")));
}
