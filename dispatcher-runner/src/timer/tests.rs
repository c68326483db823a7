//! Entries as they are written, against stand-ins for `crontab` and `systemctl`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::*;

fn entry() -> Entry {
    Entry {
        app: "shop".to_owned(),
        program: "/opt/shop/bin/shop".to_owned(),
        arguments: ["schedule", "tick"].map(str::to_owned).to_vec(),
        variables: vec![
            (
                "DISPATCHER_DATABASE_URL",
                "sqlite:/srv/shop/state.db".to_owned(),
            ),
            ("PATH", "/usr/bin:/bin".to_owned()),
        ],
    }
}

const LINES: &str = "\
@reboot DISPATCHER_DATABASE_URL=sqlite:/srv/shop/state.db PATH=/usr/bin:/bin \
/opt/shop/bin/shop schedule tick >/dev/null # schedules of shop, by Dispatcher\n\
* * * * * DISPATCHER_DATABASE_URL=sqlite:/srv/shop/state.db PATH=/usr/bin:/bin \
/opt/shop/bin/shop schedule tick >/dev/null # schedules of shop, by Dispatcher\n";

/// Crontabs as other people write them.
const OTHERS: [&[u8]; 6] = [
    b"",
    b"# m h dom mon dow command\n\n0 4 * * * backup --all\n",
    b"MAILTO=\"\"\r\n\t*/5 * * * * a % b \\% c # schedules of shop\n",
    b"* * * * * x # schedules of other, by Dispatcher\n",
    b"\xff\xfe not text\n\n\n",
    b"# schedules of shop, by Dispatcher\n",
];

#[test]
fn every_other_line_of_a_crontab_stays_byte_for_byte() {
    for other in OTHERS {
        let with = crontab::with(other, &entry());
        assert_eq!(with, [other, LINES.as_bytes()].concat());
        assert_eq!(crontab::with(&with, &entry()), with, "written once");
        assert_eq!(crontab::without(&with, "shop"), other);
        assert_eq!(crontab::without(other, "shop"), other);
        // Others add lines below ours; a new entry stays where the old one was.
        let both = [&with[..], other].concat();
        let mut newer = entry();
        newer.program = "/opt/shop-2/bin/shop".to_owned();
        let ours = LINES.replace("/opt/shop/", "/opt/shop-2/");
        let expected = [other, ours.as_bytes(), other].concat();
        assert_eq!(crontab::with(&both, &newer), expected);
        assert_eq!(crontab::without(&both, "shop"), [other, other].concat());
        assert_eq!(crontab::without(&both, "sho"), both, "another application");
    }
    let unfinished = b"0 4 * * * backup";
    let with = crontab::with(unfinished, &entry());
    assert_eq!(with, [&unfinished[..], b"\n", LINES.as_bytes()].concat());
}

#[test]
fn odd_words_survive_cron_and_the_shell() {
    let mut odd = entry();
    odd.app = "50% \"shop\"".to_owned();
    odd.program = "/opt/it's 100%/shop".to_owned();
    odd.variables = vec![("DISPATCHER_DATABASE_URL", "sqlite:/a $HOME `b`".to_owned())];
    let text = crontab::lines(&odd);
    let line = text.lines().next().unwrap();
    assert_eq!(
        line,
        "@reboot DISPATCHER_DATABASE_URL='sqlite:/a $HOME `b`' '/opt/it'\\''s 100\\%/shop' \
         schedule tick >/dev/null # schedules of 50\\% \"shop\", by Dispatcher"
    );
    assert_eq!(crontab::without(text.as_bytes(), &odd.app), b"");
}

#[test]
fn a_long_path_is_left_out_of_a_crontab() {
    let mut long = entry();
    long.variables[1].1 = "/some/where:".repeat(100);
    let text = crontab::lines(&long);
    assert!(!text.contains("PATH="), "{text}");
    assert!(text.contains("DISPATCHER_DATABASE_URL="), "{text}");
    // The mark is part of what cron counts, and an application's name may be long, too.
    long.app = "%".repeat(150);
    for bytes in 0..1_000 {
        long.variables[1].1 = "p".repeat(bytes);
        let text = crontab::lines(&long);
        let command = text.lines().find_map(|line| line.strip_prefix("@reboot "));
        assert!(command.unwrap().len() <= 998, "{text}");
    }
}

#[test]
fn line_breaks_are_refused() {
    for change in [
        |entry: &mut Entry| entry.program.push('\n'),
        |entry: &mut Entry| entry.arguments.push("\r".to_owned()),
        |entry: &mut Entry| entry.variables[0].1.push('\n'),
    ] {
        let mut broken = entry();
        change(&mut broken);
        let program = PathBuf::from("/nowhere");
        let timer = Timer::Crontab(Crontab { program });
        for refused in [
            timer.preview(&broken).map(drop),
            timer.install(&broken).map(drop),
        ] {
            assert!(matches!(refused, Err(TimerError::LineBreak { .. })));
        }
    }
}

/// A program of the host that a script stands in for.
fn script(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(
        &path,
        format!("#!/bin/sh\ncd '{}'\n{text}", folder.display()),
    )
    .unwrap();
    fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    path
}

const CRONTAB: &str = "\
case $1 in
-l) [ -f tab ] || { echo 'no crontab for me' >&2; exit 1; }; cat tab;;
-) cat >new; echo >>writes; mv new tab;;
esac
";

#[test]
fn a_crontab_is_written_once_and_taken_out() {
    let folder = tempfile::tempdir().unwrap();
    let program = script(folder.path(), "crontab", CRONTAB);
    let tab = || fs::read_to_string(folder.path().join("tab")).unwrap();
    let timer = Timer::Crontab(Crontab { program });
    assert_eq!(timer.remove("shop").unwrap(), Change::None, "there is none");
    assert_eq!(timer.install(&entry()).unwrap(), Change::Made);
    assert_eq!(timer.install(&entry()).unwrap(), Change::None);
    assert_eq!(tab(), LINES);
    assert_eq!(timer.preview(&entry()).unwrap(), LINES);
    assert_eq!(timer.remove("shop").unwrap(), Change::Made);
    assert_eq!(timer.remove("shop").unwrap(), Change::None);
    assert_eq!(tab(), "");
    let writes = fs::read_to_string(folder.path().join("writes")).unwrap();
    assert_eq!(writes.lines().count(), 2);
}

#[test]
fn a_crontab_that_cannot_be_read_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    for text in [
        "echo 'you are not allowed to use this program' >&2; exit 1",
        "echo half of it; exit 1",
        "kill -9 $$",
    ] {
        let refusing = format!("[ $1 = -l ] || {{ echo >>writes; exit; }}\n{text}\n");
        let program = script(folder.path(), "crontab", &refusing);
        let timer = Timer::Crontab(Crontab { program });
        let refused = timer.install(&entry());
        assert!(matches!(refused, Err(TimerError::Refused { .. })), "{text}");
        assert!(!folder.path().join("writes").exists());
    }
    let program = folder.path().join("nothing");
    let refused = Timer::Crontab(Crontab { program }).install(&entry());
    assert!(matches!(refused, Err(TimerError::Run { .. })));
}

#[test]
fn units_are_written_once_and_taken_out() {
    let folder = tempfile::tempdir().unwrap();
    let systemctl = script(folder.path(), "systemctl", "echo \"$*\" >>calls\n");
    let units = folder.path().join("units");
    let timer = Timer::Systemd(Systemd {
        systemctl,
        units: units.clone(),
        root: false,
    });
    let calls = || {
        let path = folder.path().join("calls");
        let text = fs::read_to_string(&path).unwrap_or_default();
        let _ = fs::remove_file(path);
        text
    };
    assert_eq!(timer.remove("shop").unwrap(), Change::None);
    assert_eq!(calls(), "");
    assert_eq!(timer.install(&entry()).unwrap(), Change::Made);
    assert_eq!(
        calls(),
        "--user daemon-reload\n--user enable --now dispatcher-shop.timer\n"
    );
    assert_eq!(timer.install(&entry()).unwrap(), Change::None);
    assert_eq!(calls(), "--user enable --now dispatcher-shop.timer\n");
    let service = fs::read_to_string(units.join("dispatcher-shop.service")).unwrap();
    assert!(service.ends_with(
        "[Service]\n\
         Type=oneshot\n\
         KillMode=process\n\
         Environment=\"DISPATCHER_DATABASE_URL=sqlite:/srv/shop/state.db\"\n\
         Environment=\"PATH=/usr/bin:/bin\"\n\
         ExecStart=\"/opt/shop/bin/shop\" \"schedule\" \"tick\"\n"
    ));
    let unit = fs::read_to_string(units.join("dispatcher-shop.timer")).unwrap();
    assert!(unit.contains("\nOnCalendar=minutely\n") && unit.contains("\nOnStartupSec=0\n"));
    fs::write(units.join("other.timer"), "").unwrap();
    assert_eq!(timer.remove("shop").unwrap(), Change::Made);
    assert_eq!(
        calls(),
        "--user disable --now dispatcher-shop.timer\n--user daemon-reload\n"
    );
    assert_eq!(timer.remove("shop").unwrap(), Change::None);
    assert_eq!(
        fs::read_dir(&units).unwrap().count(),
        1,
        "the other one stays"
    );
}

#[test]
fn a_timer_that_refuses_does_not_keep_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let text = "echo 'Failed to connect to bus' >&2; exit 1\n";
    let systemd = Timer::Systemd(Systemd {
        systemctl: script(folder.path(), "systemctl", text),
        units: folder.path().to_owned(),
        root: false,
    });
    let unit = folder.path().join("dispatcher-shop.timer");
    fs::write(&unit, "").unwrap();
    let program = script(folder.path(), "crontab", CRONTAB);
    let crontab = Timer::Crontab(Crontab { program });
    for timers in [[&systemd, &crontab], [&crontab, &systemd]] {
        crontab.install(&entry()).unwrap();
        let (removed, failures) = remove_from_all(timers.map(Timer::clone), "shop");
        assert_eq!(removed, ["the crontab"]);
        assert!(
            matches!(&failures[..], [TimerError::Refused { said, .. }] if said.contains("bus")),
            "{failures:?}"
        );
        assert_eq!(fs::read(folder.path().join("tab")).unwrap(), b"");
        assert!(unit.exists(), "what still is enabled is not hidden");
    }
}

#[test]
fn odd_words_survive_systemd() {
    let mut odd = entry();
    odd.app = "my shop".to_owned();
    odd.program = "/opt/a \"b\" $c 100%\\d".to_owned();
    odd.variables = vec![("PATH", "/a:$b:%h".to_owned())];
    let systemd = Systemd {
        systemctl: "/nowhere".into(),
        units: "/units".into(),
        root: true,
    };
    let text = Timer::Systemd(systemd).preview(&odd).unwrap();
    assert!(
        text.contains("# /units/dispatcher-my\\x20shop.service\n"),
        "{text}"
    );
    assert!(
        text.contains(r#"ExecStart="/opt/a \"b\" $$c 100%%\\d" "schedule" "tick""#),
        "{text}"
    );
    assert!(text.contains("Environment=\"PATH=/a:$b:%%h\"\n"), "{text}");
}

#[test]
fn systemd_is_used_where_it_is_in_charge() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host {
        booted: folder.path().to_owned(),
        root: false,
        user_units: Some("/home/me/.config/systemd/user".into()),
        system_units: "/etc/systemd/system".into(),
        user_bus: true,
        crontab: Some("/usr/bin/crontab".into()),
        systemctl: Some("/usr/bin/systemctl".into()),
    };
    let units = |host: &Host| match host.usual() {
        Some(Timer::Systemd(systemd)) => systemd.units.display().to_string(),
        Some(Timer::Crontab(_)) => "crontab".to_owned(),
        None => "none".to_owned(),
    };
    assert_eq!(units(&host), "/home/me/.config/systemd/user");
    let with = |change: fn(&mut Host)| {
        let mut changed = host.clone();
        change(&mut changed);
        units(&changed)
    };
    assert_eq!(with(|it| it.root = true), "/etc/systemd/system");
    assert_eq!(
        with(|it| (it.root, it.user_bus) = (true, false)),
        "/etc/systemd/system"
    );
    assert_eq!(with(|it| it.user_bus = false), "crontab");
    assert_eq!(with(|it| it.user_units = None), "crontab");
    assert_eq!(with(|it| it.systemctl = None), "crontab");
    assert_eq!(with(|it| it.booted.push("not")), "crontab");
    assert_eq!(with(|it| (it.systemctl, it.crontab) = (None, None)), "none");
}
