//! What a re-executed copy of the program is told to be.
//!
//! A role stands in the arguments, never in the environment, and is honoured only if descriptor 0
//! is a socket of the right kind: nobody becomes a keeper by typing.

use std::ffi::OsString;
use std::io::{self, Write as _};

use dispatcher_core::JobId;

use super::socket::MessageSocket;
use super::tag::TAG_VARIABLE;
use super::wire::Opening;
use super::{keeper_loop, sys, worker};

/// First argument of a keeper.
pub(super) const KEEPER_ROLE: &str = "dispatcher-keeper";

/// Second argument of a keeper: room in which workers show their titles.
pub(super) const PADDING: &str = "................................................................\
     ................................................................\
     ................................................................\
     ................................................................";

#[derive(Debug, PartialEq, Eq)]
enum Role {
    Keeper { name: String },
    Worker { dispatcher: String, job: JobId },
}

/// Becomes a keeper or a worker if that is what this copy of the program was started for, and
/// then never returns. Must be the first thing that `main` does.
pub(crate) fn become_role_if_asked() {
    let arguments: Vec<OsString> = std::env::args_os().take(6).collect();
    let stdin = io::stdin();
    match role(&arguments) {
        Some(Role::Keeper { name }) if sys::is_unix_socket(&stdin, libc::SOCK_SEQPACKET) => {
            become_keeper(&name)
        }
        Some(Role::Worker { dispatcher, job })
            if sys::is_unix_socket(&stdin, libc::SOCK_STREAM) && carries_tag_of(job) =>
        {
            worker::serve_exec(&dispatcher, job)
        }
        Some(Role::Keeper { .. } | Role::Worker { .. }) | None => {}
    }
}

fn role(arguments: &[OsString]) -> Option<Role> {
    let words: Vec<_> = arguments
        .iter()
        .map(|argument| argument.to_string_lossy())
        .collect();
    let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
    match words[..] {
        [name, KEEPER_ROLE, PADDING] => Some(Role::Keeper {
            name: name.to_owned(),
        }),
        [_, "notifydispatcher", name, "--job", job] => Some(Role::Worker {
            dispatcher: name.to_owned(),
            job: job.parse().ok()?,
        }),
        _ => None,
    }
}

fn carries_tag_of(job: JobId) -> bool {
    std::env::var(TAG_VARIABLE).is_ok_and(|value| {
        value
            .strip_prefix(job.as_str())
            .is_some_and(|rest| rest.starts_with('.'))
    })
}

/// Threads of this process besides the one that asks.
///
/// # Panics
/// When `/proc` is not mounted.
pub(crate) fn other_threads() -> usize {
    match std::fs::read_dir("/proc/self/task") {
        Ok(tasks) => tasks.count().saturating_sub(1),
        Err(error) => panic!("/proc/self/task cannot be read: {error}"),
    }
}

fn become_keeper(name: &str) -> ! {
    let code = match sys::take_stdin().map(MessageSocket::new) {
        Ok(socket) => open_keeper(socket, name),
        Err(error) => say(&format!("the keeper has no socket: {error}")),
    };
    std::process::exit(code)
}

fn open_keeper(socket: MessageSocket, name: &str) -> i32 {
    let refusal = match other_threads() {
        0 => match keeper_loop::prepare(socket, name) {
            Ok(keeper) => return keeper.run(),
            Err((socket, error)) => (socket, format!("the keeper cannot begin: {error}")),
        },
        count => (
            socket,
            format!(
                "the keeper found {count} threads besides its own, and a process with threads must \
                 not fork: this is a program that starts threads before init(); call \
                 `dispatcher_runner::init()` as the first line of `main`"
            ),
        ),
    };
    let (socket, why) = refusal;
    let code = say(&why);
    // The supervisor may be gone; then nobody waits for the reason.
    let _ = socket.send(&Opening::Refused { why }.encode(), &[]);
    code
}

/// Stderr of a keeper is its supervisor's log.
pub(super) fn say(why: &str) -> i32 {
    // On a full disk it is said to the supervisor alone.
    let _ = io::stderr().write_all(format!("dispatcher: {why}\n").as_bytes());
    70
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(words: &[&str]) -> Option<Role> {
        let words: Vec<OsString> = words.iter().map(Into::into).collect();
        role(&words)
    }

    #[test]
    fn roles_are_exact() {
        let id = "0123456789abcdef".replace('0', "z");
        let worker = of(&["app", "notifydispatcher", "X", "--job", &id]);
        assert_eq!(
            worker,
            Some(Role::Worker {
                dispatcher: "X".into(),
                job: id.parse().unwrap()
            })
        );
        let name = "app".to_owned();
        assert_eq!(
            of(&["app", KEEPER_ROLE, PADDING]),
            Some(Role::Keeper { name })
        );
        assert_eq!(of(&["app", KEEPER_ROLE]), None);
        assert_eq!(of(&["app", "notifydispatcher", "X", "--job", "no"]), None);
        assert_eq!(of(&["app", "notifydispatcher", "X"]), None);
        assert_eq!(of(&[]), None);
    }
}
