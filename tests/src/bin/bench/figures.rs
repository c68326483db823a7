//! Samples, their medians, and the table of ratios.

use std::error::Error;
use std::time::{Duration, Instant};

/// Times of repeated runs of one thing.
pub(crate) struct Samples(Vec<Duration>);

impl Samples {
    pub(crate) fn new(mut times: Vec<Duration>) -> Self {
        assert!(!times.is_empty(), "something was measured");
        times.sort_unstable();
        Self(times)
    }

    /// Runs `step` `count` times.
    pub(crate) fn of<E>(count: usize, mut step: impl FnMut() -> Result<(), E>) -> Result<Self, E> {
        let mut times = Vec::with_capacity(count);
        for _ in 0..count {
            let start = Instant::now();
            step()?;
            times.push(start.elapsed());
        }
        Ok(Self::new(times))
    }

    /// Runs two things by turns, so that a machine that is busy for a while slows both.
    pub(crate) fn by_turns<E, F>(
        count: usize,
        mut one: impl FnMut() -> Result<(), E>,
        mut other: impl FnMut() -> Result<(), F>,
    ) -> Result<(Self, Self), Box<dyn Error>>
    where
        E: Into<Box<dyn Error>>,
        F: Into<Box<dyn Error>>,
    {
        let (mut ones, mut others) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let start = Instant::now();
            one().map_err(Into::into)?;
            ones.push(start.elapsed());
            let start = Instant::now();
            other().map_err(Into::into)?;
            others.push(start.elapsed());
        }
        Ok((Self::new(ones), Self::new(others)))
    }

    pub(crate) fn median(&self) -> Duration {
        self.0[self.0.len() / 2]
    }

    pub(crate) fn mean(&self) -> Duration {
        self.0.iter().sum::<Duration>() / u32::try_from(self.0.len()).unwrap_or(u32::MAX)
    }

    pub(crate) fn times(&self) -> &[Duration] {
        &self.0
    }

    fn p99(&self) -> Duration {
        self.0[self.0.len() * 99 / 100]
    }
}

/// Prints as it goes.
pub(crate) struct Report {
    start: Instant,
}

impl Report {
    pub(crate) fn start() -> Self {
        println!(
            "{:44} {:>10} {:>10} {:>10}  ratio",
            "what", "median", "mean", "p99"
        );
        Self {
            start: Instant::now(),
        }
    }

    pub(crate) fn baseline(&mut self, what: &str, samples: &Samples) {
        self.row(what, samples, "1.00 by definition");
    }

    pub(crate) fn latency(
        &mut self,
        what: &str,
        samples: &Samples,
        beside: Option<(&str, &Samples)>,
    ) {
        let ratio = beside.map_or_else(String::new, |(name, other)| {
            let ratio = samples.median().as_secs_f64() / other.median().as_secs_f64();
            format!("{ratio:.2} x {name}")
        });
        self.row(what, samples, &ratio);
    }

    /// A rate beside the mean of a serial baseline: 1.00 is as fast as the baseline.
    pub(crate) fn rate(
        &mut self,
        what: &str,
        count: usize,
        time: Duration,
        beside: (&str, &Samples),
    ) {
        let each = time.as_secs_f64() / count as f64;
        let ratio = each / beside.1.mean().as_secs_f64();
        println!(
            "{what:44} {:>10} {:>10} {:>10}  {ratio:.2} x {}",
            format!("{:.0}/s", 1.0 / each),
            micros(Duration::from_secs_f64(each)),
            "",
            beside.0
        );
    }

    pub(crate) fn note(&mut self, text: &str) {
        println!("{text}");
    }

    pub(crate) fn end(self) {
        println!("measured in {:.0} s", self.start.elapsed().as_secs_f64());
    }

    fn row(&mut self, what: &str, samples: &Samples, ratio: &str) {
        println!(
            "{what:44} {:>10} {:>10} {:>10}  {ratio}",
            micros(samples.median()),
            micros(samples.mean()),
            micros(samples.p99()),
        );
    }
}

pub(crate) fn micros(time: Duration) -> String {
    format!("{:.0} µs", time.as_secs_f64() * 1e6)
}
