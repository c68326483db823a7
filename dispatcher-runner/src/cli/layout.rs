//! Tables that fit the terminal, and text that cannot harm it.
//!
//! Without a width nothing is cut: a pipe gets every character. Text from jobs never carries
//! control characters to a terminal.

use super::terminal::{Colour, Colours};

/// A column shrinks no further than this.
const COLUMN_CHARS_MIN: usize = 8;
const GAP: usize = 2;

/// A table under construction.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

/// A column.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    pub(crate) title: &'static str,
    pub(crate) kind: ColumnKind,
}

/// How a column behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ColumnKind {
    /// Always whole.
    Fixed,
    /// Always whole, aligned right.
    Number,
    /// Cut when the terminal is narrow.
    Elastic,
    /// Nice to have: gives way to all others, and is left out when too little room remains.
    Spare,
    /// Whole, in several lines when the terminal is narrow; the last column only.
    Wrapped,
}

/// One cell.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    text: String,
    colour: Colour,
}

impl Cell {
    pub(crate) fn coloured(colour: Colour, text: impl Into<String>) -> Self {
        let text = harmless(&text.into());
        Self { text, colour }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::coloured(Colour::Plain, text)
    }
}

impl Table {
    pub(crate) fn new(columns: &[(&'static str, ColumnKind)]) -> Self {
        let columns = columns
            .iter()
            .map(|(title, kind)| Column { title, kind: *kind })
            .collect();
        let rows = Vec::new();
        Self { columns, rows }
    }

    /// Adds a row with one cell for each column.
    pub(crate) fn row(&mut self, cells: Vec<Cell>) {
        assert_eq!(
            cells.len(),
            self.columns.len(),
            "invariant: a row has a cell for each column"
        );
        self.rows.push(cells);
    }

    /// The table as lines, no wider than `width`.
    pub(crate) fn render(&self, width: Option<usize>, colours: Colours) -> String {
        let widths = self.widths(width);
        let mut text = String::new();
        let titles: Vec<_> = self
            .columns
            .iter()
            .map(|column| Cell::coloured(Colour::Strong, column.title))
            .collect();
        for row in std::iter::once(&titles).chain(&self.rows) {
            text.push_str(&self.line(row, &widths, colours));
            text.push('\n');
        }
        text
    }

    fn line(&self, row: &[Cell], widths: &[usize], colours: Colours) -> String {
        let mut line = String::new();
        let (mut pending, mut indent) = (0, 0);
        for ((cell, column), width) in row.iter().zip(&self.columns).zip(widths.iter().copied()) {
            if width == 0 {
                continue;
            }
            let (shown, more) = match column.kind {
                ColumnKind::Wrapped => wrapped(&cell.text, width),
                ColumnKind::Fixed
                | ColumnKind::Number
                | ColumnKind::Elastic
                | ColumnKind::Spare => (cut(&cell.text, width), Vec::new()),
            };
            let space = width.saturating_sub(columns_of(&shown));
            let before = match column.kind {
                ColumnKind::Number => space,
                ColumnKind::Fixed
                | ColumnKind::Elastic
                | ColumnKind::Spare
                | ColumnKind::Wrapped => 0,
            };
            if shown.is_empty() {
                pending += space + GAP;
            } else {
                line.push_str(&" ".repeat(pending + before));
                line.push_str(&colours.paint(cell.colour, &shown));
                pending = space - before + GAP;
            }
            for shown in more {
                let shown = colours.paint(cell.colour, &shown);
                line.push_str(&format!("\n{:indent$}{shown}", ""));
            }
            indent += width + GAP;
        }
        line
    }

    fn widths(&self, limit: Option<usize>) -> Vec<usize> {
        let mut widths: Vec<_> = self
            .columns
            .iter()
            .enumerate()
            .map(|(index, column)| {
                let cells = self.rows.iter().map(|row| columns_of(&row[index].text));
                cells.chain([columns_of(column.title)]).max().unwrap_or(0)
            })
            .collect();
        let Some(limit) = limit else { return widths };
        self.give_way(&mut widths, limit);
        loop {
            let excess = excess(&widths, limit);
            let elastic = |index: &usize| self.columns[*index].kind == ColumnKind::Elastic;
            let widest = (0..widths.len())
                .filter(elastic)
                .filter(|index| widths[*index] > COLUMN_CHARS_MIN)
                .max_by_key(|index| widths[*index]);
            let (Some(widest), true) = (widest, excess > 0) else {
                return widths;
            };
            // The widest gives up to where the next one stands, so that all shrink alike.
            let next = (0..widths.len())
                .filter(elastic)
                .filter(|index| *index != widest)
                .map(|index| widths[index])
                .filter(|width| *width < widths[widest])
                .max()
                .unwrap_or(COLUMN_CHARS_MIN)
                .max(COLUMN_CHARS_MIN);
            let step = (widths[widest] - next).clamp(1, excess);
            widths[widest] -= step;
        }
    }

    /// What spare columns can give, then what a wrapped one can.
    fn give_way(&self, widths: &mut [usize], limit: usize) {
        for kind in [ColumnKind::Spare, ColumnKind::Wrapped] {
            for (index, column) in self.columns.iter().enumerate() {
                if column.kind != kind {
                    continue;
                }
                let whole = widths[index];
                let left = whole.saturating_sub(excess(widths, limit));
                widths[index] = match kind {
                    ColumnKind::Spare if left < whole.min(COLUMN_CHARS_MIN) => 0,
                    ColumnKind::Wrapped => left.max(whole.min(COLUMN_CHARS_MIN)),
                    ColumnKind::Spare
                    | ColumnKind::Fixed
                    | ColumnKind::Number
                    | ColumnKind::Elastic => left,
                };
            }
        }
    }
}

/// The text, cut with an ellipsis to at most `columns` columns.
pub(crate) fn cut(text: &str, columns: usize) -> String {
    if columns_of(text) <= columns {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut used = 0;
    for char in text.chars() {
        let width = columns_of_char(char);
        if used + width + 1 > columns {
            break;
        }
        used += width;
        kept.push(char);
    }
    if columns > 0 {
        kept.push('…');
    }
    kept
}

/// The text in lines of at most `columns` columns, broken between words where there are any:
/// the first line, and those after it.
fn wrapped(text: &str, columns: usize) -> (String, Vec<String>) {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("invariant: there is always a line");
        if line.is_empty() {
            line.push_str(word);
        } else if columns_of(line) + 1 + columns_of(word) <= columns {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    let first = lines.remove(0);
    (first, lines)
}

/// The text without control characters, on one line.
pub(crate) fn harmless(text: &str) -> String {
    if !text.chars().any(is_harmful) {
        return text.to_owned();
    }
    text.chars()
        .map(|char| match char {
            '\n' | '\t' => ' ',
            char if is_harmful(char) => '\u{fffd}',
            char => char,
        })
        .collect()
}

/// Several lines without control characters other than line ends and tabs.
pub(crate) fn harmless_lines(text: &str) -> String {
    text.chars()
        .map(|char| match char {
            '\n' | '\t' => char,
            char if is_harmful(char) => '\u{fffd}',
            char => char,
        })
        .collect()
}

/// Control characters, and those that turn the direction of writing around.
fn is_harmful(char: char) -> bool {
    char.is_control() || matches!(char, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn columns_of(text: &str) -> usize {
    text.chars().map(columns_of_char).sum()
}

/// Columns that a character takes: the common wide and combining blocks of Unicode.
fn columns_of_char(char: char) -> usize {
    match u32::from(char) {
        0x300..=0x36f | 0x200b..=0x200f | 0xfe00..=0xfe0f => 0,
        0x1100..=0x115f
        | 0x2e80..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1f300..=0x1faff
        | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

/// Columns that a table of these widths has too many; what is left out needs no gap either.
fn excess(widths: &[usize], limit: usize) -> usize {
    let shown = widths.iter().filter(|width| **width > 0);
    let gaps = GAP * shown.count().saturating_sub(1);
    (widths.iter().sum::<usize>() + gaps).saturating_sub(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&[
            ("id", ColumnKind::Fixed),
            ("tries", ColumnKind::Number),
            ("payload", ColumnKind::Elastic),
        ]);
        table.row(vec![
            "a1".into(),
            "1".into(),
            "a very long payload indeed".into(),
        ]);
        table.row(vec!["b2".into(), "12".into(), "日本語のテキスト".into()]);
        table
    }

    #[test]
    fn nothing_is_cut_in_a_pipe() {
        assert_eq!(
            table().render(None, Colours::Off),
            "id  tries  payload\n\
             a1      1  a very long payload indeed\n\
             b2     12  日本語のテキスト\n"
        );
    }

    #[test]
    fn elastic_columns_are_cut_on_a_terminal() {
        assert_eq!(
            table().render(Some(25), Colours::Off),
            "id  tries  payload\n\
             a1      1  a very long p…\n\
             b2     12  日本語のテキ…\n"
        );
        for width in 1..60 {
            let rendered = table().render(Some(width), Colours::Off);
            let widest = rendered.lines().map(columns_of).max().unwrap();
            assert!(
                widest <= width.max(11 + COLUMN_CHARS_MIN),
                "{width}: {widest}"
            );
        }
    }

    #[test]
    fn a_spare_column_gives_way_and_a_wrapped_one_takes_more_lines() {
        let mut table = Table::new(&[
            ("id", ColumnKind::Fixed),
            ("spare", ColumnKind::Spare),
            ("why", ColumnKind::Wrapped),
        ]);
        table.row(vec![
            "a1".into(),
            "0123456789".into(),
            "it was the butler".into(),
        ]);
        for (width, text) in [
            (
                33,
                "id  spare       why\na1  0123456789  it was the butler\n",
            ),
            (31, "id  spare     why\na1  0123456…  it was the butler\n"),
            (25, "id  why\na1  it was the butler\n"),
            (17, "id  why\na1  it was the\n    butler\n"),
        ] {
            assert_eq!(table.render(Some(width), Colours::Off), text, "{width}");
        }
    }

    #[test]
    fn colours_do_not_count_as_columns() {
        let mut table = Table::new(&[("state", ColumnKind::Fixed), ("x", ColumnKind::Fixed)]);
        table.row(vec![Cell::coloured(Colour::Good, "ok"), "y".into()]);
        assert_eq!(
            table.render(None, Colours::On),
            "\x1b[1mstate\x1b[0m  \x1b[1mx\x1b[0m\n\x1b[32mok\x1b[0m     y\n"
        );
    }

    #[test]
    fn empty_cells_leave_no_trailing_space() {
        let mut table = Table::new(&[("a", ColumnKind::Fixed), ("b", ColumnKind::Fixed)]);
        table.row(vec!["x".into(), "".into()]);
        assert_eq!(table.render(None, Colours::Off), "a  b\nx\n");
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(harmless("a\x1b[2Jb\nc"), "a\u{fffd}[2Jb c");
        assert_eq!(harmless_lines("a\x1b\nc\u{202e}"), "a\u{fffd}\nc\u{fffd}");
    }

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("abcd", 3), "ab…");
        assert_eq!(cut("abcd", 0), "");
        assert_eq!(cut("日本", 3), "日…");
    }
}
