//! When a service sends itself what, in virtual time.

use super::*;
use crate::sources::stop::StopSwitch;
use crate::sources::tests::support::{Service, pass, section, virtually};

/// What becomes of a section.
fn made<S: Source>(text: &str) -> Result<S, String> {
    virtually(async {
        let (host, _) = Service::new().host(0);
        let read = section(S::NAME, text, 0).read::<S>();
        let mut source = read.map_err(|problems| problems[0].to_string())?;
        source.init(&host).map_err(|error| error.to_string())?;
        Ok(source)
    })
}

#[test]
fn tasks_are_sent_every_so_often() {
    let source: Scheduled = made(
        "[task_schedule]\ncounted = { schedule = 2, args = [7] }\n\
         Clean = { schedule = 4.5, on_duplicate = \"discard\" }",
    )
    .unwrap();
    virtually(async {
        let service = Service::new();
        let (host, seat) = service.host(0);
        let (switch, stop) = StopSwitch::new();
        let serving = tokio::spawn(async move { source.serve(&host, stop).await });
        pass(Duration::from_secs(10) + Duration::from_millis(1)).await;
        switch.stop();
        serving.await.unwrap().unwrap();
        let sent = service.sent();
        let names: Vec<_> = sent.iter().map(|job| job.name).collect();
        // At 2, 4, 4.5, 6, 8, 9 and 10 seconds.
        assert_eq!(
            names,
            [
                "Count", "Count", "Clean", "Count", "Count", "Clean", "Count"
            ]
        );
        assert_eq!(sent[0].payload, r#"{"tick":7}"#);
        assert!(
            sent[0].origin.contains(r#""uuid":"sch-1""#),
            "{}",
            sent[0].origin
        );
        let policy = sent[2].options.on_duplicate;
        assert_eq!(policy, Some(dispatcher_core::OnDuplicate::Discard));
        assert_eq!(seat.look().counters["received"], 7);
    });
}

#[test]
fn tasks_are_sent_once_at_the_start() {
    let source: OnStart =
        made("[task_list]\nClean = {}\ncounted = { kwargs = { tick = 1 } }").unwrap();
    virtually(async {
        let service = Service::new();
        let (host, _) = service.host(0);
        let (_switch, stop) = StopSwitch::new();
        source.serve(&host, stop).await.unwrap();
        let names: Vec<_> = service.sent().iter().map(|job| job.name).collect();
        assert_eq!(names, ["Clean", "Count"]);
    });
}

#[test]
fn mistakes_are_told_at_the_start() {
    for (text, wanted) in [
        (
            "[task_schedule]\nNobody = { schedule = 1 }",
            "no dispatcher is called `Nobody`",
        ),
        (
            "[task_schedule]\nClean = {}",
            "`schedule` of Clean is no number of seconds",
        ),
        (
            "[task_schedule]\nClean = { schedule = 0 }",
            "`schedule` of Clean is no number",
        ),
        (
            "[task_schedule]\nClean = { schedule = \"1h\" }",
            "`schedule` of Clean is no number",
        ),
        ("task_schedul = 1", "task_schedul"),
    ] {
        let error = made::<Scheduled>(text).unwrap_err();
        assert!(error.contains(wanted), "{text}: {error}");
    }
    let error = made::<OnStart>("[task_list]\nNobody = {}").unwrap_err();
    assert!(
        error.contains("no dispatcher is called `Nobody`"),
        "{error}"
    );
}
