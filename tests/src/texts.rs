//! Texts that somebody on the way of a job would like to change.

/// What shells, printf, JSON, terminals, C and SQL would like to change.
pub const AWKWARD_TEXTS: [&str; 16] = [
    "",
    " leading, inner  and trailing ",
    "'single' and \"double\" and \\\"both\\\\",
    "* ? [a-z]* {a,b} ~ ~root",
    "$HOME ${PATH} $(touch here) `touch here` !! # & | ; < > ()",
    "%s %n %d %%",
    "two\nlines\r\nand\ttabs\n",
    "--json --detach -- -",
    "@/etc/passwd",
    "{\"a\": [1, 2.50, null]}",
    "'; DROP TABLE jobs; --",
    "🦀 naïve 日本語 \u{202e}ltr \u{0301}",
    "\u{0}\u{1}\u{7}\u{8}\u{1b}[31m\u{7f}\u{9b}",
    "\u{feff}\u{fffd}\u{ffff}\u{10ffff}",
    "\\u0041 \\n \\0 \\x41",
    "/../../ C:\\temp\\new",
];

/// All of them, again and again, until it is a mebibyte.
#[must_use]
pub fn awkward_mebibyte() -> String {
    let mut text = String::new();
    while text.len() < 1 << 20 {
        text.push_str(AWKWARD_TEXTS[text.len() % AWKWARD_TEXTS.len()]);
        text.push('x');
    }
    text
}
