//! State directories that cannot be used.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use dispatcher_tests::{Home, as_nobody, output_on, read_only, with_own_mounts};

use crate::{COMMANDS, Scene, complaint, run, says};

/// Commands that need the state.
const ASKING: [&[&str]; 4] = [
    &["notifydispatcher", "RenewCertificate", r#"{"domain":"x"}"#],
    &["jobs"],
    &["status"],
    &["prune"],
];

#[test]
fn a_file_in_place_of_the_directory() {
    let home = Home::new(COMMANDS);
    fs::write(home.state(), "not a directory").expect("the directory can be written");
    for arguments in ASKING {
        let complaint = complaint(&run(&home, arguments), 74);
        let state = home.state().display().to_string();
        complaint.tells(&["cannot use the state directory", &state]);
        says(&complaint.why, &["the state is", &state]);
        says(
            &complaint.todo,
            &["DISPATCHER_DATABASE_URL=sqlite:/path/state.db"],
        );
    }
    let content = fs::read_to_string(home.state()).expect("it is still a file");
    assert_eq!(content, "not a directory");
}

#[test]
fn a_directory_in_place_of_the_file() {
    let home = Home::new(COMMANDS);
    fs::create_dir_all(home.database()).expect("the directory can be written");
    for arguments in ASKING {
        let complaint = complaint(&run(&home, arguments), 74);
        let state = home.state().display().to_string();
        complaint.tells(&["cannot use the state directory", &state]);
    }
}

/// As root no permission is missing, so the program runs as somebody else then.
#[test]
fn a_directory_of_somebody_else() {
    let home = &Home::new(COMMANDS);
    let scene = Scene::of(home);
    scene.abandon();
    let program = home.file("commands");
    fs::copy(COMMANDS, &program).expect("the program can be copied");
    let mode = |path: &Path, mode| {
        let permissions = fs::Permissions::from_mode(mode);
        fs::set_permissions(path, permissions).expect("it is ours");
    };
    let is_root = rustix::process::geteuid().is_root();
    if is_root {
        mode(home.path(), 0o755);
    } else {
        mode(&home.state(), 0o000);
    }
    for arguments in ASKING {
        let output = as_nobody(&program, &home.command(arguments)).output();
        let output = output.expect("setpriv is installed (util-linux)");
        let complaint = complaint(&output, 74);
        let state = home.state().display().to_string();
        complaint.tells(&["cannot use the state directory", &state]);
        says(&complaint.why, &["ermission denied"]);
        says(&complaint.todo, &["owner and permissions"]);
    }
    mode(&home.state(), 0o700);
    scene.nothing_is_lost_after_another();
}

#[test]
fn a_read_only_file_system() {
    with_own_mounts("place::a_read_only_file_system", || {
        let home = &Home::new(COMMANDS);
        let scene = Scene::of(home);
        scene.abandon();
        let guard = read_only(&home.state());
        for arguments in [ASKING[0], &["prune"], &["pause", "Gated"]] {
            let complaint = complaint(&run(home, arguments), 74);
            let state = home.state().display().to_string();
            complaint.tells(&["cannot use the state directory", &state]);
            says(&complaint.todo, &["owner and permissions"]);
        }
        drop(guard);
        scene.nothing_is_lost_after_another();
    });
}

/// Type numbers of `statfs(2)` as such mounts have shown them.
#[test]
fn a_network_file_system() {
    const NETWORK: [(u32, &str); 6] = [
        (0x0000_6969, "NFS"),
        (0xff53_4d42, "CIFS"),
        (0xfe53_4d42, "SMB2"),
        (0x00c3_6400, "Ceph"),
        (0x0102_1997, "9P"),
        (0x0bd0_0bd0, "Lustre"),
    ];
    let home = &Home::new(COMMANDS);
    for (number, name) in NETWORK {
        let (output, asked) = output_on(number, home.command(ASKING[0]));
        assert!(asked > 0, "nobody asked where the state lies");
        let complaint = complaint(&output, 74);
        complaint.tells(&[
            &home.database().display().to_string(),
            &format!("network file system ({name})"),
            "locks do not hold",
        ]);
        says(
            &complaint.todo,
            &["a local disk", "DISPATCHER_DATABASE_URL"],
        );
        assert!(!home.state().exists(), "nothing was made there");
    }
    // A state that was moved there, with jobs that wait, is left as it is.
    let scene = Scene::of(home);
    for arguments in ASKING {
        let (output, _) = output_on(0x6969, home.command(arguments));
        complaint(&output, 74).tells(&["network file system (NFS)"]);
    }
    assert_eq!(home.ids(), scene.jobs);
    let ext4 = 0xef53;
    let (output, _) = output_on(ext4, home.command(["jobs"]));
    assert!(output.status.success(), "{output:?}");
    scene.nothing_is_lost();
}
