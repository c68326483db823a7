//! "Did you mean": the candidate that a mistyped word was probably meant to be.
//!
//! The answer depends on nothing but the word and the set of candidates, not on their order.

/// Words longer than this are no typing mistakes; comparing them costs too much.
const WORD_BYTES_MAX: usize = 128;

/// The candidate closest to `word`, if one is close enough to be worth naming.
///
/// ```
/// use dispatcher_core::suggest;
/// let names = ["SendMail", "Backup"];
/// assert_eq!(suggest("sendmail", names), Some("SendMail"));
/// assert_eq!(suggest("Bakcup", names), Some("Backup"));
/// assert_eq!(suggest("Restore", names), None);
/// ```
pub fn suggest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.is_empty() || word.len() > WORD_BYTES_MAX {
        return None;
    }
    let lower = word.to_lowercase();
    candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= WORD_BYTES_MAX)
        .filter_map(|candidate| Some((distance(&lower, candidate)?, candidate)))
        .min()
        .map(|(_, candidate)| candidate)
}

/// How far apart the two are; `None` when too far.
fn distance(lower: &str, candidate: &str) -> Option<usize> {
    let candidate = candidate.to_lowercase();
    let length = lower.chars().count().max(candidate.chars().count());
    let edits = strsim::damerau_levenshtein(lower, &candidate);
    // Short words have many neighbours: one edit in three characters, and never all of them.
    if edits <= (length / 3).max(1) && edits < length {
        return Some(2 * edits);
    }
    // A beginning of at least three characters is a strong hint, but weaker than a slip.
    let begun = lower.chars().count() >= 3 && candidate.starts_with(lower);
    begun.then_some(2 * length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised() {
        let names = ["timeout", "retries", "queue", "max_queue", "grace"];
        for (word, expected) in [
            ("timeuot", Some("timeout")),
            ("time_out", Some("timeout")),
            ("TIMEOUT", Some("timeout")),
            ("retry", None),
            ("retrie", Some("retries")),
            ("queu", Some("queue")),
            ("maxqueue", Some("max_queue")),
            ("gra", Some("grace")),
            ("gr", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(suggest(word, names), expected, "{word}");
        }
    }

    #[test]
    fn order_of_candidates_does_not_matter() {
        assert_eq!(suggest("jobc", ["joba", "jobb"]), Some("joba"));
        assert_eq!(suggest("jobc", ["jobb", "joba"]), Some("joba"));
    }

    #[test]
    fn one_letter_words_are_not_mistaken_for_each_other() {
        assert_eq!(suggest("a", ["b"]), None);
        assert_eq!(suggest("ab", ["ac"]), Some("ac"));
    }

    #[test]
    fn huge_words_are_not_compared() {
        let huge = "a".repeat(1_000_000);
        assert_eq!(suggest(&huge, [huge.as_str()]), None);
    }
}
