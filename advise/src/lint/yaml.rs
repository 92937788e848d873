//! YAML as a tree in which every node knows its line. A tool that names a line needs that, and the parser's events have
//! it. Aliases are copied where they stand, and merged keys (`<<`) are put into their map.

use std::collections::BTreeMap;

use granit_parser::{Event, Parser, ScalarStyle};

/// No file has more nodes, aliases copied.
const NODES_MAX: usize = 500_000;

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    /// The line, from 1.
    pub(super) line: usize,
    pub(super) value: Value,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// Text; empty if there is nothing.
    Text(String),
    List(Vec<Node>),
    /// Keys with their lines.
    Map(Pairs),
}

/// Why a file cannot be read, and where.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadYaml {
    pub(super) line: usize,
    pub(super) why: String,
}

impl Node {
    /// The value of a key.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        self.pairs().find(|(name, _)| *name == key).map(|(_, node)| node)
    }

    /// The value at the end of a path of keys.
    pub(super) fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |node, key| node.get(key))
    }

    /// The line of a key.
    pub(super) fn line_of(&self, key: &str) -> Option<usize> {
        let Value::Map(pairs) = &self.value else { return None };
        pairs.iter().find(|(name, _, _)| name == key).map(|(_, line, _)| *line)
    }

    pub(super) fn text(&self) -> Option<&str> {
        if let Value::Text(text) = &self.value { Some(text) } else { None }
    }

    /// The text of a key.
    pub(super) fn text_of(&self, key: &str) -> Option<&str> {
        self.get(key)?.text()
    }

    /// The number of a key.
    pub(super) fn number_of(&self, key: &str) -> Option<u64> {
        self.text_of(key)?.parse().ok()
    }

    pub(super) fn list(&self) -> &[Self] {
        if let Value::List(list) = &self.value { list } else { &[] }
    }

    /// The entries of a list under a key.
    pub(super) fn list_of(&self, key: &str) -> &[Self] {
        self.get(key).map_or(&[], Self::list)
    }

    /// Keys and values of a map.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (&str, &Self)> {
        let pairs: &[_] = if let Value::Map(pairs) = &self.value { pairs } else { &[] };
        pairs.iter().map(|(key, _, node)| (key.as_str(), node))
    }

    /// The words of a command: a list, or a line.
    pub(super) fn words(&self) -> Vec<String> {
        match &self.value {
            Value::List(list) => list.iter().filter_map(|word| Some(word.text()?.to_owned())).collect(),
            Value::Text(text) => words(text),
            Value::Map(_) => Vec::new(),
        }
    }

    fn size(&self) -> usize {
        1 + match &self.value {
            Value::Text(_) => 0,
            Value::List(list) => list.iter().map(Self::size).sum(),
            Value::Map(pairs) => pairs.iter().map(|(_, _, node)| node.size()).sum(),
        }
    }
}

/// A line split as a shell would, quotes taken off.
pub(super) fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote, mut is_open) = (Vec::new(), String::new(), None, false);
    for char in line.chars() {
        match (quote, char) {
            (None, '\'' | '"') => (quote, is_open) = (Some(char), true),
            (Some(open), _) if open == char => quote = None,
            (None, char) if char.is_whitespace() => {
                if is_open || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                is_open = false;
            }
            _ => word.push(char),
        }
    }
    if is_open || !word.is_empty() {
        words.push(word);
    }
    words
}

/// Keys with their lines, and values.
type Pairs = Vec<(String, usize, Node)>;

/// A collection that is not whole yet.
struct Open {
    line: usize,
    anchor: usize,
    list: Vec<Node>,
    /// `None` in a list.
    map: Option<(Pairs, Option<(String, usize)>)>,
}

/// Every document of a file; empty ones are left out.
pub(super) fn documents(text: &str) -> Result<Vec<Node>, BadYaml> {
    let mut reader = Reader::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| BadYaml { line: error.marker().line(), why: error.info() })?;
        reader.take(event, span.start.line())?;
    }
    Ok(reader.documents)
}

#[derive(Default)]
struct Reader {
    open: Vec<Open>,
    anchors: BTreeMap<usize, Node>,
    documents: Vec<Node>,
    nodes: usize,
}

impl Reader {
    fn take(&mut self, event: Event<'_>, line: usize) -> Result<(), BadYaml> {
        match event {
            Event::Scalar(text, style, anchor, _) => {
                let is_null = style == ScalarStyle::Plain && matches!(&*text, "~" | "null");
                let text = if is_null { String::new() } else { text.into_owned() };
                self.put(Node { line, value: Value::Text(text) }, anchor)
            }
            Event::SequenceStart(_, anchor, _) => {
                self.open.push(Open { line, anchor, list: Vec::new(), map: None });
                Ok(())
            }
            Event::MappingStart(_, anchor, _) => {
                self.open.push(Open { line, anchor, list: Vec::new(), map: Some((Vec::new(), None)) });
                Ok(())
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(open) => {
                    let value = match open.map {
                        Some((pairs, _)) => Value::Map(merged(pairs)),
                        None => Value::List(open.list),
                    };
                    self.put(Node { line: open.line, value }, open.anchor)
                }
                None => Ok(()),
            },
            Event::Alias(anchor) => {
                let node = self.anchors.get(&anchor).cloned();
                self.put(node.unwrap_or(Node { line, value: Value::Text(String::new()) }), 0)
            }
            _ => Ok(()),
        }
    }

    /// Puts a whole node where it belongs.
    fn put(&mut self, node: Node, anchor: usize) -> Result<(), BadYaml> {
        self.nodes += if anchor > 0 || matches!(node.value, Value::Text(_)) { 1 } else { node.size() };
        if self.nodes > NODES_MAX {
            return Err(BadYaml { line: node.line, why: format!("it has more than {NODES_MAX} values") });
        }
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut() {
            None if matches!(&node.value, Value::Text(text) if text.is_empty()) => {}
            None => self.documents.push(node),
            Some(Open { map: None, list, .. }) => list.push(node),
            Some(Open { map: Some((pairs, key)), .. }) => match key.take() {
                Some((key, line)) => pairs.push((key, line, node)),
                None => *key = Some((node.text().unwrap_or_default().to_owned(), node.line)),
            },
        }
        Ok(())
    }
}

/// A map with the keys of what it merges, where it has none of its own.
fn merged(pairs: Pairs) -> Pairs {
    let (merges, mut own): (Vec<_>, Vec<_>) = pairs.into_iter().partition(|(key, _, _)| key == "<<");
    for (_, _, node) in merges {
        let maps = if let Value::List(list) = node.value { list } else { vec![node] };
        for map in maps {
            let Value::Map(pairs) = map.value else { continue };
            for pair in pairs {
                if !own.iter().any(|(key, _, _)| *key == pair.0) {
                    own.push(pair);
                }
            }
        }
    }
    own
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;

    #[test]
    fn every_value_knows_its_line() {
        let text = "# first\na: 1\nb:\n  - {c: x, d: [2, 3]}\n  - |\n    long\n    text\n---\n\n---\nkind: Second\n";
        let documents = documents(text).expect("valid");
        assert_eq!(documents.len(), 2, "the empty one is left out");
        let first = &documents[0];
        let list = first.list_of("b");
        assert_eq!((first.get("a").map(|a| a.line), list[0].get("d").map(|d| d.line)), (Some(2), Some(4)));
        assert_eq!((list[1].text(), first.line_of("b")), (Some("long\ntext\n"), Some(3)));
        assert_eq!(documents[1].get("kind").map(|kind| kind.line), Some(11));
    }

    #[test]
    fn anchors_are_copied_and_maps_are_merged() {
        let text = "x: &x {a: 1, b: 2}\ny: {<<: *x, b: 3}\nz: *x\n";
        let document = documents(text).expect("valid").remove(0);
        let of = |path: &[&str]| document.at(path).and_then(Node::text).map(str::to_owned);
        assert_eq!([of(&["y", "a"]), of(&["y", "b"]), of(&["z", "b"])], ["1", "3", "2"].map(|v| Some(v.to_owned())));
    }

    #[test]
    fn what_is_no_yaml_is_named_by_its_line_and_a_bomb_is_refused() {
        assert_eq!(documents("a: 1\nb: [1, 2\nc: 3\n").map_err(|bad| bad.line > 1), Err(true));
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..9 {
            let aliases = format!("*a{}, ", level - 1).repeat(10);
            let _ = writeln!(bomb, "a{level}: &a{level} [{}]", aliases.trim_end_matches(", "));
        }
        assert!(documents(&bomb).expect_err("too many").why.contains("more than"));
    }

    #[test]
    fn a_line_is_split_as_a_shell_does() {
        assert_eq!(words(r#"sh -c "exec  a b" '' c"#), ["sh", "-c", "exec  a b", "", "c"]);
    }
}
