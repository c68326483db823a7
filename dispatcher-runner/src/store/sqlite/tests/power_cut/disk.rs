//! A folder on a disk that forgets what was not synced, and what it may look like after a cut.
//!
//! The real folder has everything, as the page cache would. Beside it stands, for every file, what
//! was there at its last sync and every write and truncation since; and for the folder, which names
//! were there at its last sync. After a cut, any part of what came later may be there, by sectors
//! of 512 bytes and in any order.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::store::conformance::Numbers;

const SECTOR: usize = 512;

/// Disks whose syncs are looked for.
static DISKS: Mutex<Vec<Weak<Disk>>> = Mutex::new(Vec::new());

/// What a disk says it has synced and has not. The tests of the test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lie {
    /// None: an honest disk.
    None,
    /// Whatever SQLite asks for: `synchronous=OFF`.
    Database,
    /// Whatever SQLite asks for about the main file, so that a checkpoint has no barrier.
    Checkpoint,
    /// Whatever the store asks for by itself: `Store::sync` does nothing.
    Store,
    /// Names of files.
    Folder,
}

/// Who asks for a sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asker {
    Sqlite,
    Store,
}

/// Files by name.
pub(super) type Image = BTreeMap<String, Vec<u8>>;

/// What is left after the power failed at some moment.
pub(super) struct Cut {
    pub(super) moment: String,
    pub(super) image: Image,
}

/// Which part of the unsynced is left.
#[derive(Debug, Clone, Copy)]
enum Left {
    Nothing,
    Everything,
    /// This many of the changes of each file, and some sectors of the next one.
    First(u64),
    /// Each sector of each change with this chance, in sixteenths.
    Some(u64),
}

/// A folder, watched.
pub(super) struct Disk {
    folder: PathBuf,
    state: Mutex<State>,
}

struct State {
    numbers: Numbers,
    lie: Lie,
    contents: Vec<Content>,
    /// Which file of the real folder is which content.
    known: BTreeMap<(u64, u64), usize>,
    /// Names that are on disk.
    names: BTreeMap<String, usize>,
    cuts: Vec<Cut>,
    syncs: u64,
}

#[derive(Default)]
struct Content {
    synced: Vec<u8>,
    since: Vec<Change>,
}

enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Truncate(usize),
}

impl Disk {
    /// Watches a folder; what is in it now is on disk.
    pub(super) fn watch(folder: &Path, seed: u64) -> Arc<Self> {
        let disk = Arc::new(Self {
            folder: folder.canonicalize().unwrap(),
            state: Mutex::new(State {
                numbers: Numbers::new(seed),
                lie: Lie::None,
                contents: Vec::new(),
                known: BTreeMap::new(),
                names: BTreeMap::new(),
                cuts: Vec::new(),
                syncs: 0,
            }),
        });
        let mut state = disk.lock();
        state.names = state.look(&disk.folder);
        drop(state);
        let mut disks = DISKS.lock().unwrap_or_else(PoisonError::into_inner);
        disks.retain(|one| one.strong_count() > 0);
        disks.push(Arc::downgrade(&disk));
        drop(disks);
        disk
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The content of a file that was just opened, if it lies here.
    pub(super) fn opened(&self, path: &Path) -> Option<usize> {
        if path.parent() != Some(&self.folder) {
            return None;
        }
        let name = path.file_name()?.to_str()?;
        self.lock().look(&self.folder).get(name).copied()
    }

    /// A name went away.
    pub(super) fn deleted(&self, path: &Path) {
        if path.parent() == Some(&self.folder) {
            self.lock().look(&self.folder);
        }
    }

    pub(super) fn wrote(&self, content: usize, at: usize, bytes: &[u8]) {
        let bytes = bytes.to_vec();
        let mut state = self.lock();
        let change = Change::Write { at, bytes };
        state.contents[content].since.push(change);
        if state.numbers.below(24) == 0 {
            let names = state.look(&self.folder);
            state.cut("in the middle of writes", &names, 0);
        }
    }

    pub(super) fn truncated(&self, content: usize, length: usize) {
        let mut state = self.lock();
        state.contents[content].since.push(Change::Truncate(length));
    }

    /// A cut at this moment, besides those at syncs.
    pub(super) fn cut(&self, moment: &str) {
        let mut state = self.lock();
        let names = state.look(&self.folder);
        state.cut(moment, &names, 1);
    }

    /// All cuts since the last look.
    pub(super) fn cuts(&self) -> Vec<Cut> {
        std::mem::take(&mut self.lock().cuts)
    }

    /// From now on the disk lies.
    pub(super) fn lie(&self, lie: Lie) {
        self.lock().lie = lie;
    }

    pub(super) fn syncs(&self) -> u64 {
        self.lock().syncs
    }

    /// Somebody syncs a file or the folder; `false` if it does not lie here.
    fn sync(&self, file: (u64, u64), asker: Asker) -> bool {
        let mut state = self.lock();
        let names = state.look(&self.folder);
        let name = |content: usize| {
            let named = names.iter().find(|(_, one)| **one == content);
            named.map_or("a file without a name", |(name, _)| name.as_str())
        };
        let is_folder = fs::metadata(&self.folder).is_ok_and(|folder| key(&folder) == file);
        let content = state.known.get(&file).copied();
        let what = match content {
            Some(content) => name(content),
            None if is_folder => "the folder",
            None => return false,
        };
        state.syncs += 1;
        state.cut(&format!("before a sync of {what}"), &names, 2);
        if !state.lies_about(what, asker) {
            match content {
                Some(content) => state.contents[content].flush(),
                None => state.names = names.clone(),
            }
        }
        state.cut(&format!("after a sync of {what}"), &names, 1);
        true
    }
}

/// Tells the disk that has this file of a sync; `false` if no disk has it.
pub(super) fn synced(file: (u64, u64), asker: Asker) -> bool {
    watched().iter().any(|disk| disk.sync(file, asker))
}

/// The disks there are.
pub(super) fn watched() -> Vec<Arc<Disk>> {
    let disks = DISKS.lock().unwrap_or_else(PoisonError::into_inner);
    disks.iter().filter_map(Weak::upgrade).collect()
}

impl State {
    /// What the real folder has now. The shared index is memory, and lost in any case.
    fn look(&mut self, folder: &Path) -> BTreeMap<String, usize> {
        let mut names = BTreeMap::new();
        let mut known = BTreeMap::new();
        // Gone with its world, while the thread of another one asks every disk.
        let Ok(entries) = fs::read_dir(folder) else {
            return names;
        };
        for entry in entries.flatten() {
            let name = entry.file_name().into_string().unwrap();
            let Ok(metadata) = entry.metadata() else {
                continue;
            };
            if name.ends_with("-shm") {
                continue;
            }
            let file = key(&metadata);
            let content = self.known.get(&file).copied().unwrap_or_else(|| {
                let synced = fs::read(entry.path()).unwrap_or_default();
                let since = Vec::new();
                self.contents.push(Content { synced, since });
                self.contents.len() - 1
            });
            known.insert(file, content);
            names.insert(name, content);
        }
        self.known = known;
        names
    }

    fn lies_about(&self, what: &str, asker: Asker) -> bool {
        match self.lie {
            Lie::None => false,
            Lie::Database => asker == Asker::Sqlite,
            Lie::Checkpoint => asker == Asker::Sqlite && what.ends_with(".db"),
            Lie::Store => asker == Asker::Store,
            Lie::Folder => what == "the folder",
        }
    }

    /// Keeps what may be left now: nothing and everything of the unsynced, and `more` parts of it.
    fn cut(&mut self, moment: &str, now: &BTreeMap<String, usize>, more: u64) {
        let mut kinds = vec![Left::Nothing];
        if !self.is_clean(now) {
            kinds.push(Left::Everything);
            let changes = self.contents.iter().map(|content| content.since.len());
            let changes = changes.max().unwrap_or(0) as u64;
            for _ in 0..more {
                let first = self.numbers.below(changes + 1);
                let chance = [1, 8, 15][self.numbers.below(3) as usize];
                let part = [Left::First(first), Left::Some(chance)];
                kinds.push(part[self.numbers.below(2) as usize]);
            }
        }
        for left in kinds {
            let moment = format!("{moment}, left {left:?}");
            let image = self.image(now, left);
            self.cuts.push(Cut { moment, image });
        }
    }

    fn is_clean(&self, now: &BTreeMap<String, usize>) -> bool {
        *now == self.names && now.values().all(|one| self.contents[*one].since.is_empty())
    }

    fn image(&mut self, now: &BTreeMap<String, usize>, left: Left) -> Image {
        let mut image = Image::new();
        let names: std::collections::BTreeSet<_> = self.names.keys().chain(now.keys()).collect();
        for name in names {
            let is_new = match left {
                Left::Nothing => false,
                Left::Everything => true,
                Left::First(_) | Left::Some(_) => self.numbers.below(2) == 0,
            };
            let names = if is_new { now } else { &self.names };
            if let Some(content) = names.get(name) {
                let bytes = self.contents[*content].after(left, &mut self.numbers);
                image.insert(name.clone(), bytes);
            }
        }
        image
    }
}

impl Content {
    /// Everything is on disk.
    fn flush(&mut self) {
        for change in std::mem::take(&mut self.since) {
            change.apply(&mut self.synced);
        }
    }

    fn after(&self, left: Left, numbers: &mut Numbers) -> Vec<u8> {
        let mut bytes = self.synced.clone();
        for (number, change) in (0_u64..).zip(&self.since) {
            match left {
                Left::Nothing => {}
                Left::Everything => change.apply(&mut bytes),
                Left::First(whole) if number < whole => change.apply(&mut bytes),
                Left::First(whole) if number == whole => change.apply_some(&mut bytes, 8, numbers),
                Left::First(_) => {}
                Left::Some(chance) => change.apply_some(&mut bytes, chance, numbers),
            }
        }
        bytes
    }
}

impl Change {
    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Self::Write { at, bytes } => put(to, *at, bytes),
            Self::Truncate(length) => to.truncate(*length),
        }
    }

    /// Each sector with a chance in sixteenths.
    fn apply_some(&self, to: &mut Vec<u8>, chance: u64, numbers: &mut Numbers) {
        match self {
            Self::Write { at, bytes } => {
                let mut from = 0;
                while from < bytes.len() {
                    let room = SECTOR - (at + from) % SECTOR;
                    let end = bytes.len().min(from + room);
                    if numbers.below(16) < chance {
                        put(to, at + from, &bytes[from..end]);
                    }
                    from = end;
                }
            }
            Self::Truncate(length) => {
                if numbers.below(16) < chance {
                    to.truncate(*length);
                }
            }
        }
    }
}

fn put(to: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    let end = at + bytes.len();
    if to.len() < end {
        to.resize(end, 0);
    }
    to[at..end].copy_from_slice(bytes);
}

fn key(metadata: &fs::Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}
