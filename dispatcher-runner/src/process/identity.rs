//! The user that a worker runs as, looked up where the keeper's own user may look.
//!
//! Names are read from the files of the system; users known to a directory service only are given
//! by number.

use std::fs;
use std::io;

use rustix::process::{Gid, Uid};
use rustix::thread::{set_thread_gid, set_thread_groups, set_thread_uid};

/// Who a process is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(super) user: u32,
    pub(super) group: u32,
    /// All groups, the main one included.
    pub(super) groups: Vec<u32>,
}

impl Identity {
    /// The user of this name or number; one without an entry has the group of the same number.
    ///
    /// # Errors
    /// When there is no such user.
    pub(crate) fn of(user: &str) -> io::Result<Self> {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        Self::find(user, &read("/etc/passwd"), &read("/etc/group")).ok_or_else(|| {
            let what = format!("there is no user `{user}` in /etc/passwd");
            io::Error::new(io::ErrorKind::NotFound, what)
        })
    }

    /// Formats: `passwd(5)`, `group(5)`.
    fn find(user: &str, passwd: &str, group: &str) -> Option<Self> {
        let number: Option<u32> = user.parse().ok();
        let entry = passwd.lines().find_map(|line| {
            let fields: Vec<_> = line.split(':').collect();
            let [name, _, id, group, ..] = fields[..] else {
                return None;
            };
            let (id, group) = (id.parse().ok()?, group.parse().ok()?);
            (name == user || number == Some(id)).then_some((name, id, group))
        });
        let (name, user, own) = match (entry, number) {
            (Some(entry), _) => entry,
            (None, Some(number)) => (user, number, number),
            (None, None) => return None,
        };
        let others = group.lines().filter_map(|line| {
            let fields: Vec<_> = line.split(':').collect();
            let [_, _, id, members] = fields[..] else {
                return None;
            };
            let member = members.split(',').any(|member| member == name);
            id.parse().ok().filter(|_| member)
        });
        let mut groups: Vec<u32> = others.chain([own]).collect();
        groups.sort_unstable();
        groups.dedup();
        Some(Self {
            user,
            group: own,
            groups,
        })
    }

    /// Makes this process, which has one thread, that user's for good.
    ///
    /// # Errors
    /// `EPERM` when it is somebody else and may not.
    pub(super) fn take(&self) -> io::Result<()> {
        if rustix::process::geteuid().as_raw() == self.user {
            return Ok(());
        }
        let groups: Vec<Gid> = self.groups.iter().map(|id| Gid::from_raw(*id)).collect();
        set_thread_groups(&groups)?;
        set_thread_gid(Gid::from_raw(self.group))?;
        set_thread_uid(Uid::from_raw(self.user))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34:Web:/srv:/bin/false\nodd\n";
    const GROUP: &str = "root:x:0:\nweb:x:34:\nlogs:x:4:ann,web\nmail:x:8:webmaster\nodd\n";

    #[test]
    fn names_and_numbers_lead_to_the_same_user() {
        let web = Identity {
            user: 33,
            group: 34,
            groups: vec![4, 34],
        };
        assert_eq!(Identity::find("web", PASSWD, GROUP), Some(web.clone()));
        assert_eq!(Identity::find("33", PASSWD, GROUP), Some(web));
        assert_eq!(Identity::find("nobody", PASSWD, GROUP), None);
        let lonely = Identity::find("4711", PASSWD, GROUP).unwrap();
        assert_eq!((lonely.user, lonely.group), (4711, 4711));
        assert_eq!(lonely.groups, [4711]);
    }
}
