//! Completion scripts for shells, made from the grammar's table.
//!
//! Names of dispatchers and ids of jobs are asked from the program when they are needed, so that
//! a script stays right when the program changes.

use super::grammar::{Binary, Command, Flag, GLOBAL, Listed, TOP, Words, commands_of};

/// The script for bash.
pub(crate) fn bash(program: &str, binary: Binary) -> String {
    let function = function_name(program);
    let mut cases = String::new();
    for command in commands_of(binary) {
        let flags: Vec<_> = listed(command)
            .map(|flag| format!("--{}", flag.long))
            .collect();
        let positional = bash_words(command.positional.words);
        cases.push_str(&format!(
            "        {}) flags='{}'; words={positional} ;;\n",
            command.name,
            flags.join(" ")
        ));
    }
    let mut values = String::new();
    for flag in all_flags(binary).filter(|flag| flag.value.is_some()) {
        values.push_str(&format!(
            "        --{}) COMPREPLY=( $(compgen {} -- \"$cur\") ); return ;;\n",
            flag.long,
            bash_compgen(flag.words)
        ));
    }
    let commands = names(binary).join(" ");
    let top = top_flags().join(" ");
    let program = quoted(program);
    format!(
        r#"# bash completion of {program}
{function}() {{
    local cur="${{COMP_WORDS[COMP_CWORD]}}" prev="" program="${{COMP_WORDS[0]}}"
    local command="" flags="" words="" word
    (( COMP_CWORD > 0 )) && prev="${{COMP_WORDS[COMP_CWORD-1]}}"
    case "$prev" in
{values}    esac
    for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        case " {commands} " in *" $word "*) command="$word"; break ;; esac
    done
    case "$command" in
{cases}        *) flags='{top}'; words='{commands}' ;;
    esac
    if [[ "$cur" == -* ]]; then
        COMPREPLY=( $(compgen -W "$flags" -- "$cur") )
    else
        COMPREPLY=( $(compgen -W "$words" -- "$cur") )
    fi
}}
complete -o default -F {function} {program}
"#
    )
}

/// The script for zsh.
pub(crate) fn zsh(program: &str, binary: Binary) -> String {
    let function = function_name(program);
    let described: Vec<_> = commands_of(binary)
        .map(|command| {
            format!(
                "        {}",
                quoted(&format!("{}:{}", command.name, command.summary))
            )
        })
        .collect();
    let mut cases = String::new();
    for command in commands_of(binary) {
        let mut specs: Vec<_> = listed(command).map(zsh_flag).collect();
        specs.push(quoted(&format!(
            "*:argument:{}",
            zsh_action(command.positional.words)
        )));
        cases.push_str(&format!(
            "        {}) _arguments {} ;;\n",
            command.name,
            specs.join(" ")
        ));
    }
    let globals: Vec<_> = GLOBAL.iter().chain(TOP).map(zsh_flag).collect();
    format!(
        r#"#compdef {program}
# zsh completion of {program}
{function}_dispatchers() {{ compadd -- ${{(f)"$($program list --names 2>/dev/null)"}} }}
{function}_jobs() {{ compadd -- ${{(f)"$($program jobs --ids 2>/dev/null)"}} }}
{function}() {{
    local program=$words[1] state line
    local -a commands
    commands=(
{described}
    )
    _arguments -C {globals} '1:command:->command' '*::argument:->argument'
    case $state in
    command) _describe command commands ;;
    argument)
        case $line[1] in
{cases}        esac ;;
    esac
}}
if [[ $funcstack[1] == _{program} ]]; then {function} "$@"; else compdef {function} {program}; fi
"#,
        described = described.join("\n"),
        globals = globals.join(" "),
    )
    .replace("{dispatchers}", &format!("{function}_dispatchers"))
    .replace("{jobs}", &format!("{function}_jobs"))
}

/// The script for fish.
pub(crate) fn fish(program: &str, binary: Binary) -> String {
    let quoted_program = quoted(program);
    let mut text = format!("# fish completion of {program}\ncomplete -c {quoted_program} -f\n");
    for command in commands_of(binary) {
        text.push_str(&format!(
            "complete -c {quoted_program} -n __fish_use_subcommand -a {} -d {}\n",
            command.name,
            quoted(command.summary)
        ));
        let condition = quoted(&format!("__fish_seen_subcommand_from {}", command.name));
        if let Some(words) = fish_words(command.positional.words, program) {
            text.push_str(&format!(
                "complete -c {quoted_program} -n {condition} {words}\n"
            ));
        }
        for flag in command
            .flags
            .iter()
            .filter(|flag| flag.listed == Listed::Yes)
        {
            text.push_str(&fish_flag(
                &quoted_program,
                &format!("-n {condition} "),
                flag,
                program,
            ));
        }
    }
    for flag in GLOBAL.iter().chain(TOP) {
        text.push_str(&fish_flag(&quoted_program, "", flag, program));
    }
    text
}

fn names(binary: Binary) -> Vec<&'static str> {
    commands_of(binary).map(|command| command.name).collect()
}

fn top_flags() -> Vec<String> {
    let flags = GLOBAL.iter().chain(TOP);
    flags.map(|flag| format!("--{}", flag.long)).collect()
}

fn listed(command: &'static Command) -> impl Iterator<Item = &'static Flag> {
    let flags = command.flags.iter().chain(GLOBAL);
    flags.filter(|flag| flag.listed == Listed::Yes)
}

/// Every option once, by its name: an option takes the same words wherever it stands.
fn all_flags(binary: Binary) -> impl Iterator<Item = &'static Flag> {
    let mut seen = Vec::new();
    let flags = commands_of(binary).flat_map(listed);
    flags.filter(move |flag| {
        let new = !seen.contains(&flag.long);
        seen.push(flag.long);
        new
    })
}

fn bash_words(words: Words) -> String {
    match words {
        Words::Nothing | Words::Files => "''".to_owned(),
        Words::Dispatchers => "\"$(\"$program\" list --names 2>/dev/null)\"".to_owned(),
        Words::Jobs => "\"$(\"$program\" jobs --ids 2>/dev/null)\"".to_owned(),
        Words::These(words) => format!("'{}'", words.join(" ")),
    }
}

fn bash_compgen(words: Words) -> String {
    match words {
        Words::Files => "-f".to_owned(),
        Words::Nothing | Words::Dispatchers | Words::Jobs | Words::These(_) => {
            format!("-W {}", bash_words(words))
        }
    }
}

fn zsh_flag(flag: &Flag) -> String {
    // Brackets and colons have a meaning in these specifications.
    let help = flag
        .help
        .replace('[', "(")
        .replace(']', ")")
        .replace(':', "\\:");
    let value = match flag.value {
        Some(value) => format!(":{}:{}", value.to_lowercase(), zsh_action(flag.words)),
        None => String::new(),
    };
    quoted(&format!("--{}[{help}]{value}", flag.long))
}

fn zsh_action(words: Words) -> String {
    match words {
        Words::Nothing => " ".to_owned(),
        Words::Files => "_files".to_owned(),
        Words::Dispatchers => "{dispatchers}".to_owned(),
        Words::Jobs => "{jobs}".to_owned(),
        Words::These(words) => format!("({})", words.join(" ")),
    }
}

fn fish_flag(program: &str, condition: &str, flag: &Flag, plain: &str) -> String {
    let short = match flag.short {
        Some(short) => format!(" -s {short}"),
        None => String::new(),
    };
    let value = match (flag.value, fish_words(flag.words, plain)) {
        (None, _) => String::new(),
        (Some(_), None) => " -x".to_owned(),
        (Some(_), Some(words)) => format!(" -x {words}"),
    };
    format!(
        "complete -c {program} {condition}-l {}{short}{value} -d {}\n",
        flag.long,
        quoted(flag.help)
    )
}

fn fish_words(words: Words, program: &str) -> Option<String> {
    let words = match words {
        Words::Nothing => return None,
        Words::Files => "(__fish_complete_path)".to_owned(),
        Words::Dispatchers => format!("({program} list --names 2>/dev/null)"),
        Words::Jobs => format!("({program} jobs --ids 2>/dev/null)"),
        Words::These(words) => words.join(" "),
    };
    Some(format!("-a {}", quoted(&words)))
}

fn function_name(program: &str) -> String {
    let word: String = program
        .chars()
        .map(|char| {
            if char.is_ascii_alphanumeric() {
                char
            } else {
                '_'
            }
        })
        .collect();
    format!("_complete_{word}")
}

/// The text as one word of any of the three shells.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use std::process::{Command as Program, Stdio};

    use super::*;

    /// Checks the syntax with the shell itself, where there is one.
    fn check_syntax(shell: &str, script: &str) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), script).unwrap();
        let checked = Program::new(shell)
            .arg("-n")
            .arg(file.path())
            .stdin(Stdio::null())
            .output();
        if let Ok(checked) = checked {
            let told = String::from_utf8_lossy(&checked.stderr).into_owned();
            assert!(checked.status.success(), "{shell}: {told}\n{script}");
        }
    }

    #[test]
    fn scripts_are_accepted_by_their_shells() {
        check_syntax("bash", &bash("my-app", Binary::Generic));
        check_syntax("zsh", &zsh("my-app", Binary::Generic));
        check_syntax("fish", &fish("my-app", Binary::Generic));
    }

    #[test]
    fn scripts_name_every_command_and_option() {
        for script in [
            bash("app", Binary::Generic),
            zsh("app", Binary::Generic),
            fish("app", Binary::Generic),
        ] {
            for command in commands_of(Binary::Generic) {
                assert!(script.contains(command.name));
                for flag in command
                    .flags
                    .iter()
                    .filter(|flag| flag.listed == Listed::Yes)
                {
                    let found = script.contains(&format!("--{}", flag.long))
                        || script.contains(&format!("-l {}", flag.long));
                    assert!(found, "{} {}", command.name, flag.long);
                }
            }
            assert!(script.contains("list --names"));
            assert!(script.contains("jobs --ids"));
            assert!(!script.contains("{dispatchers}") && !script.contains("{jobs}"));
        }
    }

    #[test]
    fn bash_completes_commands_states_and_options() {
        for (words, expected) in [
            ("app sta", "status"),
            ("app jobs --state can", "cancelled"),
            ("app jobs --sea", "--search"),
            ("app completions z", "zsh"),
        ] {
            let function = function_name("app");
            let count = words.split(' ').count() - 1;
            let script = format!(
                "{}\nCOMP_WORDS=({words}); COMP_CWORD={count}; {function}; echo \"${{COMPREPLY[*]}}\"",
                bash("app", Binary::Generic)
            );
            let output = Program::new("bash").arg("-c").arg(script).output().unwrap();
            let told = String::from_utf8_lossy(&output.stdout).into_owned();
            assert_eq!(told.trim(), expected, "{words}");
        }
    }
}
