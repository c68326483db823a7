//! Which claims have begun, for whoever comes after a supervisor that died.
//!
//! A job is noted before anybody could begin it. So what a dead supervisor had claimed and had not
//! noted has run nowhere, and goes back to its place. The notes outlive every process, but not the
//! machine: those of another boot say nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use dispatcher_core::JobId;
use dispatcher_core::engine::AttemptId;

use crate::ids;

const NAME: &str = "begun";
/// The name of the boot, as the kernel writes it.
const BOOT_BYTES: usize = 36;
/// A job, and the token of its claim.
const JOB_BYTES: usize = 16;
const CELL_BYTES: usize = JOB_BYTES + size_of::<u64>();

/// The notes of a living supervisor. Cells of what is over are used again; until then they are in
/// nobody's way, since a token is claimed once.
pub(super) struct Begun {
    path: PathBuf,
    /// `None` once something could not be noted: then nothing can be told from the notes.
    file: Option<File>,
    cells: BTreeMap<AttemptId, u64>,
    free: Vec<u64>,
}

impl Begun {
    /// Notes in a supervisor's directory, of a supervisor that has claimed nothing yet.
    pub(super) fn create(directory: &Path) -> io::Result<Self> {
        let path = directory.join(NAME);
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(true).mode(0o600);
        let file = options.open(&path)?;
        file.write_all_at(ids::boot()?.as_bytes(), 0)?;
        Ok(Self {
            path,
            file: Some(file),
            cells: BTreeMap::new(),
            free: Vec::new(),
        })
    }

    /// A worker is about to be given a job.
    pub(super) fn note(&mut self, attempt: AttemptId, job: JobId, token: u64) {
        let Some(file) = &self.file else { return };
        let most = self.cells.len() as u64;
        let cell = *self
            .cells
            .entry(attempt)
            .or_insert_with(|| self.free.pop().unwrap_or(most));
        let mut bytes = [0; CELL_BYTES];
        let (name, number) = bytes.split_at_mut(JOB_BYTES);
        name.copy_from_slice(job.as_str().as_bytes());
        number.copy_from_slice(&token.to_le_bytes());
        let place = BOOT_BYTES as u64 + cell * CELL_BYTES as u64;
        if let Err(error) = file.write_all_at(&bytes, place) {
            tracing::warn!(%error, "what begins is not noted any more; whatever this supervisor has claimed when it dies counts as begun");
            // A gap in the notes would be a lie.
            let _ = file.set_len(0);
            let _ = std::fs::remove_file(&self.path);
            self.file = None;
        }
    }

    /// The end of an attempt is on record.
    pub(super) fn over(&mut self, attempt: AttemptId) {
        self.free.extend(self.cells.remove(&attempt));
    }
}

/// The claims that a dead supervisor has begun, and perhaps such that are over; `None` where that
/// cannot be told.
pub(super) fn begun(directory: &Path) -> Option<BTreeSet<(JobId, u64)>> {
    let mut bytes = Vec::new();
    let mut file = File::open(directory.join(NAME)).ok()?;
    file.read_to_end(&mut bytes).ok()?;
    let (boot, cells) = bytes.split_at_checked(BOOT_BYTES)?;
    if boot != ids::boot().ok()?.as_bytes() {
        return None;
    }
    cells.chunks(CELL_BYTES).map(claim).collect()
}

fn claim(cell: &[u8]) -> Option<(JobId, u64)> {
    let (name, token) = cell.split_at_checked(JOB_BYTES)?;
    let job = std::str::from_utf8(name).ok()?.parse().ok()?;
    Some((job, u64::from_le_bytes(token.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let mut notes = Begun::create(directory.path()).unwrap();
        assert_eq!(begun(directory.path()), Some(BTreeSet::new()));
        let jobs: Vec<JobId> = (0..3).map(|_| ids::new_job_id()).collect();
        notes.note(AttemptId(7), jobs[0], 1);
        notes.note(AttemptId(8), jobs[1], u64::MAX);
        // Given to another worker.
        notes.note(AttemptId(7), jobs[0], 1);
        let both = BTreeSet::from([(jobs[0], 1), (jobs[1], u64::MAX)]);
        assert_eq!(begun(directory.path()), Some(both));
        notes.over(AttemptId(7));
        notes.note(AttemptId(9), jobs[2], 5);
        let others = BTreeSet::from([(jobs[1], u64::MAX), (jobs[2], 5)]);
        assert_eq!(begun(directory.path()), Some(others));
    }

    #[test]
    fn cells_are_used_again() {
        let directory = tempfile::tempdir().unwrap();
        let mut notes = Begun::create(directory.path()).unwrap();
        for number in 0..1000 {
            notes.note(AttemptId(number), ids::new_job_id(), 1);
            notes.note(AttemptId(number + 1000), ids::new_job_id(), 1);
            notes.over(AttemptId(number));
            notes.over(AttemptId(number + 1000));
        }
        assert_eq!(begun(directory.path()).unwrap().len(), 2);
    }

    #[test]
    fn notes_that_may_have_gaps_say_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(NAME);
        assert_eq!(begun(directory.path()), None, "none");
        let mut notes = Begun::create(directory.path()).unwrap();
        notes.note(AttemptId(1), ids::new_job_id(), 1);
        let whole = std::fs::read(&path).unwrap();
        for length in (0..whole.len()).filter(|length| *length != BOOT_BYTES) {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert_eq!(begun(directory.path()), None, "{length} bytes");
        }
        let mut other_boot = whole.clone();
        other_boot[0] ^= 1;
        std::fs::write(&path, other_boot).unwrap();
        assert_eq!(begun(directory.path()), None, "another boot");
    }

    #[test]
    fn what_cannot_be_noted_makes_all_of_it_unknown() {
        let directory = tempfile::tempdir().unwrap();
        let mut notes = Begun::create(directory.path()).unwrap();
        notes.note(AttemptId(1), ids::new_job_id(), 1);
        notes.file = Some(File::open(directory.path().join(NAME)).unwrap());
        notes.note(AttemptId(2), ids::new_job_id(), 1);
        assert_eq!(begun(directory.path()), None);
        notes.note(AttemptId(3), ids::new_job_id(), 1);
        assert_eq!(begun(directory.path()), None, "for good");
    }
}
