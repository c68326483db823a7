//! Which dispatchers this program has, under which exact names.
//!
//! Every name and alias leads to exactly one definition; a registry in which one led to two, or to
//! none, cannot be built. Nothing depends on the order in which the linker collected them.

use std::collections::BTreeMap;
use std::fmt;

use crate::__private::Registration;
use crate::{Definition, Place, suggest};

#[cfg(test)]
mod tests;

/// More names than this are counted instead of listed.
const NAMES_LISTED_MAX: usize = 12;
/// Longest name that is repeated in an error.
const NAME_CHARS_MAX: usize = 100;

/// All dispatchers of a program. [`Default`] is one without any.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    definitions: BTreeMap<&'static str, &'static Definition>,
    words: BTreeMap<String, Word>,
}

/// What a name or an alias stands for.
#[derive(Debug, Clone, Copy)]
struct Word {
    definition: &'static Definition,
    role: Role,
}

/// How a definition came by a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It is its name.
    Name,
    /// The attribute says `alias = "…"`.
    Alias,
    /// The configuration's `[aliases]` say so.
    ConfiguredAlias,
}

impl Registry {
    /// Everything that was linked into the program.
    ///
    /// # Errors
    /// When nothing was, or when names clash: all of it at once.
    pub fn collect() -> Result<Self, RegistryError> {
        Self::builder().linked().build()
    }

    /// A registry whose dispatchers are added explicitly.
    #[must_use]
    pub fn builder() -> RegistryBuilder {
        RegistryBuilder::default()
    }

    /// The dispatcher with exactly this name or alias.
    ///
    /// # Errors
    /// When there is none; the error knows what was probably meant.
    pub fn resolve(&self, name: &str) -> Result<&'static Definition, UnknownDispatcher> {
        match self.words.get(name) {
            Some(word) => Ok(word.definition),
            None => Err(self.unknown(name)),
        }
    }

    /// All dispatchers, by name.
    pub fn iter(&self) -> impl Iterator<Item = &'static Definition> {
        self.definitions.values().copied()
    }

    /// All aliases with their dispatcher, by alias.
    pub fn aliases(&self) -> impl Iterator<Item = (&str, &'static Definition)> {
        self.words
            .iter()
            .filter(|(_, word)| word.role != Role::Name)
            .map(|(alias, word)| (alias.as_str(), word.definition))
    }

    /// How many dispatchers there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.definitions.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.definitions.is_empty()
    }

    /// Adds the aliases of a configuration: alias to name of a dispatcher.
    ///
    /// # Errors
    /// When a target is no dispatcher's name, or an alias is taken: all of it at once.
    pub fn with_aliases(
        mut self,
        aliases: BTreeMap<String, String>,
    ) -> Result<Self, RegistryError> {
        let mut problems = Vec::new();
        for (alias, target) in aliases {
            let Some(&definition) = self.definitions.get(target.as_str()) else {
                problems.push(RegistryProblem::UnknownTarget {
                    alias,
                    unknown: self.unknown(&target),
                    alias_of: self.words.get(&target).map(|word| word.definition.name),
                });
                continue;
            };
            let word = Word {
                definition,
                role: Role::ConfiguredAlias,
            };
            problems.extend(self.claim(&alias, word));
        }
        RegistryError::unless_none(problems)?;
        Ok(self)
    }

    /// Adds dispatchers that are made at run time; those that are there already change nothing.
    ///
    /// # Errors
    /// When a name is taken: all of them at once.
    pub fn with_definitions(
        mut self,
        definitions: impl IntoIterator<Item = &'static Definition>,
    ) -> Result<Self, RegistryError> {
        let mut problems = Vec::new();
        for definition in definitions {
            let role = Role::Name;
            match self.claim(definition.name, Word { definition, role }) {
                Some(problem) => problems.push(problem),
                None => {
                    self.definitions
                        .entry(definition.name)
                        .or_insert(definition);
                }
            }
        }
        RegistryError::unless_none(problems)?;
        Ok(self)
    }

    /// Gives a word to a definition, unless another one has it.
    fn claim(&mut self, text: &str, word: Word) -> Option<RegistryProblem> {
        let Some(holder) = self.words.get(text) else {
            self.words.insert(text.to_owned(), word);
            return None;
        };
        (!is_same(holder.definition, word.definition)).then(|| RegistryProblem::Taken {
            word: text.to_owned(),
            first: Claimant::of(*holder),
            second: Claimant::of(word),
        })
    }

    fn unknown(&self, name: &str) -> UnknownDispatcher {
        UnknownDispatcher {
            name: shown(name),
            suggestion: suggest(name, self.words.keys().map(String::as_str)).map(str::to_owned),
            known: self.definitions.keys().copied().collect(),
        }
    }
}

/// Collects definitions, and checks them together.
#[derive(Debug, Clone, Default)]
pub struct RegistryBuilder {
    definitions: Vec<&'static Definition>,
}

impl RegistryBuilder {
    /// Adds everything that was linked into the program.
    #[must_use]
    pub fn linked(mut self) -> Self {
        let linked = inventory::iter::<Registration>.into_iter();
        self.definitions
            .extend(linked.map(|registration| registration.0()));
        self
    }

    /// Adds one; adding the same one again changes nothing.
    #[must_use]
    pub fn with(mut self, definition: &'static Definition) -> Self {
        self.definitions.push(definition);
        self
    }

    /// Checks all of them together.
    ///
    /// # Errors
    /// When there are none, or when names clash: all of it at once.
    pub fn build(mut self) -> Result<Registry, RegistryError> {
        if self.definitions.is_empty() {
            return Err(RegistryError(vec![RegistryProblem::Empty]));
        }
        self.definitions.sort_by_key(|definition| {
            let Place { file, line, .. } = definition.place;
            (definition.name, file, line)
        });
        self.definitions.dedup_by(|one, other| is_same(one, other));
        let mut registry = Registry::default();
        let mut problems = Vec::new();
        // Names first, so that an alias never takes a name away.
        for &definition in &self.definitions {
            let role = Role::Name;
            problems.extend(registry.claim(definition.name, Word { definition, role }));
            registry
                .definitions
                .entry(definition.name)
                .or_insert(definition);
        }
        for &definition in &self.definitions {
            let role = Role::Alias;
            for alias in definition.aliases {
                problems.extend(registry.claim(alias, Word { definition, role }));
            }
        }
        RegistryError::unless_none(problems)?;
        Ok(registry)
    }
}

/// No dispatcher has this name or alias.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownDispatcher {
    /// What was asked for, cut when very long.
    pub name: String,
    /// What was probably meant.
    pub suggestion: Option<String>,
    /// All names there are.
    pub known: Vec<&'static str>,
}

impl UnknownDispatcher {
    /// What to do about it, in one line.
    #[must_use]
    pub fn advice(&self) -> String {
        match &self.suggestion {
            Some(meant) if meant.to_lowercase() == self.name.to_lowercase() => {
                format!("write `{meant}`: names are exact, capitals included")
            }
            Some(meant) => format!("did you mean `{meant}`?"),
            None if self.known.is_empty() => LINK_ADVICE.to_owned(),
            None => "the command `list` shows every dispatcher".to_owned(),
        }
    }
}

impl std::error::Error for UnknownDispatcher {}

impl fmt::Display for UnknownDispatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "no dispatcher is called `{}`", self.name)?;
        match &self.known[..] {
            [] => f.write_str("this program has no dispatchers"),
            [one] => write!(f, "the only one in this program is {one}"),
            [names @ .., last] if names.len() < NAMES_LISTED_MAX => {
                write!(f, "this program has {} and {last}", names.join(", "))
            }
            names => write!(f, "none of this program's {} has that name", names.len()),
        }
    }
}

/// Everything that is wrong with a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryError(Vec<RegistryProblem>);

impl RegistryError {
    /// The problems; at least one.
    #[must_use]
    pub fn problems(&self) -> &[RegistryProblem] {
        &self.0
    }

    /// What to do, one line for each problem.
    #[must_use]
    pub fn advice(&self) -> String {
        let advice: Vec<_> = self.0.iter().map(RegistryProblem::advice).collect();
        advice.join("\n")
    }

    fn unless_none(problems: Vec<RegistryProblem>) -> Result<(), Self> {
        if problems.is_empty() {
            Ok(())
        } else {
            Err(Self(problems))
        }
    }
}

impl std::error::Error for RegistryError {}

impl fmt::Display for RegistryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

/// One thing that is wrong with a registry. Its text has two lines: what, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistryProblem {
    /// No dispatcher was linked or added.
    #[error(
        "this program has no dispatchers\nnothing with `#[derive(Dispatcher)]` was linked into it"
    )]
    Empty,
    /// Two dispatchers lay claim to one word.
    #[error("two dispatchers answer to `{word}`\nit is {first} and {second}")]
    Taken {
        /// The name or alias.
        word: String,
        /// Who has it.
        first: Claimant,
        /// Who wants it too.
        second: Claimant,
    },
    /// The configuration's alias leads nowhere.
    #[error("the alias `{alias}` leads to `{}`, which is no dispatcher's name\n{}", unknown.name, target_why(unknown, *alias_of))]
    UnknownTarget {
        /// The alias.
        alias: String,
        /// About its target.
        unknown: UnknownDispatcher,
        /// Whose alias the target is, if it is one.
        alias_of: Option<&'static str>,
    },
}

impl RegistryProblem {
    /// What to do about it, in one line.
    #[must_use]
    pub fn advice(&self) -> String {
        match self {
            Self::Empty => LINK_ADVICE.to_owned(),
            Self::Taken { second, .. } => match second.role {
                Role::Name => {
                    "rename one of them, or give it `#[dispatcher(name = \"…\")]`".to_owned()
                }
                Role::Alias => "remove the alias from one of them".to_owned(),
                Role::ConfiguredAlias => "remove the line from `[aliases]`".to_owned(),
            },
            Self::UnknownTarget {
                alias_of: Some(name),
                ..
            } => format!("write `{name}`"),
            Self::UnknownTarget {
                unknown,
                alias_of: None,
                ..
            } => unknown.advice(),
        }
    }
}

/// A dispatcher that lays claim to a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claimant {
    /// Its name.
    pub name: &'static str,
    /// Where it stands in the source.
    pub place: Place,
    /// How it came by the word.
    pub role: Role,
}

impl Claimant {
    fn of(word: Word) -> Self {
        Self {
            name: word.definition.name,
            place: word.definition.place,
            role: word.role,
        }
    }
}

impl fmt::Display for Claimant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { file, line, .. } = self.place;
        match self.role {
            Role::Name => write!(f, "the name of the one at {file}:{line}"),
            Role::Alias => write!(f, "an alias of {} at {file}:{line}", self.name),
            Role::ConfiguredAlias => {
                write!(f, "in `[aliases]` for {} at {file}:{line}", self.name)
            }
        }
    }
}

const LINK_ADVICE: &str = "derive `Dispatcher` for a struct; when it stands in a library, name \
    that library in the program (`use my_jobs as _;`), or the linker leaves it out";

/// Whether it is one definition, perhaps in two copies.
fn is_same(one: &'static Definition, other: &'static Definition) -> bool {
    std::ptr::eq(one, other) || (one.name == other.name && one.place == other.place)
}

fn target_why(unknown: &UnknownDispatcher, alias_of: Option<&'static str>) -> String {
    match alias_of {
        Some(name) => format!("it is itself an alias, of {name}"),
        None => {
            let text = unknown.to_string();
            text.lines().last().unwrap_or_default().to_owned()
        }
    }
}

fn shown(name: &str) -> String {
    let mut shown: String = name.chars().take(NAME_CHARS_MAX).collect();
    if shown.len() < name.len() {
        shown.push('…');
    }
    shown.escape_debug().to_string()
}
