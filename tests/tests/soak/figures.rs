//! Memory and descriptors of a service and its keeper over time: the last third against the first.

use std::fs;

/// What both have at one moment; the keeper may be dead then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sample {
    service: Of,
    keeper: Option<Of>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Of {
    /// Proportional set, KiB.
    pss: u64,
    /// What no file stands behind: heap and stacks, KiB.
    anonymous: u64,
    descriptors: u64,
}

/// Samples, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Figures(Vec<Sample>);

/// A number that must not grow, and by how much it may for reasons of chance.
struct Bound {
    name: &'static str,
    of: fn(&Sample) -> Option<u64>,
    slack: u64,
}

const BOUNDS: [Bound; 6] = [
    Bound {
        name: "PSS of the service in KiB",
        of: |it| Some(it.service.pss),
        slack: 8 * 1024,
    },
    Bound {
        name: "anonymous memory of the service in KiB",
        of: |it| Some(it.service.anonymous),
        slack: 2 * 1024,
    },
    Bound {
        name: "descriptors of the service",
        of: |it| Some(it.service.descriptors),
        slack: 20,
    },
    Bound {
        name: "PSS of the keeper in KiB",
        of: |it| Some(it.keeper?.pss),
        slack: 2 * 1024,
    },
    Bound {
        name: "anonymous memory of the keeper in KiB",
        of: |it| Some(it.keeper?.anonymous),
        slack: 1024,
    },
    Bound {
        name: "descriptors of the keeper",
        of: |it| Some(it.keeper?.descriptors),
        slack: 20,
    },
];

impl Sample {
    /// # Panics
    /// When the service is gone.
    pub(crate) fn of(service: i32, keeper: Option<i32>) -> Self {
        Self {
            service: look(service).expect("the service lives"),
            keeper: keeper.and_then(look),
        }
    }
}

impl Figures {
    pub(crate) fn add(&mut self, sample: Sample) {
        self.0.push(sample);
    }

    /// Each number in the first third and in the last.
    pub(crate) fn line(&self) -> String {
        let parts = BOUNDS.iter().map(|bound| {
            let (first, last) = self.thirds(bound);
            format!("{} {first} then {last}", bound.name)
        });
        parts.collect::<Vec<_>>().join("; ")
    }

    /// # Panics
    /// When one of them has grown.
    pub(crate) fn are_flat(&self) {
        for bound in &BOUNDS {
            let (first, last) = self.thirds(bound);
            assert!(
                last <= first + first / 4 + bound.slack,
                "{} grew from {first} to {last}: {self:?}",
                bound.name
            );
        }
    }

    /// The medians of the first third and of the last.
    fn thirds(&self, bound: &Bound) -> (u64, u64) {
        let third = self.0.len().div_ceil(3);
        let median = |samples: &[Sample]| {
            let mut values: Vec<u64> = samples.iter().filter_map(bound.of).collect();
            values.sort_unstable();
            values.get(values.len() / 2).copied().unwrap_or(0)
        };
        let last = self.0.len().saturating_sub(third);
        (median(&self.0[..third]), median(&self.0[last..]))
    }
}

fn look(pid: i32) -> Option<Of> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let number = |name: &str| {
        let line = rollup.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse().ok()
    };
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count();
    Some(Of {
        pss: number("Pss:")?,
        anonymous: number("Anonymous:")?,
        descriptors: descriptors as u64,
    })
}
