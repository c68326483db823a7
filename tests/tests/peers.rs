//! Peers of the benchmark are pinned, locked by themselves and nobody's dependencies.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use dispatcher_tests::{PEERS, PeerKind, workspace};
use toml::Table;

fn table(path: &str) -> Table {
    let text = fs::read_to_string(workspace().join(path));
    let text = text.unwrap_or_else(|error| panic!("{path}: {error}"));
    text.parse()
        .unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Names and versions in a lock file.
fn locked(path: &str) -> BTreeSet<(String, String)> {
    let table = table(path);
    let packages = table["package"].as_array().expect("packages");
    let text = |value: &toml::Value| value.as_str().expect("a text").to_owned();
    let packages = packages.iter();
    packages
        .map(|it| (text(&it["name"]), text(&it["version"])))
        .collect()
}

#[test]
fn each_folder_is_a_peer_and_each_peer_has_one() {
    let folders = fs::read_dir(workspace().join("peers")).expect("peers");
    let folders = folders.map(|it| it.expect("an entry"));
    // Beside them lies what they share.
    let folders = folders.filter(|it| it.path().is_dir());
    let folders = folders.map(|it| it.file_name().into_string());
    let folders: BTreeSet<_> = folders.map(|it| it.expect("a name")).collect();
    let names: BTreeSet<_> = PEERS.iter().map(|it| it.name.to_owned()).collect();
    assert_eq!(folders, names);
}

#[test]
fn rust_peers_are_outside_of_the_workspace_with_locks_of_their_own() {
    let root = table("Cargo.toml");
    let excluded = root["workspace"]["exclude"].as_array().expect("a list");
    assert_eq!(excluded[..], ["peers".into()]);
    let ours = locked("Cargo.lock");
    let peers = PEERS.iter().filter(|it| it.kind == PeerKind::Rust);
    let peers: Vec<_> = peers.collect();
    assert!(!peers.is_empty());
    for peer in peers {
        let manifest = table(&format!("peers/{}/Cargo.toml", peer.name));
        assert!(manifest.contains_key("workspace"), "{}", peer.name);
        let pinned = manifest["dependencies"][peer.name].as_str();
        let pinned = pinned.or_else(|| manifest["dependencies"][peer.name]["version"].as_str());
        assert_eq!(pinned, Some(&*format!("={}", peer.version)));
        let lock = locked(&format!("peers/{}/Cargo.lock", peer.name));
        let wanted = (peer.name.to_owned(), peer.version.to_owned());
        assert!(lock.contains(&wanted), "{wanted:?}");
        let known = ours.iter().any(|(name, _)| name == peer.name);
        assert!(!known, "{} is in our own lock file", peer.name);
        let package = manifest["package"]["name"].as_str().expect("a name");
        assert!(lock.iter().any(|(name, _)| name == package), "{package}");
        assert_eq!(package, format!("peer-{}", peer.name.replace('_', "-")));
    }
}

#[test]
fn python_peers_are_those_that_are_installed() {
    let prepare = fs::read_to_string(workspace().join("scripts/prepare")).expect("scripts/prepare");
    for peer in PEERS.iter().filter(|it| it.kind == PeerKind::Python) {
        let installed = format!("{}=={}", peer.name, peer.version);
        assert!(prepare.contains(&installed), "{installed}");
        let script = peer.folder().join("peer.py");
        let read = Command::new("python3")
            .args(["-c", "import ast, sys; ast.parse(open(sys.argv[1]).read())"])
            .arg(&script)
            .status();
        assert!(read.expect("python3").success(), "{}", script.display());
    }
}

#[test]
fn the_long_run_measures_them() {
    let long = fs::read_to_string(workspace().join(".ci/long")).expect(".ci/long");
    assert!(long.contains("-p dispatcher-tests --bin peers"), "{long}");
}
