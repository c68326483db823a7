//! The registry against clashes of every kind.

use super::*;
use crate::{DispatcherOptions, Options};

const fn definition(name: &'static str, aliases: &'static [&'static str], line: u32) -> Definition {
    Definition {
        name,
        aliases,
        documentation: "",
        fields: &[],
        place: Place {
            package: "jobs",
            module: "jobs",
            file: "src/jobs.rs",
            line,
        },
        options: Options::default,
        dispatcher_options: DispatcherOptions::default,
        payload: crate::PayloadKind::Fields,
        default_payload: None,
        schema: None,
        check: |_, _| Ok(()),
        run: |_, _| Ok(Ok(())),
    }
}

static BACKUP: Definition = definition("Backup", &["app.backup", "save"], 3);
static BACKUP_COPY: Definition = definition("Backup", &["app.backup", "save"], 3);
static OTHER_BACKUP: Definition = definition("Backup", &["other"], 30);
static MAIL: Definition = definition("SendMail", &[r"App\Jobs\SendMail"], 9);
static SAVE: Definition = definition("save", &[], 12);
static STORE: Definition = definition("Store", &["save", "Backup"], 15);

fn built(definitions: &[&'static Definition]) -> Result<Registry, RegistryError> {
    let mut builder = Registry::builder();
    for definition in definitions {
        builder = builder.with(definition);
    }
    builder.build()
}

fn both() -> Registry {
    built(&[&MAIL, &BACKUP]).unwrap()
}

fn aliases(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(alias, target)| ((*alias).to_owned(), (*target).to_owned()))
        .collect()
}

#[test]
fn names_and_aliases_resolve_exactly() {
    let registry = both();
    for (word, name) in [
        ("Backup", "Backup"),
        ("app.backup", "Backup"),
        ("save", "Backup"),
        ("SendMail", "SendMail"),
        (r"App\Jobs\SendMail", "SendMail"),
    ] {
        assert_eq!(registry.resolve(word).unwrap().name, name);
    }
    for word in [
        "backup", "BACKUP", " Backup", "Backup ", "", "Save", "Backu",
    ] {
        assert!(registry.resolve(word).is_err(), "{word:?}");
    }
}

#[test]
fn iteration_is_sorted_by_name() {
    let names: Vec<_> = both().iter().map(|definition| definition.name).collect();
    assert_eq!(names, ["Backup", "SendMail"]);
    let registry = both();
    let aliases: Vec<_> = registry
        .aliases()
        .map(|(alias, to)| (alias, to.name))
        .collect();
    assert_eq!(
        aliases,
        [
            (r"App\Jobs\SendMail", "SendMail"),
            ("app.backup", "Backup"),
            ("save", "Backup")
        ]
    );
    assert_eq!((registry.len(), registry.is_empty()), (2, false));
}

#[test]
fn the_same_definition_twice_is_one() {
    let registry = built(&[&BACKUP, &MAIL, &BACKUP, &BACKUP_COPY]).unwrap();
    assert_eq!(registry.len(), 2);
}

#[test]
fn two_definitions_of_one_name_are_named_with_their_places() {
    for order in [[&BACKUP, &OTHER_BACKUP], [&OTHER_BACKUP, &BACKUP]] {
        let error = built(&order).unwrap_err();
        assert_eq!(
            error.to_string(),
            "two dispatchers answer to `Backup`\n\
             it is the name of the one at src/jobs.rs:3 and the name of the one at src/jobs.rs:30"
        );
        assert_eq!(
            error.advice(),
            "rename one of them, or give it `#[dispatcher(name = \"…\")]`"
        );
    }
}

#[test]
fn every_clash_is_reported_at_once_in_one_order() {
    let error = built(&[&STORE, &SAVE, &OTHER_BACKUP, &BACKUP]).unwrap_err();
    assert_eq!(
        built(&[&BACKUP, &OTHER_BACKUP, &SAVE, &STORE]).unwrap_err(),
        error
    );
    assert_eq!(
        error.to_string(),
        "two dispatchers answer to `Backup`\n\
         it is the name of the one at src/jobs.rs:3 and the name of the one at src/jobs.rs:30\n\
         two dispatchers answer to `save`\n\
         it is the name of the one at src/jobs.rs:12 and an alias of Backup at src/jobs.rs:3\n\
         two dispatchers answer to `save`\n\
         it is the name of the one at src/jobs.rs:12 and an alias of Store at src/jobs.rs:15\n\
         two dispatchers answer to `Backup`\n\
         it is the name of the one at src/jobs.rs:3 and an alias of Store at src/jobs.rs:15"
    );
    assert_eq!(error.problems().len(), 4);
    assert_eq!(error.advice().lines().count(), 4);
}

#[test]
fn an_empty_registry_explains_the_linker() {
    let error = built(&[]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "this program has no dispatchers\n\
         nothing with `#[derive(Dispatcher)]` was linked into it"
    );
    assert!(error.advice().contains("use my_jobs as _;"));
    let unknown = Registry::default().resolve("x").unwrap_err();
    assert!(unknown.advice().contains("use my_jobs as _;"));
}

#[test]
fn an_unknown_name_says_what_there_is_and_what_was_meant() {
    let error = both().resolve("Bakcup").unwrap_err();
    assert_eq!(
        error.to_string(),
        "no dispatcher is called `Bakcup`\nthis program has Backup and SendMail"
    );
    assert_eq!(error.advice(), "did you mean `Backup`?");
    let error = both().resolve("sendmail").unwrap_err();
    assert_eq!(
        error.advice(),
        "write `SendMail`: names are exact, capitals included"
    );
    let error = both().resolve("app.backups").unwrap_err();
    assert_eq!(error.advice(), "did you mean `app.backup`?");
    let error = both().resolve("Reindex").unwrap_err();
    assert_eq!(error.advice(), "the command `list` shows every dispatcher");
    let error = built(&[&MAIL]).unwrap().resolve("x").unwrap_err();
    assert_eq!(
        error.to_string(),
        "no dispatcher is called `x`\nthe only one in this program is SendMail"
    );
}

#[test]
fn many_names_are_counted_and_hostile_ones_bounded() {
    let mut builder = Registry::builder();
    for line in 0..40 {
        let name = format!("Job{line}").leak();
        builder = builder.with(Box::leak(Box::new(definition(name, &[], line))));
    }
    let name = format!("\u{1b}[31m{}", "x".repeat(1_000_000));
    let error = builder.build().unwrap().resolve(&name).unwrap_err();
    let text = error.to_string();
    assert!(
        text.ends_with("\nnone of this program's 40 has that name"),
        "{text}"
    );
    assert!(text.len() < 300 && !text.contains('\u{1b}'), "{text}");
}

#[test]
fn configured_aliases_resolve() {
    let registry = both()
        .with_aliases(aliases(&[
            ("send", "SendMail"),
            ("save", "Backup"),
            ("Backup", "Backup"),
        ]))
        .unwrap();
    assert_eq!(registry.resolve("send").unwrap().name, "SendMail");
    assert_eq!(registry.resolve("save").unwrap().name, "Backup");
    assert_eq!(registry.resolve("Backup").unwrap().name, "Backup");
}

#[test]
fn configured_aliases_are_checked_all_at_once() {
    let error = both()
        .with_aliases(aliases(&[
            ("SendMail", "Backup"),
            ("chained", "save"),
            ("fine", "Backup"),
            ("save", "SendMail"),
            ("typo", "Bakcup"),
        ]))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "two dispatchers answer to `SendMail`\n\
         it is the name of the one at src/jobs.rs:9 and in `[aliases]` for Backup at src/jobs.rs:3\n\
         the alias `chained` leads to `save`, which is no dispatcher's name\n\
         it is itself an alias, of Backup\n\
         two dispatchers answer to `save`\n\
         it is an alias of Backup at src/jobs.rs:3 and in `[aliases]` for SendMail at src/jobs.rs:9\n\
         the alias `typo` leads to `Bakcup`, which is no dispatcher's name\n\
         this program has Backup and SendMail"
    );
    assert_eq!(
        error.advice(),
        "remove the line from `[aliases]`\n\
         write `Backup`\n\
         remove the line from `[aliases]`\n\
         did you mean `Backup`?"
    );
}

#[test]
fn a_configured_alias_of_a_configured_alias_leads_nowhere() {
    let error = both()
        .with_aliases(aliases(&[("one", "Backup"), ("two", "one")]))
        .unwrap_err();
    assert_eq!(error.problems().len(), 1);
    assert_eq!(error.advice(), "write `Backup`");
}
