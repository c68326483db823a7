//! Help texts, made from the grammar's table.

use super::grammar::{self, Binary, Command, Flag, GLOBAL, Listed, TOP};

/// Help about the whole program.
pub(crate) fn overview(program: &str, binary: Binary) -> String {
    let mut text = format!("Usage: {program} <command> [arguments]\n\nCommands:\n");
    for command in grammar::commands_of(binary) {
        text.push_str(&format!("  {:<17} {}\n", command.name, command.summary));
    }
    text.push_str("\nOptions:\n");
    text.push_str(&flags(GLOBAL.iter().chain(TOP)));
    text.push_str(&format!(
        "\n`{program} <command> --help` says more about a command.\n"
    ));
    text
}

/// Help about one command.
pub(crate) fn of_command(program: &str, command: &Command) -> String {
    let usage = format!("{program} {} {}", command.name, command.arguments);
    let mut summary = command.summary.to_owned();
    if let Some(first) = summary.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    let mut text = format!("{summary}.\n\nUsage: {} [options]\n", usage.trim_end());
    if !command.details.is_empty() {
        let details = command.details.replace("PROGRAM", program);
        text.push_str(&format!("\n{details}\n"));
    }
    text.push_str("\nOptions:\n");
    text.push_str(&flags(command.flags.iter().chain(GLOBAL)));
    text
}

fn flags<'a>(flags: impl Iterator<Item = &'a Flag>) -> String {
    let mut text = String::new();
    for flag in flags.filter(|flag| flag.listed == Listed::Yes) {
        let short = match flag.short {
            Some(short) => format!("-{short}, "),
            None => "    ".to_owned(),
        };
        let value = match flag.value {
            Some(value) => format!(" {value}"),
            None => String::new(),
        };
        let name = format!("{short}--{}{value}", flag.long);
        text.push_str(&format!("  {name:<25} {}\n", flag.help));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_fits_eighty_columns_and_names_everything() {
        let overview = overview("myapp", Binary::Generic);
        let mut texts = vec![overview.clone()];
        for command in grammar::commands_of(Binary::Generic) {
            assert!(overview.contains(command.name));
            let text = of_command("myapp", command);
            for flag in command.flags {
                let shown = text.contains(&format!("--{}", flag.long));
                assert_eq!(
                    shown,
                    flag.listed == Listed::Yes,
                    "{} {}",
                    command.name,
                    flag.long
                );
            }
            texts.push(text);
        }
        for line in texts.iter().flat_map(|text| text.lines()) {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }

    #[test]
    fn an_application_is_not_offered_what_only_the_generic_binary_has() {
        assert!(overview("dispatcher-runner", Binary::Generic).contains("  bench "));
        assert!(!overview("myapp", Binary::Application).contains("bench"));
    }

    #[test]
    fn the_usage_of_a_command_is_its_own() {
        let text = of_command("myapp", grammar::command("show").unwrap());
        assert!(text.starts_with(
            "Show one job with everything on record.\n\nUsage: myapp show <id> [options]\n"
        ));
    }
}
