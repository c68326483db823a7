//! Which stretches of time are settled for a schedule: no tick in them runs any more.
//!
//! One stretch would do if clocks only went forward. A clock that shows 2040 for a minute and then
//! the truth again must neither run a tick twice nor silence a schedule until 2040; so what was
//! settled then is a stretch of its own, and what lies before it stays open. Settled time is never
//! opened again: when there are too many stretches, the two earliest become one.

use serde::{Deserialize, Serialize};

/// Stretches that are kept apart.
const SPANS_MAX: usize = 32;

/// Closed spans of instants, ascending, disjoint, at most 32.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "Vec<(i64, i64)>", into = "Vec<(i64, i64)>")]
pub struct Spans(Vec<(i64, i64)>);

impl Spans {
    /// Whether an instant is settled.
    #[must_use]
    pub fn contains(&self, at: i64) -> bool {
        self.end_of(at).is_some()
    }

    /// The end of the span that an instant lies in.
    pub(super) fn end_of(&self, at: i64) -> Option<i64> {
        self.last_until(at).filter(|end| *end >= at)
    }

    /// The end of the last span that begins no later than `now`.
    pub(super) fn last_until(&self, now: i64) -> Option<i64> {
        let begun = self.0.partition_point(|(from, _)| *from <= now);
        let last = self.0.get(begun.checked_sub(1)?)?;
        Some(last.1)
    }

    /// Settles everything from `from` to `to`.
    pub(super) fn settle(&mut self, from: i64, to: i64) {
        assert!(from <= to, "invariant: a span ends after its begin");
        let first = self.0.partition_point(|(_, end)| *end < from);
        let after = self.0.partition_point(|(begin, _)| *begin <= to);
        let (mut from, mut to) = (from, to);
        if let Some([(begin, _), .., (_, end)] | [(begin, end)]) = self.0.get(first..after) {
            from = from.min(*begin);
            to = to.max(*end);
        }
        self.0.splice(first..after, [(from, to)]);
        while self.0.len() > SPANS_MAX {
            let (_, end) = self.0.remove(1);
            self.0[0].1 = end;
        }
    }
}

impl From<Vec<(i64, i64)>> for Spans {
    /// What was written elsewhere is put in order, whatever it says.
    fn from(written: Vec<(i64, i64)>) -> Self {
        let mut spans = Self::default();
        for (from, to) in written {
            spans.settle(from.min(to), from.max(to));
        }
        spans
    }
}

impl From<Spans> for Vec<(i64, i64)> {
    fn from(spans: Spans) -> Self {
        spans.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: i64 = 10;

    /// Every set of spans over a short line of time, settled in every order of two steps, against
    /// the plain set of instants.
    #[test]
    fn spans_are_the_set_of_what_was_settled() {
        let all: Vec<(i64, i64)> = (0..END)
            .flat_map(|from| (from..END).map(move |to| (from, to)))
            .collect();
        for first in &all {
            for second in &all {
                for third in [(0, 0), (4, 5), (9, 9)] {
                    let settled = [*first, *second, third];
                    let spans = Spans::from(settled.to_vec());
                    for at in -1..=END {
                        let inside = settled.iter().any(|(a, b)| (*a..=*b).contains(&at));
                        assert_eq!(spans.contains(at), inside, "{settled:?} {at}");
                    }
                    let written = Vec::from(spans);
                    let apart = written.windows(2).all(|two| two[0].1 < two[1].0);
                    assert!(apart, "{written:?}");
                }
            }
        }
    }

    #[test]
    fn the_last_span_begun_counts() {
        let spans = Spans::from(vec![(30, 40), (10, 20)]);
        for (now, end) in [
            (9, None),
            (10, Some(20)),
            (25, Some(20)),
            (29, Some(20)),
            (30, Some(40)),
            (99, Some(40)),
        ] {
            assert_eq!(spans.last_until(now), end, "{now}");
        }
    }

    #[test]
    fn too_many_spans_grow_together_from_the_past() {
        let mut spans = Spans::default();
        // The clock had shown a far time once.
        spans.settle(1_000_000, 1_000_000);
        for step in 0..1_000 {
            let settled_before: Vec<_> = (0..=1_000).filter(|at| spans.contains(*at)).collect();
            spans.settle(step, step);
            assert!(spans.0.len() <= SPANS_MAX);
            assert!(settled_before.iter().all(|at| spans.contains(*at)));
        }
        for step in (0..10_000).step_by(10) {
            spans.settle(step, step);
        }
        assert!(!spans.contains(10_001), "and nothing else is");
        assert!(spans.contains(1_000_000));
        assert_eq!(spans.last_until(20_000), Some(9_990));
    }

    #[test]
    fn what_is_read_back_is_put_in_order() {
        let spans: Spans = serde_json::from_str("[[9,7],[1,2],[2,3]]").unwrap();
        assert_eq!(serde_json::to_string(&spans).unwrap(), "[[1,3],[7,9]]");
        let ends = [(i64::MIN, i64::MIN), (i64::MAX, i64::MAX)];
        let spans = Spans::from(ends.to_vec());
        assert!(spans.contains(i64::MIN) && spans.contains(i64::MAX) && !spans.contains(0));
    }
}
