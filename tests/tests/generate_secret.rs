//! `generate-secret`: every option, and everything that it must leave alone.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Output;

use dispatcher_runner::http::Secret;
use dispatcher_tests::{Home, said};
use serde_json::Value;

const FIXTURE: &str = env!("CARGO_BIN_EXE_fixture");
const VARIABLE: &str = "DISPATCHER_BACKEND_SECRET";

struct Place(Home);

impl Place {
    fn new() -> Self {
        Self(Home::new(FIXTURE))
    }

    fn with(text: &str) -> Self {
        let place = Self::new();
        place.write(text);
        place
    }

    fn write(&self, text: &str) {
        fs::write(self.0.file(".env"), text).unwrap();
    }

    fn text(&self) -> String {
        fs::read_to_string(self.0.file(".env")).unwrap()
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.run_in(arguments, &[])
    }

    fn run_in(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
        let words = std::iter::once("generate-secret").chain(arguments.iter().copied());
        let mut command = self.0.command(words);
        command.envs(variables.iter().copied());
        command.output().unwrap()
    }

    /// The secret in the file.
    fn secret(&self) -> String {
        let text = self.text();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("DISPATCHER_BACKEND_SECRET="));
        line.unwrap_or_else(|| panic!("none: {text}")).to_owned()
    }
}

#[track_caller]
fn ok(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", said(&output.stderr));
    said(&output.stdout).trim().to_owned()
}

#[test]
fn a_secret_is_saved_and_not_shown() {
    let place = Place::with("A=1\n");
    assert_eq!(ok(&place.run(&[])), "");
    let secret = place.secret();
    assert_eq!(secret.len(), 64);
    assert!(secret.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    assert!(Secret::parse(&secret).is_ok());
    assert_eq!(place.text(), format!("A=1\n{VARIABLE}={secret}\n"));
    ok(&place.run(&[]));
    assert_ne!(place.secret(), secret, "each is another one");
    assert_eq!(place.text().lines().count(), 2, "in the same line");
}

#[test]
fn show_prints_it_and_saves_it() {
    let place = Place::with("");
    let shown = ok(&place.run(&["--show"]));
    assert_eq!(shown, place.secret());
    let output = place.run(&["--show", "--json"]);
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["secret"], place.secret());
    assert_eq!(
        (&told["saved"], &told["length"]),
        (&Value::from(true), &Value::from(64))
    );
}

#[test]
fn lengths_are_multiples_of_four() {
    let place = Place::with("");
    for length in [32, 36, 84, 88, 128] {
        let output = place.run(&["--length", &length.to_string()]);
        ok(&output);
        assert_eq!(place.secret().len(), length);
        assert!(Secret::parse(&place.secret()).is_ok());
        let notice = said(&output.stderr).contains("24 to 64 bytes");
        assert_eq!(notice, length > 84, "{length}: {}", said(&output.stderr));
    }
    let before = place.text();
    for length in ["0", "28", "33", "132", "64.0", "-64", "many"] {
        let output = place.run(&[&format!("--length={length}")]);
        assert_eq!(output.status.code(), Some(64), "{length}");
    }
    assert_eq!(place.text(), before);
}

#[test]
fn nothing_else_in_the_file_changes() {
    let text = "# DISPATCHER_BACKEND_SECRET=comment\r\n\
                DISPATCHER_BACKEND_SECRET_OLD=longer\n \
                DISPATCHER_BACKEND_SECRET=indented\n\
                MY_DISPATCHER_BACKEND_SECRET=other\n\n\
                DISPATCHER_BACKEND_SECRET=old # with a comment\r\n\
                LAST='no line end DISPATCHER_BACKEND_SECRET=x'";
    let place = Place::with(text);
    ok(&place.run(&[]));
    let secret = place.secret();
    let wanted = text.replace("=old # with a comment", &format!("={secret}"));
    assert_eq!(place.text(), wanted);
    // Without such a line, one comes after the last.
    let text = "A=1\nB=2";
    let place = Place::with(text);
    ok(&place.run(&[]));
    let secret = place.secret();
    assert_eq!(place.text(), format!("{text}\n{VARIABLE}={secret}\n"));
    // Bytes that are no text stay as well.
    let file = place.0.file(".env");
    fs::write(&file, b"X=\xff\xfe\n").unwrap();
    ok(&place.run(&[]));
    assert!(
        fs::read(&file)
            .unwrap()
            .starts_with(b"X=\xff\xfe\nDISPATCHER_")
    );
}

#[test]
fn mode_and_links_are_kept() {
    let place = Place::with("A=1\n");
    let file = place.0.file(".env");
    for mode in [0o600, 0o640, 0o644] {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        ok(&place.run(&[]));
        let now = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(now & 0o7777, mode);
    }
    let target = place.0.file("shared.env");
    fs::rename(&file, &target).unwrap();
    std::os::unix::fs::symlink(&target, &file).unwrap();
    ok(&place.run(&[]));
    assert!(fs::symlink_metadata(&file).unwrap().is_symlink());
    assert!(
        fs::read_to_string(&target)
            .unwrap()
            .contains(&place.secret())
    );
    let left = fs::read_dir(place.0.path()).unwrap();
    let left = left
        .flatten()
        .filter(|it| it.file_name().to_string_lossy().starts_with(".env-"));
    assert_eq!(left.count(), 0, "nothing is left beside it");
}

#[test]
fn a_missing_file_is_made_only_when_asked() {
    let place = Place::new();
    let output = place.run(&[]);
    assert_eq!(output.status.code(), Some(78));
    assert!(
        said(&output.stderr).contains("--create"),
        "{}",
        said(&output.stderr)
    );
    assert!(!place.0.file(".env").exists());
    ok(&place.run(&["--create"]));
    let mode = fs::metadata(place.0.file(".env"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o600);
    assert_eq!(place.text(), format!("{VARIABLE}={}\n", place.secret()));
    ok(&place.run(&["--create", "--env-file", "other.env"]));
    assert!(place.0.read("other.env").starts_with(VARIABLE));
    let output = place.run(&["--create", "--env-file", "no/such/folder/.env"]);
    assert_eq!(output.status.code(), Some(78));
}

#[test]
fn no_replace_adds_and_never_overwrites() {
    let place = Place::with("A=1\n");
    ok(&place.run(&["--no-replace"]));
    let before = place.text();
    let output = place.run(&["--no-replace"]);
    ok(&output);
    assert_eq!(place.text(), before);
    let warned = said(&output.stderr);
    assert!(warned.contains("neither saved nor shown"), "{warned}");
    let output = place.run(&["--no-replace", "--show"]);
    assert_eq!(ok(&output).len(), 64);
    assert!(!said(&output.stderr).contains("neither"));
    assert_eq!(place.text(), before);
}

#[test]
fn production_is_guarded() {
    let guarded = |place: &Place, variables: &[(&str, &str)]| {
        let before = place.text();
        let output = place.run_in(&["--show"], variables);
        assert_eq!(output.status.code(), Some(1), "{variables:?}");
        assert!(said(&output.stderr).contains("production"));
        assert_eq!((output.stdout.len(), place.text()), (0, before));
        ok(&place.run_in(&["--force"], variables));
    };
    for name in ["APP_ENV", "DISPATCHER_ENV"] {
        guarded(&Place::with("A=1\n"), &[(name, "production")]);
        for text in ["=production\n", "=\"production\"\n", "='production' # so\n"] {
            guarded(&Place::with(&format!("{name}{text}")), &[]);
        }
        for text in ["=local\n", "S=production\n", "=production2\n"] {
            ok(&Place::with(&format!("{name}{text}")).run(&[]));
        }
        ok(&Place::with(&format!("# {name}=production\n")).run(&[]));
    }
}

#[test]
fn a_configuration_with_mistakes_is_no_obstacle() {
    let place = Place::with("DISPATCHER_NO_SUCH_THING=1\n");
    ok(&place.run_in(
        &[],
        &[
            ("DISPATCHER_WORKERS", "many"),
            ("DISPATCHER_CONFIG", "/nowhere"),
        ],
    ));
    assert_eq!(place.secret().len(), 64);
}
