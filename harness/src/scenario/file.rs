//! What a scenario file says: a tree of nodes that all know where they stand. The one file that calls the YAML
//! reader.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_yaml::options::{DuplicateKeyPolicy, MergeKeyPolicy, NonFiniteFloatPolicy};
use serde_yaml::{Error, Location, MessageFormatter, Options, Spanned, UserMessageFormatter};

use super::error::{Problem, Span};

/// Files above this size are not scenarios.
const LARGEST_FILE: u64 = 1 << 20;

/// A file that is YAML. Nothing is known yet of its meaning.
#[derive(Debug)]
pub(super) struct ScenarioFile {
    pub(super) path: PathBuf,
    pub(super) source: Arc<str>,
    pub(super) root: Node,
}

/// A value and its two places, which differ where an alias (`*kinds`) stands for the value.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) value: Value,
    /// Where it is used: the alias.
    pub(super) used: Span,
    /// Where it is written: the anchor's text.
    pub(super) written: Span,
}

/// What YAML knows. Repeated keys of a map are all kept, so that all of them can be told.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Whole(u64),
    /// Any other number.
    Number,
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
}

impl ScenarioFile {
    /// Reads a file; what stops the reader is the only problem that is told of such a file.
    pub(super) fn read(path: &Path) -> Result<ScenarioFile, Box<Problem>> {
        let unreadable = |error: io::Error| {
            let message = format!("{} cannot be read: {error}", path.display());
            Problem::of(path, 1, message, "check that it is a file and that you may read it")
        };
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(unreadable)?;
        file.take(LARGEST_FILE + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() as u64 > LARGEST_FILE {
            let message = format!("{} is larger than 1 MiB", path.display());
            let help = "a scenario is a page of text; is this the right file?";
            return Err(Problem::of(path, 1, message, help).into());
        }
        let source = String::from_utf8(bytes).map_err(|error| {
            let read = error.utf8_error().valid_up_to();
            let line = error.as_bytes()[..read].iter().filter(|byte| **byte == b'\n').count() + 1;
            let message = format!("{} is not UTF-8 (line {line}, byte {})", path.display(), read + 1);
            Problem::of(path, line, message, "save the file as UTF-8")
        })?;
        ScenarioFile::parse(path, source.into())
    }

    /// Makes a tree of a text.
    pub(super) fn parse(path: &Path, source: Arc<str>) -> Result<ScenarioFile, Box<Problem>> {
        if let Some(tab) = tab_in_the_indentation(&source) {
            let help = "indent with spaces: YAML allows no tabs there";
            return Err(Problem::at(path, &source, tab, "a tab in the indentation", help).into());
        }
        match serde_yaml::from_str_with_options(&source, reader_options()) {
            Ok(root) => Ok(ScenarioFile { path: path.to_owned(), source, root }),
            Err(error) => Err(what_stopped_the_reader(path, &source, &error).into()),
        }
    }

    /// The name that the file gives its scenario and its place, whether or not the rest is right.
    pub(super) fn name(&self) -> Option<(&str, Span)> {
        let Value::Map(entries) = &self.root.value else { return None };
        entries.iter().find_map(|(key, node)| match (&key.value, &node.value) {
            (Value::Text(key), Value::Text(name)) if key == "name" => Some((name.as_str(), node.written)),
            _ => None,
        })
    }
}

/// Limits far above any scenario and far below any harm; repeated keys are passed on, to be told with the rest.
fn reader_options() -> Options {
    serde_yaml::options! {
        budget: serde_yaml::budget! {
            max_events: 50_000,
            max_nodes: 20_000,
            max_depth: 32,
            flow_nesting_limit: 32,
        },
        alias_limits: serde_yaml::alias_limits! {
            max_total_replayed_events: 20_000,
            max_replay_stack_depth: 8,
        },
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        merge_keys: MergeKeyPolicy::AsOrdinary,
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
        strict_booleans: true,
        reject_unsupported_tags: true,
        with_snippet: false,
    }
}

fn what_stopped_the_reader(path: &Path, source: &Arc<str>, mut error: &Error) -> Problem {
    let span = error.location().map_or(Span::default(), |at| match span_of(at) {
        Span { start: 0, len: 0 } => at_line_and_column(source, at),
        span => span,
    });
    while let Error::AliasError { error: inner, .. } = error {
        error = inner;
    }
    let is_limit = matches!(
        error,
        Error::Budget { .. }
            | Error::AliasReplayLimitExceeded { .. }
            | Error::AliasReplayStackDepthExceeded { .. }
    );
    let (message, help) = if is_limit {
        (
            "far larger or deeper than a scenario can be".to_owned(),
            "is this the right file? look for aliases of aliases",
        )
    } else if matches!(error, Error::MultipleDocuments { .. }) {
        (
            "a second document in one file".to_owned(),
            "one file holds one scenario: write the other to its own file",
        )
    } else {
        (
            as_fragment(&UserMessageFormatter.format_message(error)),
            "repair this first: it hides the rest of the file",
        )
    };
    Problem::at(path, source, span, message, help)
}

/// The first tab among the blanks that begin a line. YAML forbids most of them, with messages that lead astray.
fn tab_in_the_indentation(source: &str) -> Option<Span> {
    let mut start = 0;
    source.split_inclusive('\n').find_map(|line| {
        let blanks = line.len() - line.trim_start_matches([' ', '\t']).len();
        let tab = line[..blanks].find('\t').map(|tab| Span { start: start + tab, len: 1 });
        start += line.len();
        tab.filter(|_| !line.trim().is_empty())
    })
}

/// The reader's own words, as the lower-case fragment that every message is.
fn as_fragment(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let mut letters = text.trim_end_matches('.').chars();
    match (letters.next(), letters.clone().next()) {
        (Some(first), Some(second)) if second.is_lowercase() => first.to_lowercase().chain(letters).collect(),
        _ => text,
    }
}

/// Errors of the scanner come without byte offsets.
fn at_line_and_column(source: &str, location: Location) -> Span {
    let whole = |number: u64| usize::try_from(number.saturating_sub(1)).unwrap_or(usize::MAX);
    let (line, column) = (whole(location.line()), whole(location.column()));
    let before: usize = source.split_inclusive('\n').take(line).map(str::len).sum();
    let rest = &source[before..];
    let within = rest.char_indices().nth(column).map_or(rest.trim_end().len(), |(offset, _)| offset);
    Span { start: before + within, len: 1 }
}

fn span_of(location: Location) -> Span {
    let span = location.span();
    let whole = |number: Option<u64>| number.and_then(|number| usize::try_from(number).ok());
    match (whole(span.byte_offset()), whole(span.byte_len())) {
        (Some(start), Some(len)) => Span { start, len },
        _ => Span::default(),
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        Ok(Node {
            value: spanned.value,
            used: span_of(spanned.referenced),
            written: span_of(spanned.defined),
        })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Whole(value))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Value, E> {
        Ok(Value::Number)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value, E> {
        Ok(Value::Number)
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Value::Map(map))
    }
}
