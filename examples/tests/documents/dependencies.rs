//! `docs/dependencies.md` names every direct dependency of the workspace and nothing else.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

const DOCUMENT: &str = include_str!("../../../docs/dependencies.md");

#[test]
fn the_list_is_that_of_the_manifests() {
    let output = Command::new("cargo")
        .args([
            "metadata",
            "--no-deps",
            "--offline",
            "--format-version",
            "1",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs this test, too");
    assert!(output.status.success(), "{output:?}");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("a list");
    let dependencies = packages
        .iter()
        .filter_map(|it| it["dependencies"].as_array());
    let direct: BTreeSet<_> = dependencies
        .flatten()
        .filter(|dependency| dependency["path"].is_null())
        .filter_map(|dependency| dependency["name"].as_str())
        .collect();
    let mut rows: Vec<_> = crate::tables::rows(DOCUMENT)
        .map(|cells| cells[0].trim_matches('`'))
        .collect();
    rows.sort_unstable();
    assert_eq!(rows, Vec::from_iter(direct));
}
