//! Rules about SQL: one statement a file, with a header that names its parameters.

use std::collections::BTreeSet;

use syn::visit::{self, Visit};

use crate::code::line;
use crate::source::{Finding, Realm, Source};

/// Rule 12, of the files.
pub(crate) fn statements(source: &Source) -> Vec<Finding> {
    if !source.path.ends_with(".sql") {
        return Vec::new();
    }
    let (header, body): (Vec<_>, Vec<_>) = source
        .lines()
        .partition(|(_, line)| line.trim_start().starts_with("--"));
    let mut found = Vec::new();
    if header.first().is_none_or(|(at, _)| *at != 1) {
        found.push(Finding::at(1, "no header comment"));
    }
    for (at, line) in &body {
        for word in words(line) {
            if KEYWORDS.contains(&word.to_uppercase().as_str()) && word != word.to_uppercase() {
                found.push(Finding::at(
                    *at,
                    format!("the keyword `{word}` in lower case"),
                ));
            }
        }
        if line.contains("SELECT *") || line.contains(".*") {
            found.push(Finding::at(*at, "`*` instead of columns"));
        }
    }
    if !source.path.contains("/migrations/") {
        found.extend(one_statement(&header, &body));
    }
    found
}

fn one_statement(header: &[(usize, &str)], body: &[(usize, &str)]) -> Vec<Finding> {
    let mut found = Vec::new();
    for (at, line) in body {
        if line.contains(';') {
            found.push(Finding::at(
                *at,
                "`;`: one statement a file, without an end mark",
            ));
        }
    }
    let named = |lines: &[(usize, &str)]| -> BTreeSet<String> {
        lines
            .iter()
            .flat_map(|(_, line)| parameters(line))
            .collect()
    };
    let (told, used) = (named(header), named(body));
    for parameter in told.symmetric_difference(&used) {
        let place = if used.contains(parameter) {
            "header"
        } else {
            "statement"
        };
        found.push(Finding::at(
            1,
            format!("`{parameter}` is not in the {place}"),
        ));
    }
    found
}

/// Rule 12, of the code: statements stand in files.
pub(crate) fn no_statements_in_code(source: &Source) -> Vec<Finding> {
    struct Texts(Vec<Finding>);

    impl<'ast> Visit<'ast> for Texts {
        fn visit_item(&mut self, item: &'ast syn::Item) {
            let is_test = matches!(item, syn::Item::Mod(module) if crate::source::is_for_tests(&module.attrs));
            if !is_test {
                visit::visit_item(self, item);
            }
        }

        fn visit_lit_str(&mut self, text: &'ast syn::LitStr) {
            let value = text.value();
            let starts = ["SELECT ", "INSERT ", "UPDATE ", "DELETE ", "CREATE "];
            let is_statement = starts
                .iter()
                .any(|start| value.trim_start().starts_with(start));
            // The schema of the file itself is asked about before there are statements for it.
            if is_statement && !value.contains("sqlite_schema") {
                self.0.push(Finding::at(
                    line(text.span()),
                    "a statement in code; give it a file",
                ));
            }
        }
    }

    if source.realm != Realm::Product {
        return Vec::new();
    }
    let mut texts = Texts(Vec::new());
    if let Some(syntax) = source.syntax() {
        texts.visit_file(syntax);
    }
    texts.0
}

/// Files of statements that nobody includes.
pub(crate) fn unused(sources: &[Source]) -> Vec<String> {
    let code: String = sources
        .iter()
        .filter(|source| source.realm != Realm::Text)
        .map(|source| source.text.as_str())
        .collect();
    let statements = sources
        .iter()
        .filter(|source| source.path.ends_with(".sql"));
    let unused = statements.filter(|source| {
        let name = source.path.rsplit('/').next().unwrap_or_default();
        let bare = name.trim_end_matches(".sql");
        !code.contains(&format!("sql!(\"{bare}\")")) && !code.contains(&format!("/{name}\""))
    });
    unused.map(|source| source.path.clone()).collect()
}

const KEYWORDS: [&str; 38] = [
    "SELECT",
    "INSERT",
    "UPDATE",
    "DELETE",
    "FROM",
    "WHERE",
    "AND",
    "OR",
    "NOT",
    "NULL",
    "SET",
    "VALUES",
    "INTO",
    "JOIN",
    "LEFT",
    "ON",
    "AS",
    "ORDER",
    "GROUP",
    "BY",
    "LIMIT",
    "RETURNING",
    "CASE",
    "WHEN",
    "THEN",
    "ELSE",
    "END",
    "EXISTS",
    "IN",
    "IS",
    "CREATE",
    "TABLE",
    "INDEX",
    "UNIQUE",
    "PRIMARY",
    "UNION",
    "COALESCE",
    "CONFLICT",
];

/// Bare words: neither parameters nor quoted.
fn words(line: &str) -> Vec<&str> {
    let code = line.split("--").next().unwrap_or_default();
    let mut words = Vec::new();
    for (at, quoted) in code.split('\'').enumerate() {
        if at % 2 == 0 {
            let parts =
                quoted.split(|letter: char| !is_name(letter) && letter != ':' && letter != '.');
            words.extend(parts.filter(|word| !word.contains([':', '.'])));
        }
    }
    words
}

fn parameters(line: &str) -> Vec<String> {
    let starts = line.match_indices(':').map(|(at, _)| &line[at + 1..]);
    let names = starts.map(|rest| {
        let end = rest
            .find(|letter: char| !is_name(letter))
            .unwrap_or(rest.len());
        &rest[..end]
    });
    let names = names.filter(|name| name.starts_with(|first: char| first.is_ascii_lowercase()));
    names.map(|name| format!(":{name}")).collect()
}

fn is_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}
