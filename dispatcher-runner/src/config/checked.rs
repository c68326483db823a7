//! Options that code has set, held to what `#[dispatcher(...)]` takes.
//!
//! Attributes and configuration are checked where they are written; `Process::options`, the
//! builder and the command line come together here, before anything is stored. Zero is no limit
//! wherever an attribute says so.

use std::time::Duration;

use dispatcher_core::{EnvPolicy, Isolation, Leftovers, Options};

/// Longest label of a queue, as of every name.
const LABEL_CHARS_MAX: usize = 128;

/// An option that no attribute could have set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Misfit {
    pub(crate) option: &'static str,
    pub(crate) why: String,
}

/// Takes zeros for what they mean, and refuses what does not fit.
pub(crate) fn checked(mut options: Options) -> Result<Options, Misfit> {
    let misfit = |option, why: String| Err(Misfit { option, why });
    for time in [
        &mut options.timeout,
        &mut options.expires,
        &mut options.delay,
        &mut options.cpu_limit,
    ] {
        *time = time.filter(|time| *time > Duration::ZERO);
    }
    if let Some(mistake) = label_mistake(&options.queue) {
        return misfit("queue", mistake);
    }
    for (option, limit) in [
        ("memory_limit", options.memory_limit),
        ("open_files", options.open_files),
    ] {
        if limit == Some(0) {
            let why = "zero is no limit; leave the option out to have none";
            return misfit(option, why.to_owned());
        }
    }
    if let Some(nice) = options.nice.filter(|nice| !(-20..=19).contains(nice)) {
        return misfit("nice", format!("it is from -20 to 19, not {nice}"));
    }
    if let Some(path) = &options.working_directory
        && let Some(mistake) = directory_mistake(path)
    {
        return misfit("working_directory", mistake);
    }
    for (option, names) in [
        ("required_packages", &options.required_packages),
        ("required_commands", &options.required_commands),
        ("package_includes", &options.package_includes),
    ] {
        if let Some(name) = names.iter().find(|name| !is_name(name)) {
            return misfit(option, format!("{name:?} is no name"));
        }
    }
    if let EnvPolicy::Only(names) = &options.env
        && let Some(name) = names.iter().find(|name| !is_variable(name))
    {
        return misfit("env", format!("it lists names of variables, not {name:?}"));
    }
    if options.isolation == Isolation::Pool
        && let Some(option) = unshared(&options)
    {
        let why = "it needs a process of its own, and a worker of a pool serves many jobs; \
                   leave it out, or choose `isolation = \"process\"`";
        return misfit(option, why.to_owned());
    }
    Ok(options)
}

/// An option that holds for a whole process.
fn unshared(options: &Options) -> Option<&'static str> {
    let given = [
        ("cpu_limit", options.cpu_limit.is_some()),
        ("open_files", options.open_files.is_some()),
        ("nice", options.nice.is_some()),
        ("env", options.env != EnvPolicy::Inherit),
        ("leftovers", options.leftovers != Leftovers::default()),
    ];
    let first = given.into_iter().find(|(_, given)| *given);
    first.map(|(option, _)| option)
}

/// What is wrong with the label of a queue, if anything.
pub(crate) fn label_mistake(label: &str) -> Option<String> {
    let odd = |letter: char| letter.is_whitespace() || letter.is_control() || letter == ',';
    if label.is_empty() {
        return Some("a label cannot be empty".to_owned());
    }
    if label.chars().count() > LABEL_CHARS_MAX {
        return Some(format!("a label has at most {LABEL_CHARS_MAX} characters"));
    }
    let letter = label.chars().find(|letter| odd(*letter))?;
    Some(format!(
        "a label has no spaces, commas and control characters, found {letter:?}"
    ))
}

/// What is wrong with a working directory, if anything.
pub(crate) fn directory_mistake(path: &str) -> Option<String> {
    let fits = path.starts_with('/') && !path.contains('\0');
    (!fits).then(|| format!("the path must be absolute (begin with `/`), found {path:?}"))
}

/// Whether something could be called so: a package, a program, a library.
pub(crate) fn is_name(name: &str) -> bool {
    !name.trim().is_empty() && !name.contains('\0')
}

/// Whether a variable could be called so.
pub(crate) fn is_variable(name: &str) -> bool {
    is_name(name) && !name.contains('=')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(change: impl FnOnce(&mut Options)) -> Result<Options, Misfit> {
        let mut options = Options::default();
        change(&mut options);
        checked(options)
    }

    #[test]
    fn zero_is_none_where_an_attribute_says_so() {
        let settled = with(|options| {
            options.timeout = Some(Duration::ZERO);
            options.expires = Some(Duration::ZERO);
            options.delay = Some(Duration::ZERO);
            options.cpu_limit = Some(Duration::ZERO);
            options.grace = Duration::ZERO;
        });
        let expected = Options {
            timeout: None,
            grace: Duration::ZERO,
            ..Options::default()
        };
        assert_eq!(settled, Ok(expected));
    }

    #[test]
    fn the_extremes_are_kept_as_they_are() {
        for (priority, nice) in [(i32::MIN, -20), (i32::MAX, 19), (0, 0)] {
            let extreme = Options {
                timeout: Some(Duration::MAX),
                grace: Duration::MAX,
                expires: Some(Duration::MAX),
                delay: Some(Duration::MAX),
                cpu_limit: Some(Duration::from_nanos(1)),
                memory_limit: Some(u64::MAX),
                open_files: Some(1),
                retries: u32::MAX,
                nice: Some(nice),
                priority,
                queue: "é".repeat(LABEL_CHARS_MAX),
                working_directory: Some("/".to_owned()),
                env: EnvPolicy::Only(Vec::new()),
                ..Options::default()
            };
            assert_eq!(checked(extreme.clone()), Ok(extreme));
        }
    }

    #[test]
    fn what_holds_for_a_whole_process_is_refused_in_a_pool() {
        type Change = fn(&mut Options);
        let changes: [(&str, Change); 4] = [
            ("cpu_limit", |it| {
                it.cpu_limit = Some(Duration::from_secs(1))
            }),
            ("open_files", |it| it.open_files = Some(64)),
            ("nice", |it| it.nice = Some(5)),
            ("env", |it| {
                it.env = EnvPolicy::Only(vec!["PATH".to_owned()])
            }),
        ];
        for (option, change) in changes {
            assert!(with(change).is_ok(), "{option}");
            let misfit = with(|it| {
                change(it);
                it.isolation = Isolation::Pool;
            });
            let misfit = misfit.expect_err("a worker serves many jobs");
            assert_eq!(misfit.option, option);
            assert!(misfit.why.contains("isolation"), "{}", misfit.why);
        }
        let shared = with(|it| {
            it.isolation = Isolation::Pool;
            it.memory_limit = Some(1 << 30);
            it.working_directory = Some("/srv".to_owned());
        });
        assert!(shared.is_ok());
    }

    #[test]
    fn what_no_attribute_could_say_is_refused_by_name() {
        type Change = fn(&mut Options);
        let text = |text: &str| text.to_owned();
        let changes: [(&str, Change); 17] = [
            ("queue", |it| it.queue = String::new()),
            ("queue", |it| it.queue = "a b".to_owned()),
            ("queue", |it| it.queue = "a,b".to_owned()),
            ("queue", |it| it.queue = "a\n".to_owned()),
            ("queue", |it| it.queue = "x".repeat(LABEL_CHARS_MAX + 1)),
            ("memory_limit", |it| it.memory_limit = Some(0)),
            ("open_files", |it| it.open_files = Some(0)),
            ("nice", |it| it.nice = Some(20)),
            ("nice", |it| it.nice = Some(i32::MIN)),
            ("working_directory", |it| {
                it.working_directory = Some("var".to_owned());
            }),
            ("working_directory", |it| {
                it.working_directory = Some("/a\0b".to_owned());
            }),
            ("working_directory", |it| {
                it.working_directory = Some(String::new());
            }),
            ("required_packages", |it| {
                it.required_packages = vec!["a".to_owned(), " ".to_owned()];
            }),
            ("required_commands", |it| {
                it.required_commands = vec!["a\0".to_owned()];
            }),
            ("package_includes", |it| {
                it.package_includes = vec![String::new()];
            }),
            ("env", |it| it.env = EnvPolicy::Only(vec!["A=1".to_owned()])),
            ("env", |it| it.env = EnvPolicy::Only(vec![String::new()])),
        ];
        for (option, change) in changes {
            let misfit = with(change).unwrap_err();
            assert_eq!(text(option), misfit.option, "{misfit:?}");
            assert!(!misfit.why.is_empty());
        }
    }
}
