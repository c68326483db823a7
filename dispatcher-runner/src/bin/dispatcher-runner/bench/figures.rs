//! Samples, their medians, and the table of ratios.

use std::error::Error;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use dispatcher_runner::__generic::BenchForm;
use serde_json::{Value, json};

use super::scene::go_on;

/// What an idle service may take, in bytes.
const SERVICE_BYTES: f64 = 15e6;

/// Times of repeated runs of one thing.
pub(crate) struct Samples(Vec<Duration>);

impl Samples {
    pub(crate) fn new(mut times: Vec<Duration>) -> Self {
        assert!(!times.is_empty(), "invariant: something was measured");
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
            go_on()?;
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

/// Answers that came over several connections at once, and the time in which all of them came.
#[cfg(feature = "http")]
pub(crate) struct Load {
    pub(crate) samples: Samples,
    pub(crate) time: Duration,
}

#[cfg(feature = "http")]
impl Load {
    fn per_second(&self) -> f64 {
        self.samples.0.len() as f64 / self.time.as_secs_f64()
    }
}

/// Tells as it goes.
pub(crate) struct Report<'o> {
    start: Instant,
    out: &'o mut dyn Write,
    form: BenchForm,
    /// What JSON will tell.
    figures: Vec<Value>,
}

impl<'o> Report<'o> {
    pub(crate) fn start(form: BenchForm, out: &'o mut dyn Write) -> io::Result<Self> {
        let mut report = Self {
            start: Instant::now(),
            out,
            form,
            figures: Vec::new(),
        };
        report.cells(["what", "median", "mean", "p99"], "ratio")?;
        Ok(report)
    }

    pub(crate) fn baseline(&mut self, what: &str, samples: &Samples) -> io::Result<()> {
        self.samples(what, samples, json!({}), "1.00 by definition")
    }

    pub(crate) fn latency(&mut self, what: &str, samples: &Samples) -> io::Result<()> {
        self.samples(what, samples, json!({}), "")
    }

    /// The ratio is one of medians.
    pub(crate) fn latency_beside(
        &mut self,
        what: &str,
        samples: &Samples,
        beside: (&str, &Samples),
    ) -> io::Result<()> {
        let ratio = samples.median().as_secs_f64() / beside.1.median().as_secs_f64();
        let told = format!("{ratio:.2} x {}", beside.0);
        let compared = json!({ "ratio": ratio, "beside": beside.0 });
        self.samples(what, samples, compared, &told)
    }

    /// A rate beside the mean of a serial baseline: 1.00 is as fast as the baseline.
    pub(crate) fn rate(
        &mut self,
        what: &str,
        count: usize,
        time: Duration,
        beside: (&str, &Samples),
    ) -> io::Result<()> {
        let each = time / u32::try_from(count).unwrap_or(u32::MAX);
        let rate = 1.0 / each.as_secs_f64();
        let ratio = each.as_secs_f64() / beside.1.mean().as_secs_f64();
        self.figures.push(json!({
            "what": what,
            "per_second": rate,
            "mean_us": in_micros(each),
            "ratio": ratio,
            "beside": beside.0,
        }));
        let rate = format!("{rate:.0}/s");
        let told = format!("{ratio:.2} x {}", beside.0);
        self.cells([what, &rate, &micros(each), ""], &told)
    }

    /// What somebody under load took, and how many a second that was: beside another's load.
    #[cfg(feature = "http")]
    pub(crate) fn load(
        &mut self,
        what: &str,
        load: &Load,
        beside: Option<(&str, &Load)>,
    ) -> io::Result<()> {
        let rate = load.per_second();
        let (figure, told) = match beside {
            None => (
                json!({ "per_second": rate }),
                format!("{rate:.0}/s, 1.00 by definition"),
            ),
            Some((name, other)) => {
                let ratio = other.per_second() / rate;
                let figure = json!({ "per_second": rate, "ratio": ratio, "beside": name });
                (figure, format!("{rate:.0}/s, {ratio:.2} x {name}"))
            }
        };
        self.samples(what, &load.samples, figure, &told)
    }

    /// Memory in KiB, beside what a service may take.
    pub(crate) fn memory(&mut self, what: &str, kib: u64) -> io::Result<()> {
        let bytes = kib as f64 * 1024.0;
        let (mib, ratio) = (bytes / f64::from(1 << 20), bytes / SERVICE_BYTES);
        self.figures.push(json!({
            "what": what,
            "mib": mib,
            "ratio": ratio,
            "beside": "15 MB",
        }));
        let mib = format!("{mib:.1} MiB");
        self.cells([what, &mib, "", ""], &format!("{ratio:.2} x 15 MB"))
    }

    /// Times that were measured once.
    pub(crate) fn once(&mut self, what: &str, times: [(&str, Duration); 2]) -> io::Result<()> {
        let [(one, first), (other, second)] = times;
        self.figures.push(json!({
            "what": what,
            format!("{one}_us"): in_micros(first),
            format!("{other}_us"): in_micros(second),
        }));
        let (first, second) = (micros(first), micros(second));
        self.line(&format!("{what}: {one} {first}, {other} {second}"))
    }

    pub(crate) fn end(mut self) -> Result<(), Box<dyn Error>> {
        let seconds = self.start.elapsed().as_secs_f64();
        self.line(&format!("measured in {seconds:.0} s"))?;
        match self.form {
            BenchForm::Table => {}
            BenchForm::Json => writeln!(self.out, "{:#}", Value::Array(self.figures))?,
        }
        Ok(self.out.flush()?)
    }

    fn samples(
        &mut self,
        what: &str,
        samples: &Samples,
        mut figure: Value,
        told: &str,
    ) -> io::Result<()> {
        let times = [samples.median(), samples.mean(), samples.p99()];
        figure["what"] = what.into();
        for (name, time) in ["median_us", "mean_us", "p99_us"].into_iter().zip(times) {
            figure[name] = in_micros(time).into();
        }
        self.figures.push(figure);
        let [median, mean, p99] = times.map(micros);
        self.cells([what, &median, &mean, &p99], told)
    }

    fn cells(&mut self, [what, median, mean, p99]: [&str; 4], ratio: &str) -> io::Result<()> {
        let line = format!("{what:46} {median:>10} {mean:>10} {p99:>10}  {ratio}");
        self.line(line.trim_end())
    }

    fn line(&mut self, text: &str) -> io::Result<()> {
        match self.form {
            BenchForm::Table => {
                writeln!(self.out, "{text}")?;
                self.out.flush()
            }
            BenchForm::Json => Ok(()),
        }
    }
}

fn micros(time: Duration) -> String {
    format!("{:.0} µs", in_micros(time))
}

fn in_micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
