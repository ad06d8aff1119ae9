//! Walking a file's tree: what the checks ask of a node, each answer either the value or a problem with its place.

use std::path::Path;
use std::time::Duration;

use netns::nat::Preset;

use crate::scenario::error::{Problem, Span, echo};
use crate::scenario::file::{Node, ScenarioFile, Value};
use crate::scenario::nearest::suggest;
use crate::scenario::units::{self, NotAQuantity};

/// The longest name: names become parts of file names.
const LONGEST_NAME: usize = 64;

/// One file under examination and everything found wrong in it so far.
pub(super) struct Walk<'f> {
    file: &'f ScenarioFile,
    problems: Vec<Problem>,
}

/// A map's entries in the file's order, keys known to be text and to be there once.
pub(super) struct Fields<'n> {
    pub(super) entries: Vec<Field<'n>>,
}

/// One entry of a map.
#[derive(Clone, Copy)]
pub(super) struct Field<'n> {
    pub(super) key: &'n str,
    pub(super) key_span: Span,
    pub(super) node: &'n Node,
}

impl<'n> Fields<'n> {
    pub(super) fn get(&self, key: &str) -> Option<Field<'n>> {
        self.entries.iter().find(|field| field.key == key).copied()
    }
}

impl<'f> Walk<'f> {
    pub(super) fn new(file: &'f ScenarioFile) -> Walk<'f> {
        Walk { file, problems: Vec::new() }
    }

    pub(super) fn path(&self) -> &'f Path {
        &self.file.path
    }

    pub(super) fn line(&self, span: Span) -> usize {
        span.line_and_column(&self.file.source).0
    }

    pub(super) fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }

    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems
    }

    pub(super) fn problem(&mut self, at: Span, message: impl Into<String>, help: impl Into<String>) {
        let problem = Problem::at(&self.file.path, &self.file.source, at, message, help);
        self.problems.push(problem);
    }

    /// A map with these keys at most. Unknown and repeated keys are told, the rest is still looked at.
    pub(super) fn map<'n>(
        &mut self,
        node: &'n Node,
        what: &str,
        known: &[&str],
        example: &str,
    ) -> Option<Fields<'n>> {
        let fields = self.any_map(node, what, example)?;
        for field in &fields.entries {
            if !known.contains(&field.key) {
                let help = match field.key {
                    "<<" => "merge keys are not supported: an alias can stand for a whole value".to_owned(),
                    key => suggest(key, "known keys", known),
                };
                self.problem(field.key_span, format!("unknown key `{}` in {what}", echo(field.key)), help);
            }
        }
        Some(fields)
    }

    /// A map whose keys are names of the user's.
    pub(super) fn any_map<'n>(&mut self, node: &'n Node, what: &str, example: &str) -> Option<Fields<'n>> {
        let Value::Map(entries) = &node.value else {
            return self.wrong_type(node, what, "a map", example);
        };
        let mut fields = Fields { entries: Vec::new() };
        for (key, node) in entries {
            let Value::Text(text) = &key.value else {
                let message = format!("a key of {what} must be text, not {}", kind(&key.value));
                self.problem(key.used, message, "put quotes around it if it is meant as text");
                continue;
            };
            if let Some(first) = fields.get(text) {
                let line = self.line(first.key_span);
                let message = format!("`{}` is already there, on line {line}", echo(text));
                self.problem(key.used, message, "a key may appear once in a map: remove one of the two");
                continue;
            }
            fields.entries.push(Field { key: text, key_span: key.used, node });
        }
        Some(fields)
    }

    pub(super) fn list<'n>(&mut self, node: &'n Node, what: &str, example: &str) -> Option<&'n [Node]> {
        match &node.value {
            Value::List(items) if items.is_empty() => {
                self.problem(node.used, format!("{what} is empty"), format!("write {example}"));
                None
            }
            Value::List(items) => Some(items),
            _ => self.wrong_type(node, what, "a list", example),
        }
    }

    pub(super) fn text<'n>(&mut self, node: &'n Node, what: &str, example: &str) -> Option<&'n str> {
        match &node.value {
            Value::Text(text) => Some(text),
            _ => self.wrong_type(node, what, "text", example),
        }
    }

    /// A name that can be pasted into a command line and used as the name of a folder.
    pub(super) fn name<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n str> {
        let name = self.text(node, what, "a name such as `two-homes`")?;
        self.is_name(name, node.written, what).then_some(name)
    }

    pub(super) fn is_name(&mut self, name: &str, at: Span, what: &str) -> bool {
        let is_good = name.len() <= LONGEST_NAME
            && name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        if !is_good {
            let help = format!("use a-z, 0-9 and `-`, a letter first, at most {LONGEST_NAME} characters");
            self.problem(at, format!("`{}` cannot be {what}", echo(name)), help);
        }
        is_good
    }

    /// One of the words of a closed list.
    pub(super) fn word<T>(&mut self, node: &Node, what: &str, words: &[(&'static str, T)]) -> Option<T>
    where
        T: Copy,
    {
        let names: Vec<&str> = words.iter().map(|(name, _)| *name).collect();
        let text = self.text(node, what, &format!("one of: {}", names.join(", ")))?;
        let found = words.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
        if found.is_none() {
            let message = format!("`{}` is not a word for {what}", echo(text));
            self.problem(node.written, message, suggest(text, "known words", &names));
        }
        found
    }

    /// The name of a NAT preset.
    pub(super) fn preset(&mut self, node: &Node) -> Option<Preset> {
        let names: Vec<&str> = preset_names().collect();
        let name = self.text(node, "`nat`", &format!("a preset, one of: {}", names.join(", ")))?;
        let preset = name.parse().ok();
        if preset.is_none() {
            let message = format!("unknown NAT preset `{}`", echo(name));
            self.problem(node.written, message, suggest(name, "known presets", &names));
        }
        preset
    }

    /// True or false, or the words that older YAML takes for them.
    pub(super) fn switch(&mut self, node: &Node, what: &str) -> Option<bool> {
        match &node.value {
            Value::Bool(value) => Some(*value),
            Value::Text(_) => self.word(node, what, &[("on", true), ("off", false)]),
            _ => self.wrong_type(node, what, "true or false", "true or false"),
        }
    }

    pub(super) fn duration(&mut self, node: &Node, what: &str, bounds: [Duration; 2]) -> Option<Duration> {
        self.duration_or(node, what, "write 2s or 250ms", bounds)
    }

    /// A duration where something else may stand, too, which the help tells.
    pub(super) fn duration_or(
        &mut self,
        node: &Node,
        what: &str,
        help: &str,
        bounds: [Duration; 2],
    ) -> Option<Duration> {
        let [least, most] = bounds;
        let duration = self.quantity(node, what, units::duration, help)?;
        if duration < least || duration > most {
            let shown = (units::show_duration(least), units::show_duration(most));
            let message = format!("{what} cannot be {}", units::show_duration(duration));
            self.problem(node.written, message, format!("it lies between {} and {}", shown.0, shown.1));
            return None;
        }
        Some(duration)
    }

    pub(super) fn size(&mut self, node: &Node, what: &str, bounds: [u64; 2]) -> Option<u64> {
        let [least, most] = bounds;
        let size = self.quantity(node, what, units::size, "write 1 MiB, 64 KiB, 10 MB or 100 B")?;
        if size < least || size > most {
            let shown = (units::show_size(least), units::show_size(most));
            let message = format!("{what} cannot be {}", units::show_size(size));
            self.problem(node.written, message, format!("it lies between {} and {}", shown.0, shown.1));
            return None;
        }
        Some(size)
    }

    pub(super) fn whole(&mut self, node: &Node, what: &str, bounds: [u64; 2]) -> Option<u64> {
        let [least, most] = bounds;
        match node.value {
            Value::Whole(number) if (least..=most).contains(&number) => Some(number),
            Value::Whole(_) | Value::Number => {
                let help = format!("it is a whole number between {least} and {most}");
                self.problem(node.written, format!("{what} cannot be this number"), help);
                None
            }
            _ => self.wrong_type(node, what, "a whole number", &format!("a number such as {}", least.max(7))),
        }
    }

    pub(super) fn wrong_type<T>(
        &mut self,
        node: &Node,
        what: &str,
        wanted: &str,
        example: &str,
    ) -> Option<T> {
        let message = format!("{what} must be {wanted}, not {}", kind(&node.value));
        self.problem(node.used, message, format!("write {example}"));
        None
    }

    fn quantity<T>(
        &mut self,
        node: &Node,
        what: &str,
        read: impl Fn(&str) -> Result<T, NotAQuantity>,
        help: &str,
    ) -> Option<T> {
        let text = match &node.value {
            Value::Text(text) => text,
            Value::Whole(_) | Value::Number => {
                self.problem(node.written, format!("{what} has no unit"), help);
                return None;
            }
            _ => {
                return self.wrong_type(
                    node,
                    what,
                    "a quantity with its unit",
                    help.trim_start_matches("write "),
                );
            }
        };
        // A quantity is short, and the reason repeats it.
        match read(&echo(text)) {
            Ok(value) => Some(value),
            Err(reason) => {
                self.problem(node.written, format!("{what}: {reason}"), help);
                None
            }
        }
    }
}

/// Every name of a preset, aliases last.
pub(super) fn preset_names() -> impl Iterator<Item = &'static str> {
    Preset::ALL.into_iter().map(Preset::name).chain(Preset::ALIASES.into_iter().map(|(alias, _)| alias))
}

/// What a value is, in words.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "empty",
        Value::Bool(_) => "true or false",
        Value::Whole(_) | Value::Number => "a number",
        Value::Text(_) => "text",
        Value::List(_) => "a list",
        Value::Map(_) => "a map",
    }
}
