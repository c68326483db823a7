//! Which sources there are, which are on, and what is wrong with their sections.

use serde::Deserialize;

use super::support::{Service, section, virtually};
use crate::config::ConfigProblem;
use crate::sources::{
    Host, Prepared, Source, SourceError, SourceStage, Sources, SourcesBuilder, Stop,
};

#[derive(Deserialize)]
struct Bell {
    door: String,
}

impl Source for Bell {
    const NAME: &'static str = "bell";

    fn init(&mut self, host: &Host) -> Result<(), SourceError> {
        match self.door.as_str() {
            "none" => Err("there is no door".into()),
            "broken" => panic!("the door is broken"),
            _ => {
                assert_eq!(host.name(), "bell");
                Ok(())
            }
        }
    }

    async fn serve(&self, _: &Host, stop: Stop) -> Result<(), SourceError> {
        stop.requested().await;
        Ok(())
    }
}

#[derive(Deserialize)]
struct Heavy {}

impl Source for Heavy {
    const NAME: &'static str = "heavy";
    const WEIGHT: i32 = 20;

    async fn serve(&self, _: &Host, _: Stop) -> Result<(), SourceError> {
        Ok(())
    }
}

#[derive(Deserialize)]
struct OtherBell {}

impl Source for OtherBell {
    const NAME: &'static str = "bell";

    async fn serve(&self, _: &Host, _: Stop) -> Result<(), SourceError> {
        Ok(())
    }
}

fn both() -> SourcesBuilder {
    Sources::builder().with::<Bell>().with::<Heavy>()
}

fn prepared(bell: Option<&str>) -> Result<Prepared, Vec<ConfigProblem>> {
    let sources = both().build().unwrap();
    let of = |name: &str| match name {
        "bell" => bell.map(|text| section(name, text, 2)),
        _ => Some(section(name, "", 0)),
    };
    let ways = virtually(async { Service::new().ways() });
    Prepared::new(&sources, of, &ways)
}

#[test]
fn the_heavier_come_first_and_no_two_have_one_name() {
    let sources = both().with::<Bell>().build().unwrap();
    assert_eq!(sources.names(), [("heavy", 20), ("bell", 10)]);
    let error = both().with::<OtherBell>().build().unwrap_err();
    assert_eq!(
        error.to_string(),
        "two sources of this program are called `bell`"
    );
}

#[test]
fn those_of_the_linker_are_found() {
    let linked = Sources::collect().unwrap();
    assert_eq!(
        linked.names().contains(&("ticker", 10)),
        cfg!(feature = "ticker")
    );
}

#[test]
fn a_source_without_a_section_is_off() {
    let off = prepared(None).unwrap();
    let stages: Vec<_> = off
        .board()
        .look()
        .into_iter()
        .map(|it| (it.name, it.stage))
        .collect();
    assert_eq!(
        stages,
        [("heavy", SourceStage::Waiting), ("bell", SourceStage::Off)]
    );
    assert!(!off.is_empty());
    let on = prepared(Some("door = \"front\"")).unwrap();
    let stages = on.board().look().into_iter().map(|it| it.stage);
    assert!(stages.eq([SourceStage::Waiting, SourceStage::Waiting]));
}

#[test]
fn what_is_wrong_with_a_section_names_it() {
    for (text, said) in [
        ("dor = \"front\"", "dor"),
        ("", "door"),
        ("door = 3", "expected a string"),
        ("door = \"none\"", "there is no door"),
        ("door = \"broken\"", "it panicked: the door is broken"),
    ] {
        let problems = prepared(Some(text)).map(|_| ()).unwrap_err();
        let told = problems[0].to_string();
        assert!(
            told.contains(said) && told.contains("[sources.bell]"),
            "{text}: {told}"
        );
    }
}
