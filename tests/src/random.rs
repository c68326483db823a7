//! Numbers drawn from a seed that is printed, so that a failing run can be repeated.

/// xorshift64* (Vigna 2016). Not for secrets.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// From `DISPATCHER_TEST_SEED`, else from the clock; prints it.
    ///
    /// # Panics
    /// When the variable is no number.
    #[must_use]
    pub fn seeded() -> Self {
        let seed = match std::env::var("DISPATCHER_TEST_SEED") {
            Ok(text) => text.parse().expect("DISPATCHER_TEST_SEED is a number"),
            Err(_) => std::time::UNIX_EPOCH
                .elapsed()
                .map_or(1, |time| time.subsec_nanos().into()),
        };
        eprintln!("seed: DISPATCHER_TEST_SEED={seed}");
        Self::new(seed)
    }

    /// From a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next number below `bound`.
    pub fn below(&mut self, bound: u32) -> u32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let drawn = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        let scaled = (drawn * u64::from(bound)) >> 32;
        u32::try_from(scaled).unwrap_or(0)
    }

    /// One of some values.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        let count = u32::try_from(from.len()).unwrap_or(u32::MAX);
        from[self.below(count) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_gives_one_sequence_within_bounds() {
        let draw = |seed| {
            let mut random = Random::new(seed);
            (0..100).map(|_| random.below(7)).collect::<Vec<_>>()
        };
        assert_eq!(draw(5), draw(5));
        assert_ne!(draw(5), draw(6));
        for number in 0..7 {
            assert!(draw(5).contains(&number));
        }
        assert!(draw(5).iter().all(|number| *number < 7));
    }
}
