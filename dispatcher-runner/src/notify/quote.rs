//! Names of channels: any text that PostgreSQL takes, as it is.

/// Longest name: PostgreSQL cuts longer ones.
const CHANNEL_BYTES_MAX: usize = 63;

/// Whether a channel can have this name.
pub(crate) fn channel_fits(channel: &str) -> bool {
    (1..=CHANNEL_BYTES_MAX).contains(&channel.len()) && !channel.contains('\0')
}

/// As an identifier, capitals and all.
pub(super) fn quoted(channel: &str) -> String {
    format!("\"{}\"", channel.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_as_they_are() {
        for (channel, identifier) in [
            ("jobs", "\"jobs\""),
            ("Jobs; DROP TABLE x", "\"Jobs; DROP TABLE x\""),
            ("a\"b", "\"a\"\"b\""),
            ("ü", "\"ü\""),
        ] {
            assert!(channel_fits(channel));
            assert_eq!(quoted(channel), identifier);
        }
        let longest = "x".repeat(63);
        assert!(channel_fits(&longest));
        for channel in ["", "x\0y", &"x".repeat(64), &"ü".repeat(32)] {
            assert!(!channel_fits(channel), "{channel}");
        }
    }
}
