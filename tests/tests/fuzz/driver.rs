//! Feeds a property with inputs that grow out of a corpus, under a seed that is printed.
//!
//! `tests/corpus/<target>/` holds the beginnings, and every input that was ever found to break
//! something: those come first, as they are. There is no coverage to follow on a stable compiler;
//! instead a property answers what it has seen, and an input that showed something new is grown
//! further. A failing input is made smaller, saved, and named.

use std::collections::BTreeSet;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// Longest input that is grown.
const INPUT_BYTES_MAX: usize = 8 * 1024;
/// Inputs that are grown further, at most.
const POOL_MAX: usize = 2000;
/// Steps of making a failing input smaller.
const SHRINKS_MAX: usize = 3000;

/// Numbers at which decoders go wrong.
const EDGES: [u64; 12] = [
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    0xffff_ffff_ffff_fff0,
    0xffff_ffff_ffff_ffff,
];

/// What a property saw, as far as it matters whether it is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Seen(u64);

impl Seen {
    /// Whatever can be told apart.
    pub(crate) fn of(what: impl Hash) -> Self {
        let mut hasher = DefaultHasher::new();
        what.hash(&mut hasher);
        Self(hasher.finish())
    }

    /// A message, whatever numbers and quotations it holds.
    pub(crate) fn message(text: &str) -> Self {
        let mut quoted = false;
        let kept = text.chars().filter(|letter| {
            let is_quote = matches!(letter, '`' | '"' | '\'');
            quoted ^= is_quote;
            !is_quote && !quoted && !letter.is_ascii_digit()
        });
        Self::of(kept.take(120).collect::<String>())
    }
}

/// Runs a property on the corpus of `target` and on what grows out of it.
///
/// `DISPATCHER_TEST_SIZE=long` grows forty times as much; `DISPATCHER_TEST_SEED` repeats a run.
pub(crate) fn fuzz(target: &str, property: impl Fn(&[u8]) -> Seen) {
    let corpus = corpus(target);
    let mut fuzz = Fuzz {
        target,
        property: &property,
        pool: Vec::new(),
        seen: BTreeSet::new(),
    };
    for (name, input) in &corpus {
        eprintln!("{target}: {name}");
        fuzz.try_one(input.clone());
    }
    let rounds = match std::env::var("DISPATCHER_TEST_SIZE").as_deref() {
        Ok("long") => 200_000,
        Ok(_) | Err(_) => 5_000,
    };
    let fresh = fresh_seed();
    eprintln!("{target}: DISPATCHER_TEST_SEED={fresh} repeats the second half");
    for seed in [1, fresh] {
        let mut random = Random(seed);
        for _ in 0..rounds {
            let input = grow(&fuzz.pool, &corpus, &mut random);
            fuzz.try_one(input);
        }
    }
    let (inputs, kinds) = (corpus.len() + 2 * rounds, fuzz.seen.len());
    eprintln!("{target}: {inputs} inputs, {kinds} kinds of answers");
}

struct Fuzz<'a, P> {
    target: &'a str,
    property: &'a P,
    pool: Vec<Vec<u8>>,
    seen: BTreeSet<Seen>,
}

impl<P: Fn(&[u8]) -> Seen> Fuzz<'_, P> {
    fn try_one(&mut self, input: Vec<u8>) {
        let property = self.property;
        let Ok(seen) = catch_unwind(AssertUnwindSafe(|| property(&input))) else {
            self.give_up(input);
        };
        if self.seen.insert(seen) && self.pool.len() < POOL_MAX {
            self.pool.push(input);
        }
    }

    /// Saves the smallest input that still fails.
    fn give_up(&self, input: Vec<u8>) -> ! {
        let small = quietly(|| self.shrink(input));
        let name = format!("{}-{:016x}", self.target, Seen::of(&small).0);
        let path = std::env::temp_dir().join(name);
        fs::write(&path, &small).expect("a failing input can be saved");
        panic!(
            "{} fails on {:?}, saved as {}; with the fix it goes to tests/corpus/{}/",
            self.target,
            String::from_utf8_lossy(&small),
            path.display(),
            self.target
        );
    }

    fn fails(&self, input: &[u8]) -> bool {
        catch_unwind(AssertUnwindSafe(|| (self.property)(input))).is_err()
    }

    fn shrink(&self, mut input: Vec<u8>) -> Vec<u8> {
        let mut steps = 0;
        let mut size = input.len().next_power_of_two();
        while size > 0 {
            let mut at = 0;
            while at < input.len() && steps < SHRINKS_MAX {
                steps += 1;
                let mut less = input.clone();
                less.drain(at..(at + size).min(input.len()));
                if self.fails(&less) {
                    input = less;
                } else {
                    at += size;
                }
            }
            size /= 2;
        }
        input
    }
}

/// Without the words of every panic on the way.
fn quietly<R>(work: impl FnOnce() -> R) -> R {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let done = work();
    std::panic::set_hook(hook);
    done
}

/// The files of a target, by name.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = folder().join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut files: Vec<_> = entries
        .map(|entry| {
            let path = entry.expect("a corpus can be listed").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
            (name.into_owned(), bytes)
        })
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{folder:?} is empty");
    files
}

fn folder() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let workspace = package.parent().expect("a package lies in the workspace");
    workspace.join("tests/corpus")
}

fn fresh_seed() -> u64 {
    let given = std::env::var("DISPATCHER_TEST_SEED").ok();
    let given = given.map(|text| text.parse().expect("DISPATCHER_TEST_SEED is a number"));
    given.unwrap_or_else(|| {
        let since = std::time::UNIX_EPOCH.elapsed();
        since.map_or(1, |time| time.subsec_nanos().into())
    })
}

/// splitmix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `end`, and 0 when that is 0.
    fn below(&mut self, end: usize) -> usize {
        let drawn = (u128::from(self.next()) * end as u128) >> 64;
        usize::try_from(drawn).unwrap_or(0)
    }

    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let at = self.below(length + 1);
        let span = self.below((length - at).min(64) + 1);
        at..at + span
    }
}

/// An input like one of those before, changed in a few places.
fn grow(pool: &[Vec<u8>], corpus: &[(String, Vec<u8>)], random: &mut Random) -> Vec<u8> {
    let mut input = pool[random.below(pool.len())].clone();
    for _ in 0..=random.below(4) {
        let other = match random.below(2) {
            0 => &pool[random.below(pool.len())],
            _ => &corpus[random.below(corpus.len())].1,
        };
        change(&mut input, other, random);
    }
    input.truncate(INPUT_BYTES_MAX);
    input
}

fn change(input: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let at = random.below(input.len() + 1);
    let edge = EDGES[random.below(EDGES.len())];
    match random.below(11) {
        0 if at < input.len() => input[at] ^= 1 << random.below(8),
        1 if at < input.len() => input[at] = random.next().to_le_bytes()[0],
        2 => input.truncate(at),
        3 => drop(input.drain(random.range(input.len()))),
        4 => {
            let again = input[random.range(input.len())].to_vec();
            input.splice(at..at, again);
        }
        // A part of another one, here or instead of something.
        5 => drop(input.splice(at..at, other[random.range(other.len())].iter().copied())),
        6 => {
            let there = random.range(input.len());
            input.splice(there, other[random.range(other.len())].iter().copied());
        }
        7 => {
            let words: Vec<&[u8]> = other.split(|byte| !byte.is_ascii_alphanumeric()).collect();
            let word = words[random.below(words.len())];
            input.splice(at..at, word.iter().copied());
        }
        8 => {
            let width = [1, 2, 4, 8][random.below(4)].min(input.len() - at);
            input[at..at + width].copy_from_slice(&edge.to_le_bytes()[..width]);
        }
        9 => replace_number(input, at, edge),
        _ => {
            const MARKS: &[u8] = b"\0\n\r\t \"'\\,:;=.-+{}[]()#\xff\xc3\xed\xa0";
            input.insert(at, MARKS[random.below(MARKS.len())]);
        }
    }
}

/// Writes an edge where the next decimal number stands.
fn replace_number(input: &mut Vec<u8>, from: usize, edge: u64) {
    let digits = |byte: &u8| byte.is_ascii_digit();
    let Some(start) = input[from..].iter().position(digits) else {
        return;
    };
    let start = from + start;
    let length = input[start..]
        .iter()
        .take_while(|byte| digits(byte))
        .count();
    input.splice(start..start + length, edge.to_string().into_bytes());
}
