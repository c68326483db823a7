//! `docs/message-formats.md` says what is so: its bytes, its messages, and the keys of every answer.

mod frames;
mod messages;
mod printed;
mod shapes;

const DOCUMENT: &str = include_str!("../../../docs/message-formats.md");

/// What stands below a heading of the second level, up to the next one.
fn chapter(title: &str) -> &'static str {
    let (_, from) = DOCUMENT
        .split_once(&format!("\n## {title}\n"))
        .unwrap_or_else(|| panic!("no chapter {title}"));
    from.split_once("\n## ")
        .map_or(from, |(chapter, _)| chapter)
}

/// The cells of each row of tables, headings left out, without the marks of code.
fn rows(text: &str) -> impl Iterator<Item = Vec<&str>> {
    let is_ruled = |line: &str| line.starts_with("|--");
    let below = text.lines().skip(1).chain([""]);
    let rows = text
        .lines()
        .zip(below)
        .filter(move |(line, below)| line.starts_with('|') && !is_ruled(line) && !is_ruled(below));
    rows.map(|(line, _)| {
        let inner = line
            .strip_prefix("| ")
            .and_then(|line| line.strip_suffix('|'));
        let cells = inner
            .unwrap_or_else(|| panic!("no row: {line}"))
            .split(" | ");
        cells.map(str::trim).collect()
    })
}

/// A cell that is nothing but code, or empty.
fn code(cell: &str) -> &str {
    cell.trim_matches('`')
}

/// Lines of the blocks of code that are marked like this.
fn block(mark: &str) -> impl Iterator<Item = &'static str> {
    let (_, from) = DOCUMENT
        .split_once(&format!("\n```{mark}\n"))
        .unwrap_or_else(|| panic!("no block {mark}"));
    let (block, _) = from.split_once("\n```").expect("a block ends");
    block.lines()
}
