//! How long a job waits before its next attempt.
//!
//! Jitter is "equal": half of the delay is certain and half is drawn, so that jobs that failed
//! together do not come back together and none comes back at once. Nothing overflows.

use std::time::Duration;

use crate::Backoff;

/// The wait after `failures` failures, the one just counted included (0 counts as 1).
///
/// `random` is drawn by the caller; the result lies in `d/2 ..= d`, where `d` is what
/// [`Backoff`] says: its `max` is never exceeded.
///
/// ```
/// use dispatcher_core::{Backoff, backoff_delay};
/// use std::time::Duration;
/// let backoff = Backoff::Exponential {
///     base: Duration::from_secs(1),
///     max: Duration::from_secs(60),
/// };
/// assert_eq!(backoff_delay(&backoff, 3, 0), Duration::from_secs(2));
/// assert!(backoff_delay(&backoff, 3, u64::MAX) <= Duration::from_secs(4));
/// ```
#[must_use]
pub fn backoff_delay(backoff: &Backoff, failures: u32, random: u64) -> Duration {
    let failures = failures.max(1);
    let delay = match *backoff {
        Backoff::Constant { delay } => delay,
        Backoff::Linear { step, max } => step.saturating_mul(failures).min(max),
        Backoff::Exponential { base, max } => {
            let factor = 1_u32.checked_shl(failures - 1).unwrap_or(u32::MAX);
            base.saturating_mul(factor).min(max)
        }
    };
    let certain = delay / 2;
    let drawn = fraction((delay - certain).as_nanos(), random);
    certain.saturating_add(duration_of(drawn))
}

/// `whole × random / 2⁶⁴`, rounded down, for any `whole` below 2⁹⁶.
fn fraction(whole: u128, random: u64) -> u128 {
    let random = u128::from(random);
    let (high, low) = (whole >> 32, whole & 0xffff_ffff);
    ((high * random) + ((low * random) >> 32)) >> 32
}

fn duration_of(nanos: u128) -> Duration {
    const NANOS_PER_SECOND: u128 = 1_000_000_000;
    let seconds = u64::try_from(nanos / NANOS_PER_SECOND).unwrap_or(u64::MAX);
    let rest = u32::try_from(nanos % NANOS_PER_SECOND).unwrap_or(0);
    Duration::new(seconds, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// The longest wait, and the check that every draw lies between half of it and all of it.
    fn longest(backoff: Backoff, failures: u32) -> Duration {
        let shortest = backoff_delay(&backoff, failures, 0);
        let longest = backoff_delay(&backoff, failures, u64::MAX);
        let mut last = shortest;
        for random in (0..64).map(|bit| (1_u64 << bit) - 1).chain([u64::MAX]) {
            let delay = backoff_delay(&backoff, failures, random);
            assert!(
                last <= delay && delay <= longest,
                "{backoff:?} {failures} {random}"
            );
            last = delay;
        }
        // The largest draw stays at most a nanosecond, or one part in 2⁶⁴, below the delay.
        let whole = longest.saturating_add(Duration::from_nanos(1));
        assert!(whole / 2 >= shortest, "{backoff:?} {failures}");
        assert!(
            longest / 2 <= shortest + Duration::from_nanos(1),
            "{backoff:?} {failures}"
        );
        Duration::from_millis(
            (longest + Duration::from_micros(1))
                .as_millis()
                .try_into()
                .unwrap(),
        )
    }

    #[test]
    fn constant() {
        for failures in [0, 1, 2, 10, u32::MAX] {
            assert_eq!(longest(Backoff::Constant { delay: s(5) }, failures), s(5));
            let zero = Backoff::Constant {
                delay: Duration::ZERO,
            };
            assert_eq!(backoff_delay(&zero, failures, u64::MAX), Duration::ZERO);
        }
    }

    #[test]
    fn linear() {
        let backoff = Backoff::Linear {
            step: s(5),
            max: s(600),
        };
        for (failures, delay) in [
            (0, s(5)),
            (1, s(5)),
            (2, s(10)),
            (119, s(595)),
            (120, s(600)),
            (121, s(600)),
            (u32::MAX, s(600)),
        ] {
            assert_eq!(longest(backoff, failures), delay, "{failures}");
        }
    }

    #[test]
    fn exponential() {
        for failures in 0..=200 {
            let delay = 1_u64.checked_shl(failures.max(1) - 1).unwrap_or(u64::MAX);
            assert_eq!(
                longest(Backoff::default(), failures),
                s(delay.min(3600)),
                "{failures}"
            );
        }
        assert_eq!(longest(Backoff::default(), u32::MAX), s(3600));
    }

    #[test]
    fn a_maximum_below_the_first_delay_wins() {
        let (base, max) = (s(10), s(3));
        assert_eq!(longest(Backoff::Exponential { base, max }, 1), s(3));
        assert_eq!(longest(Backoff::Linear { step: base, max }, 1), s(3));
    }

    #[test]
    fn nothing_overflows() {
        let (base, max) = (Duration::MAX, Duration::MAX);
        for backoff in [
            Backoff::Exponential { base, max },
            Backoff::Linear { step: base, max },
            Backoff::Constant { delay: max },
        ] {
            for failures in [0, 1, 2, 31, 32, 33, 64, u32::MAX] {
                assert_eq!(backoff_delay(&backoff, failures, 0), max / 2);
                let longest = backoff_delay(&backoff, failures, u64::MAX);
                assert!(longest > max / 2 && longest <= max);
            }
        }
        let tiny = Backoff::Exponential {
            base: Duration::from_nanos(1),
            max,
        };
        assert!(backoff_delay(&tiny, u32::MAX, u64::MAX) > s(2));
    }

    #[test]
    fn fractions_are_exact() {
        assert_eq!(fraction(0, u64::MAX), 0);
        assert_eq!(fraction(1 << 64, 1), 1);
        assert_eq!(fraction(1 << 64, u64::MAX), u128::from(u64::MAX));
        assert_eq!(fraction(1000, 1 << 63), 500);
        assert_eq!(
            fraction(Duration::MAX.as_nanos(), 1 << 63),
            Duration::MAX.as_nanos() / 2
        );
    }
}
