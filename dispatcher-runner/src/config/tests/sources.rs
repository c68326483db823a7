//! `[sources.NAME]`: kept as written, and read as strictly as the rest.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::*;

#[derive(Debug, Deserialize, PartialEq)]
struct Watcher {
    folder: String,
    #[serde(default)]
    every: Option<u32>,
    #[serde(default)]
    rules: BTreeMap<String, Rule>,
    #[serde(default, alias = "exts")]
    extensions: Vec<String>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Rule {
    dispatcher: String,
}

fn watcher(section: &str) -> Result<Watcher, ConfigError> {
    let text = format!("version = 1\n[sources.watcher]\n{section}\n");
    let config = read(&text).unwrap_or_else(|error| panic!("{section}\n{}", error.why()));
    config.source("watcher").expect("a section").read()
}

#[test]
fn a_section_is_read_as_its_type() {
    let section = "# a comment\nfolder = \"/srv\"\nexts = [\"pdf\"]\n\
                   [sources.watcher.rules.a]\ndispatcher = \"A\"";
    let rule = Rule {
        dispatcher: "A".to_owned(),
    };
    let expected = Watcher {
        folder: "/srv".to_owned(),
        every: None,
        rules: [("a".to_owned(), rule)].into(),
        extensions: vec!["pdf".to_owned()],
    };
    assert_eq!(watcher(section).unwrap(), expected);
}

#[test]
fn mistakes_have_lines_and_suggestions() {
    for (section, expected) in [
        (
            "\nfolder = \"/srv\"\nevrey = 1\ncolour = 2",
            "line 5: unknown key `evrey` in [sources.watcher]; did you mean `every`?\n\
             line 6: unknown key `colour` in [sources.watcher]; known are folder, every, rules, \
             extensions, exts",
        ),
        (
            "",
            "line 2: [sources.watcher]: missing field `folder`; add `folder = …`",
        ),
        (
            "folder = \"/srv\"\nevery = \"often\"",
            "line 4: `every` of [sources.watcher]: invalid type: string \"often\", expected u32",
        ),
        (
            "folder = \"/srv\"\n[sources.watcher.rules.a]\ndispatcher = \"A\"\n\
             [sources.watcher.rules.b]\ndispatchr = \"B\"",
            "line 7: [sources.watcher]: unknown field `dispatchr`, expected \
             `dispatcher`; did you mean `dispatcher`?",
        ),
        (
            "foldr = \"/srv\"",
            "line 2: [sources.watcher]: missing field `folder`; add `folder = …`\n\
             line 3: unknown key `foldr` in [sources.watcher]; did you mean `folder`?",
        ),
    ] {
        let error = watcher(section).unwrap_err();
        assert_eq!(error.why(), expected, "{section}");
        assert!(
            error
                .to_string()
                .starts_with("/etc/app/dispatcher.toml has ")
        );
    }
}

#[test]
fn sections_of_code_are_read_the_same_way() {
    let table = |text: &str| text.parse::<toml::Table>().unwrap();
    let config =
        Config::new("app").with_source("watcher", table("folder = \"/a\"\npool = \"default\""));
    let section = config.source("watcher").unwrap();
    assert_eq!(section.pool(), Some(&PoolOf::Named("default".to_owned())));
    assert_eq!((section.line(), section.table().len()), (None, 1));
    assert_eq!(section.read::<Watcher>().unwrap().folder, "/a");
    config.resolve(Registry::default()).unwrap();

    let config =
        Config::new("app").with_source("watcher", table("every = \"x\"\nfoldr = 1\npool = 3"));
    let why = config
        .source("watcher")
        .unwrap()
        .read::<Watcher>()
        .unwrap_err()
        .why();
    assert!(
        why.contains("unknown key `foldr` in [sources.watcher]; did you mean `folder`?"),
        "{why}"
    );
    assert!(
        why.contains("unknown key `pool` in [sources.watcher]"),
        "{why}"
    );
    assert!(why.contains("expected u32"), "{why}");

    let config = Config::new("app").with_source("watcher", table("pool = \"php\""));
    let why = config.resolve(Registry::default()).unwrap_err().why();
    assert_eq!(
        why,
        "source \"watcher\": there is no pool \"php\"; write a section [pools.php]"
    );
}

#[test]
fn a_pool_is_named_or_held() {
    let text = "version = 1\n[sources.a]\npool = \"php\"\nx = 1\n[sources.b.pool]\n\
                num_workers = 3\n[sources.c]\n[sources.d]\npool = \"default\"\n\
                [sources.e.pool]\nmode = \"other\"\n[pools.php]\n";
    let config = read(text).unwrap();
    let pool = |name: &str| config.source(name).unwrap().pool();
    assert_eq!(pool("a"), Some(&PoolOf::Named("php".to_owned())));
    assert_eq!(pool("c"), None);
    assert_eq!(pool("d"), Some(&PoolOf::Named("default".to_owned())));
    let Some(PoolOf::Inline(inline)) = pool("b") else {
        panic!("{:?}", pool("b"))
    };
    assert_eq!((inline.mode.as_str(), inline.max_workers), ("b", 3));
    let Some(PoolOf::Inline(inline)) = pool("e") else {
        panic!("{:?}", pool("e"))
    };
    assert_eq!(inline.mode, "other");
    let a = config.source("a").unwrap();
    assert_eq!(
        (a.line(), a.line_of("x"), a.table().contains_key("pool")),
        (Some(2), Some(4), false)
    );
    let names: Vec<_> = config.sources().map(|(name, _)| name).collect();
    assert_eq!(names, ["a", "b", "c", "d", "e"]);
}

#[test]
fn a_pool_that_is_not_there_is_told() {
    for (text, expected) in [
        (
            "[pools.php]\n[sources.a]\npool = \"phpp\"\n",
            "line 4: there is no pool \"phpp\"; did you mean \"php\"?",
        ),
        (
            "[sources.a]\nx = 1\npool = \"lua\"\n",
            "line 4: there is no pool \"lua\"; write a section [pools.lua]",
        ),
        (
            "[sources.a]\npool = 3\n",
            "line 3: `pool` takes a text, not a number; put it in quotes",
        ),
        (
            "[sources.a.pool]\nworkerz = 3\n",
            "line 3: unknown key `workerz` in [sources.a.pool]; did you mean `workers`?",
        ),
        // A pool with a mistake is there all the same: one mistake, one line.
        (
            "[pools.php]\nworkers = 0\n[sources.a]\npool = \"php\"\n",
            "line 3: `workers` takes a whole number from 1 on, not 0",
        ),
        (
            "sources = 3\n",
            "line 2: `sources` is a number; write it as a section: [sources]",
        ),
        (
            "[sources]\nticker = \"1s\"\n",
            "line 3: `sources.ticker` is a text; write it as a section: [sources.ticker]",
        ),
    ] {
        assert_eq!(problems(&format!("version = 1\n{text}")), expected);
    }
}

#[test]
fn unknown_sources_are_told_by_whoever_knows_them() {
    let config = read("version = 1\n[sources.tikcer]\n[sources.http]\n").unwrap();
    config.check_sources(&["tikcer", "http"]).unwrap();
    let why = config
        .check_sources(&["ticker", "socket"])
        .unwrap_err()
        .why();
    assert_eq!(
        why,
        "line 2: [sources.tikcer] names no source of this program; did you mean [sources.ticker]?\n\
         line 3: [sources.http] names no source of this program; it has ticker, socket"
    );
    let why = config.check_sources(&[]).unwrap_err().why();
    assert!(why.contains("it has none; link one"), "{why}");
}
