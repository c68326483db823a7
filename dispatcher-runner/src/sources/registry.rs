//! Which sources a program has: those that the linker collected, or those it names.
//!
//! Two sources never share a name; the heavier come first, then by name.

use std::any::TypeId;
use std::collections::BTreeMap;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use dispatcher_core::__private::inventory;

use super::section::Section;
use super::{Host, Source, SourceError, Stop};
use crate::config::ConfigProblem;
use crate::log;

/// Registers a source, so that every program that links it has it.
///
/// A program that takes sources from another crate names that crate once, `use my_source as _;`,
/// or the linker leaves it out.
#[macro_export]
macro_rules! register_source {
    ($source:ty) => {
        $crate::__sources::inventory::submit! {
            $crate::__sources::Linked::of::<$source>()
        }
    };
}

/// One registered source; collected by the linker.
#[derive(Debug)]
pub struct Linked(Kind);

inventory::collect!(Linked);

impl Linked {
    /// The registration of `S`.
    #[must_use]
    pub const fn of<S: Source>() -> Self {
        Self(Kind::of::<S>())
    }
}

/// A type of source, by what can be done with it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kind {
    pub(super) name: &'static str,
    pub(super) weight: i32,
    type_id: fn() -> TypeId,
    pub(super) make: fn(&Section, &Host) -> Made,
}

impl Kind {
    const fn of<S: Source>() -> Self {
        Self {
            name: S::NAME,
            weight: S::WEIGHT,
            type_id: TypeId::of::<S>,
            make: make::<S>,
        }
    }
}

/// What somebody said who panicked.
pub(super) fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("it panicked: {}", text.unwrap_or("no message"))
}

/// A source made of its section.
fn make<S: Source>(section: &Section, host: &Host) -> Made {
    let mut source: S = section.read()?;
    // What a source of a user's does when it is asked about its section must not end a service.
    let checked = std::panic::catch_unwind(AssertUnwindSafe(|| source.init(host)));
    match checked {
        Ok(Ok(())) => Ok(Arc::new(source)),
        Ok(Err(error)) => Err(vec![
            section.problem(&in_section::<S>(&log::chain(error.as_ref()))),
        ]),
        Err(panic) => Err(vec![
            section.problem(&in_section::<S>(&said(panic.as_ref()))),
        ]),
    }
}

fn in_section<S: Source>(what: &str) -> String {
    format!("[sources.{}]: {}", S::NAME, what.replace('\n', "; "))
}

/// A source, or what is wrong with its section.
pub(super) type Made = Result<Arc<dyn Serve>, Vec<ConfigProblem>>;

/// A future of a source's.
pub(super) type Work = Pin<Box<dyn Future<Output = Result<(), SourceError>> + Send>>;

/// A source without its type.
pub(super) trait Serve: Send + Sync {
    fn serve(self: Arc<Self>, host: Host, stop: Stop) -> Work;
    fn reset(self: Arc<Self>, host: Host) -> Work;
}

impl<S: Source> Serve for S {
    fn serve(self: Arc<Self>, host: Host, stop: Stop) -> Work {
        Box::pin(async move { Source::serve(&*self, &host, stop).await })
    }

    fn reset(self: Arc<Self>, host: Host) -> Work {
        Box::pin(async move { Source::reset(&*self, &host).await })
    }
}

static INSTALLED: OnceLock<Sources> = OnceLock::new();

/// The sources of a program.
///
/// ```
/// # use dispatcher_runner::{Host, Source, SourceError, Sources, Stop};
/// # #[derive(serde::Deserialize)]
/// # struct Doorbell {}
/// # impl Source for Doorbell {
/// #     const NAME: &'static str = "doorbell";
/// #     async fn serve(&self, _: &Host, _: Stop) -> Result<(), SourceError> { Ok(()) }
/// # }
/// // Where the linker cannot collect them.
/// let sources = Sources::builder().with::<Doorbell>().build()?;
/// assert_eq!(sources.names(), [("doorbell", 10)]);
/// sources.install();
/// # Ok::<(), dispatcher_runner::SourcesError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Sources(Vec<Kind>);

/// Collects sources.
#[derive(Debug, Clone, Default)]
pub struct SourcesBuilder(Vec<Kind>);

/// Two sources claim one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourcesError {
    name: &'static str,
}

impl fmt::Display for SourcesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name;
        write!(f, "two sources of this program are called `{name}`")
    }
}

impl std::error::Error for SourcesError {}

impl Sources {
    /// Names sources explicitly.
    #[must_use]
    pub fn builder() -> SourcesBuilder {
        SourcesBuilder::default()
    }

    /// Those that were linked into the program.
    ///
    /// # Errors
    /// When two of them claim one name.
    pub fn collect() -> Result<Self, SourcesError> {
        Self::builder().linked().build()
    }

    /// Names and weights, the heavier first.
    #[must_use]
    pub fn names(&self) -> Vec<(&'static str, i32)> {
        self.0.iter().map(|kind| (kind.name, kind.weight)).collect()
    }

    /// Makes them the sources of this process, in place of those that were linked. The first call
    /// counts; it comes before a service is made, or [`main`](crate::main()) called.
    pub fn install(self) {
        let _ = INSTALLED.set(self);
    }

    /// Those of this process.
    ///
    /// # Errors
    /// As [`collect`](Self::collect).
    pub(crate) fn of_process() -> Result<Self, SourcesError> {
        match INSTALLED.get() {
            Some(sources) => Ok(sources.clone()),
            None => Self::collect(),
        }
    }

    pub(super) fn kinds(&self) -> &[Kind] {
        &self.0
    }
}

impl SourcesBuilder {
    /// Adds one; adding the same one again changes nothing.
    #[must_use]
    pub fn with<S: Source>(mut self) -> Self {
        self.0.push(Kind::of::<S>());
        self
    }

    /// Adds everything that was linked into the program.
    #[must_use]
    pub fn linked(mut self) -> Self {
        let linked = inventory::iter::<Linked>.into_iter();
        self.0.extend(linked.map(|linked| linked.0));
        self
    }

    /// Checks all of them together.
    ///
    /// # Errors
    /// When two of them claim one name.
    pub fn build(self) -> Result<Sources, SourcesError> {
        let mut named: BTreeMap<&str, Kind> = BTreeMap::new();
        for kind in self.0 {
            if let Some(first) = named.insert(kind.name, kind)
                && (first.type_id)() != (kind.type_id)()
            {
                return Err(SourcesError { name: kind.name });
            }
        }
        let mut kinds: Vec<Kind> = named.into_values().collect();
        kinds.sort_by_key(|kind| (std::cmp::Reverse(kind.weight), kind.name));
        Ok(Sources(kinds))
    }
}
