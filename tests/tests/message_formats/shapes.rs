//! The second part of the document as a schema: which keys there are, and what stands behind them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::{chapter, code, rows};

/// Keys of each shape, with the cell that says what their values are.
pub(crate) struct Shapes {
    shapes: BTreeMap<&'static str, BTreeMap<&'static str, &'static str>>,
    /// What each command prints.
    pub(crate) commands: BTreeMap<&'static str, &'static str>,
    /// Shape and key of everything that was met.
    met: BTreeSet<(&'static str, &'static str)>,
}

impl Shapes {
    pub(crate) fn documented() -> Self {
        let chapter = chapter("What `--json` prints");
        let mut sections = chapter.split("\n### ");
        let commands = sections.next().expect("the commands come first");
        let commands = rows(commands).map(|cells| (code(cells[0]), cells[1]));
        let mut shapes = BTreeMap::<_, BTreeMap<_, _>>::new();
        for section in sections {
            let (title, text) = section.split_once('\n').expect("a title");
            let keys = rows(text).map(|cells| (code(cells[0]), cells[1]));
            let mut keys: BTreeMap<_, _> = keys.collect();
            if let Some((_, rest)) = text.split_once("\nEverything of [") {
                let (parent, _) = rest.split_once(']').expect("a link");
                keys.extend(shapes[parent].clone());
            }
            shapes.insert(title, keys);
        }
        Self {
            shapes,
            commands: commands.collect(),
            met: BTreeSet::new(),
        }
    }

    /// Compares an answer with the value that is documented: `list of Job`, `text or null`.
    pub(crate) fn compare(&mut self, value: &Value, documented: &'static str, place: &str) {
        let mut choices = documented.split(" or ").filter(|it| *it != "left out");
        let fits = choices.any(|choice| self.fits(value, choice, place));
        assert!(fits, "{place} is no {documented}: {value}");
    }

    fn fits(&mut self, value: &Value, choice: &'static str, place: &str) -> bool {
        match (choice, value) {
            ("anything", _)
            | ("text", Value::String(_))
            | ("number", Value::Number(_))
            | ("yes/no", Value::Bool(_))
            | ("null", Value::Null) => true,
            ("time", Value::String(text)) => text.parse::<jiff::Timestamp>().is_ok(),
            (choice, Value::Array(items)) => {
                let Some(of) = choice.strip_prefix("list of ") else {
                    return false;
                };
                for (number, item) in items.iter().enumerate() {
                    self.compare(item, of, &format!("{place}[{number}]"));
                }
                true
            }
            (choice, Value::Object(members)) if self.shapes.contains_key(choice) => {
                self.compare_keys(members, choice, place);
                true
            }
            _ => false,
        }
    }

    fn compare_keys(
        &mut self,
        members: &serde_json::Map<String, Value>,
        shape: &'static str,
        place: &str,
    ) {
        let keys = self.shapes[shape].clone();
        for (key, value) in members {
            let Some((key, documented)) = keys.get_key_value(key.as_str()) else {
                panic!("{place}: {shape} has {key}, which is not documented: {value}");
            };
            self.compare(value, documented, &format!("{place}.{key}"));
            self.met.insert((shape, key));
        }
        for (key, documented) in &keys {
            let may_be_absent = documented.ends_with("left out");
            let is_there = members.contains_key(*key);
            assert!(is_there || may_be_absent, "{place}: {shape} has no {key}");
        }
    }

    /// Documented keys that were in no answer.
    pub(crate) fn never_met(&self) -> Vec<String> {
        let all = self.shapes.iter().flat_map(|(shape, keys)| {
            let keys = keys.keys();
            keys.map(|key| (*shape, *key))
        });
        let missing = all.filter(|it| !self.met.contains(it));
        missing
            .map(|(shape, key)| format!("{shape}: {key}"))
            .collect()
    }
}
