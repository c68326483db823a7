//! Rules about files as texts: their size, their first lines, words and paths.

use crate::source::{Finding, Realm, Source};

/// Lines of the longest file.
const FILE_LINES_MAX: usize = 600;

/// Rule 3.
pub(crate) fn short_files(source: &Source) -> Vec<Finding> {
    let lines = source.text.lines().count();
    let what = format!("{lines} lines; find the seam");
    let is_long = is_rust(source) && lines > FILE_LINES_MAX;
    is_long
        .then(|| Finding::at(lines, what))
        .into_iter()
        .collect()
}

/// Rule 1: a file opens with its reason, in sentences.
pub(crate) fn opening(source: &Source) -> Vec<Finding> {
    // A case of the derive is what a user writes.
    if !is_rust(source) || source.realm == Realm::Case {
        return Vec::new();
    }
    let first = source.text.lines().next().unwrap_or_default();
    if !first.starts_with("//! ") {
        return vec![Finding::at(
            1,
            "the first line is not `//! ` and its reason",
        )];
    }
    let comment = source
        .text
        .lines()
        .take_while(|line| line.starts_with("//!"));
    let words: Vec<&str> = comment.map(|line| line[3..].trim()).collect();
    let paragraph = words
        .split(|line| line.is_empty())
        .next()
        .unwrap_or_default();
    let is_sentence = paragraph
        .last()
        .is_some_and(|line| line.ends_with(['.', ':', '?']));
    if is_sentence {
        return Vec::new();
    }
    vec![Finding::at(paragraph.len(), "the reason is no sentence")]
}

/// Nothing is left to be done later without an issue.
pub(crate) fn nothing_left_to_do(source: &Source) -> Vec<Finding> {
    // Written so that this file does not break its own rule.
    const MARKS: [&str; 3] = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X:"),
    ];
    find(source, &MARKS, "is to be done: do it, or open an issue")
}

/// Nothing of the machine on which this was written.
pub(crate) fn no_machine_paths(source: &Source) -> Vec<Finding> {
    const PATHS: [&str; 3] = [
        concat!("/ro", "ot/"),
        concat!("/wo", "rk/"),
        concat!("/Us", "ers/"),
    ];
    find(source, &PATHS, "is a path of somebody's machine")
}

/// Design §9.
pub(crate) fn words(source: &Source) -> Vec<Finding> {
    const WORDS: [(&str, &str); 10] = [
        (concat!("zy", "gote"), "keeper"),
        (concat!("fork ", "server"), "keeper"),
        (concat!("sla", "ve"), "worker"),
        (concat!("worker ", "type"), "dispatcher"),
        (concat!("task ", "class"), "dispatcher"),
        (concat!("bro", "ker"), "source"),
        (concat!("pro", "ducer"), "source"),
        (concat!("back", "end"), "store"),
        (concat!("database ", "layer"), "store"),
        (concat!("result ", "code"), "outcome"),
    ];
    if source.realm == Realm::Text && !source.path.ends_with(".sql") {
        return Vec::new();
    }
    // Other systems have words of their own; their wires, settings and interfaces are made of them.
    if source.path.contains("dispatcherd") || source.path.starts_with("peers/") {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (at, line) in source.lines() {
        // Names that others chose before us.
        let line = line
            .to_lowercase()
            .replace(concat!("dispatcher_back", "end"), "");
        let line = line.replace(concat!("is_back", "end"), "");
        for (word, instead) in WORDS {
            if line.contains(word) {
                found.push(Finding::at(
                    at,
                    format!("says {word:?}; the word is {instead:?}"),
                ));
            }
        }
    }
    found
}

/// Relative links of documents lead somewhere.
pub(crate) fn links(source: &Source) -> Vec<Finding> {
    let is_text = source.path.ends_with(".md");
    let lines = source.lines().filter(|_| is_text);
    let mut found = Vec::new();
    for (at, line) in lines {
        for part in line.split("](").skip(1) {
            let target = part.split([')', ' ', '#']).next().unwrap_or_default();
            let is_far =
                target.is_empty() || target.contains("://") || target.starts_with("mailto:");
            let folder = source
                .path
                .rsplit_once('/')
                .map_or("", |(folder, _)| folder);
            if !is_far && !crate::source::root().join(folder).join(target).exists() {
                found.push(Finding::at(
                    at,
                    format!("the link to {target} leads nowhere"),
                ));
            }
        }
    }
    found
}

fn find(source: &Source, needles: &[&str], what: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    for (at, line) in source.lines() {
        for needle in needles {
            if line.contains(needle) {
                found.push(Finding::at(at, format!("{needle:?} {what}")));
            }
        }
    }
    found
}

fn is_rust(source: &Source) -> bool {
    source.realm != Realm::Text
}
