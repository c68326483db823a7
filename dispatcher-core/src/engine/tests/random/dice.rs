//! Where the choices of a walk come from, and the walks that are made with them.
//!
//! One seed gives one walk.

use std::time::Duration;

/// SplitMix64.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn below(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }

    pub(super) fn one_in(&mut self, sides: u64) -> bool {
        self.below(sides) == 0
    }

    /// From 0 to this.
    pub(super) fn count(&mut self, most: usize) -> usize {
        let sides = u64::try_from(most).unwrap() + 1;
        usize::try_from(self.below(sides)).unwrap()
    }

    pub(super) fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        let count = u64::try_from(from.len()).unwrap();
        let index = (count > 0).then(|| self.below(count))?;
        Some(from[usize::try_from(index).unwrap()])
    }

    pub(super) fn millis(&mut self, below: u64) -> Duration {
        Duration::from_millis(self.below(below))
    }
}

/// Runs a walk for each seed, and says which one failed.
pub(super) fn walks(count: u64, walk: fn(Dice)) {
    struct Seed(u64);

    impl Drop for Seed {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("replay with DISPATCHER_TEST_SEED={}", self.0);
            }
        }
    }

    let long = std::env::var("DISPATCHER_TEST_SIZE").is_ok_and(|size| size == "long");
    let count = if long { 100 * count } else { count };
    let seeds = match std::env::var("DISPATCHER_TEST_SEED") {
        Ok(seed) => seed.parse().map(|seed: u64| seed..seed + 1).unwrap(),
        Err(_) => 0..count,
    };
    for seed in seeds {
        let _said = Seed(seed);
        walk(Dice(seed));
    }
}
