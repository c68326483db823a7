//! What the style and the design of the project ask for, as far as a program can see it.
//!
//! Each rule is itself tried on a sample that breaks it and on one that keeps it.

mod code;
mod edges;
mod source;
mod sql;
mod texts;

#[test]
fn measure() {
    let sources = source::workspace();
    let own = code::own_variants(&sources);
    let rules: [(&str, fn(&source::Source) -> Vec<source::Finding>); 20] = [
        ("short_functions", code::short_functions),
        ("no_boolean_parameters", code::no_boolean_parameters),
        ("story_first", code::story_first),
        ("short_files", texts::short_files),
        ("opening", texts::opening),
        ("todo", texts::nothing_left_to_do),
        ("paths", texts::no_machine_paths),
        ("words", texts::words),
        ("links", texts::links),
        ("sql", sql::statements),
        ("sql in code", sql::no_statements_in_code),
        ("edges", edges::inside_the_runner),
        ("reserved", edges::reserved),
        ("purity", edges::purity),
        ("stated_invariants", code::stated_invariants),
        ("macros_never_panic", code::macros_never_panic),
        ("no_allow", code::no_allow),
        ("unsafe", code::unsafe_in_its_place),
        ("error_texts", code::error_texts),
        ("sleep", code::no_sleep_in_tests),
    ];
    for (name, rule) in rules {
        for source in &sources {
            for finding in rule(source) {
                eprintln!("{name}: {}:{}: {}", source.path, finding.line, finding.what);
            }
        }
    }
    eprintln!("unused sql: {:?}", sql::unused(&sources));
    for source in &sources {
        for finding in code::exhaustive_matches(source, &own) {
            eprintln!("wild: {}:{}: {}", source.path, finding.line, finding.what);
        }
    }
}
