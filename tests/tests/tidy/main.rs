//! What the style and the design of the project ask for, as far as a program can see it.
//!
//! Each rule is itself tried on samples that break it and on samples that keep it: a rule that
//! finds nothing anywhere proves nothing.

mod code;
mod edges;
mod project;
mod rules;
mod source;
mod sql;
mod texts;

use rules::{Facts, RULES};
use source::{Source, workspace};

#[test]
fn every_file_keeps_every_rule() {
    let sources = workspace();
    let facts = Facts {
        variants: code::own_variants(&sources),
    };
    let mut complaints = Vec::new();
    for rule in RULES {
        for source in &sources {
            for finding in rule.look(source, &facts) {
                let place = format!("{}:{}", source.path, finding.line);
                complaints.push(format!(
                    "{place}: {}\n    rule: {}",
                    finding.what, rule.name
                ));
            }
        }
    }
    let count = complaints.len();
    assert!(
        complaints.is_empty(),
        "{count} places break a rule:\n\n{}\n",
        complaints.join("\n")
    );
}

#[test]
fn every_rule_catches_what_breaks_it() {
    for rule in RULES {
        assert!(!rule.breaks.is_empty(), "no sample breaks: {}", rule.name);
        for (path, text, expected) in rule.breaks {
            let lines = found_by(rule, path, text);
            assert_eq!(
                lines, *expected,
                "rule: {}\nsample {path}:\n{text}",
                rule.name
            );
        }
    }
}

#[test]
fn no_rule_complains_of_what_keeps_it() {
    for rule in RULES {
        assert!(!rule.keeps.is_empty(), "no sample keeps: {}", rule.name);
        for (path, text) in rule.keeps {
            let lines = found_by(rule, path, text);
            assert_eq!(lines, [0; 0], "rule: {}\nsample {path}:\n{text}", rule.name);
        }
    }
}

/// Every rule looks at enough of the workspace to mean something.
#[test]
fn the_workspace_is_looked_at() {
    let sources = workspace();
    let count = |ending: &str| {
        let of_kind = sources
            .iter()
            .filter(|source| source.path.ends_with(ending));
        of_kind.count()
    };
    assert!(count(".rs") > 150, "{} files of Rust", count(".rs"));
    assert!(count(".sql") > 40, "{} files of SQL", count(".sql"));
    assert!(code::own_variants(&sources).len() > 100);
}

#[test]
fn every_statement_is_used() {
    assert_eq!(sql::unused(&workspace()), [""; 0]);
}

#[test]
fn a_statement_that_nobody_includes_is_found() {
    let path = "dispatcher-runner/src/store/sqlite/sql/lonely.sql";
    let lonely = || Source::new(path, "-- Why.\nSELECT a\nFROM b\n");
    assert_eq!(sql::unused(&[lonely()]), [path]);
    let code = Source::new(
        "dispatcher-runner/src/a.rs",
        "fn f() { sql!(\"lonely\") }\n",
    );
    assert_eq!(sql::unused(&[lonely(), code]), [""; 0]);
}

fn found_by(rule: &rules::Rule, path: &str, text: &str) -> Vec<usize> {
    let source = Source::new(path, text);
    let facts = Facts {
        variants: code::own_variants(std::slice::from_ref(&source)),
    };
    let found = rule.look(&source, &facts);
    let mut lines: Vec<usize> = found.into_iter().map(|finding| finding.line).collect();
    lines.dedup();
    lines
}
