//! What is wrong with scenario files: every problem with its file, line, column, caret and help, and how a person
//! sees them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, NamedSource, SourceSpan, ThemeCharacters};

/// A stretch of bytes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Span {
    /// The first byte.
    pub(super) start: usize,
    /// How many bytes.
    pub(super) len: usize,
}

impl Span {
    /// The line and column of the first byte, both counted from one, the column in characters.
    pub(super) fn line_and_column(self, source: &str) -> (usize, usize) {
        let before = source.get(..self.start).unwrap_or(source);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }

    /// Ends where the first line ends, so that the caret stays readable.
    fn on_one_line(self, source: &str) -> Span {
        let text = source.get(self.start..self.start + self.len).unwrap_or("");
        let len = text.find(['\n', '\r']).unwrap_or(text.len());
        Span { start: self.start.min(source.len()), len }
    }
}

/// One thing that is wrong, and what to do next.
#[derive(Debug, Clone, thiserror::Error, Diagnostic)]
#[error("{message}")]
pub struct Problem {
    message: String,
    #[help]
    help: String,
    #[source_code]
    text: Option<NamedSource<Arc<str>>>,
    #[label]
    at: Option<SourceSpan>,
    file: PathBuf,
    line: usize,
    column: usize,
}

impl Problem {
    /// A problem at a place in a file.
    pub(super) fn at(
        file: &Path,
        source: &Arc<str>,
        span: Span,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Problem {
        let (line, column) = span.line_and_column(source);
        let span = span.on_one_line(source);
        Problem {
            message: message.into(),
            help: help.into(),
            text: Some(NamedSource::new(file.display().to_string(), without_controls(source))),
            at: Some((span.start, span.len).into()),
            file: file.to_owned(),
            line,
            column,
        }
    }

    /// A problem of a file, or of an argument, as a whole: there is no text to point at.
    pub(super) fn of(file: &Path, line: usize, message: String, help: &str) -> Problem {
        let (file, help) = (file.to_owned(), help.to_owned());
        Problem { message, help, text: None, at: None, file, line, column: 1 }
    }

    /// The file, or the argument, that is wrong.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The line, counted from one.
    pub fn line(&self) -> usize {
        self.line
    }

    /// The column in characters, counted from one.
    pub fn column(&self) -> usize {
        self.column
    }

    /// What is wrong.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do next.
    pub fn help_line(&self) -> &str {
        &self.help
    }
}

/// Everything that is wrong, of all files, in the order of the files and of their lines. Never empty.
#[derive(Debug, Clone)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Sorted, each told once (an alias brings the same text along again); `None` where nothing is wrong.
    pub(super) fn of(mut all: Vec<Problem>) -> Option<Problems> {
        all.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
        all.dedup_by(|b, a| {
            (&a.file, a.line, a.column, &a.message) == (&b.file, b.line, b.column, &b.message)
        });
        if all.is_empty() { None } else { Some(Problems(all)) }
    }

    /// Every problem.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.0.iter()
    }

    /// What a person reads: each problem with its line, a caret and a help, then how many there are.
    pub fn render(&self, look: Look) -> String {
        let handler = GraphicalReportHandler::new_themed(look.theme())
            .with_wrap_lines(false)
            .with_context_lines(1)
            .with_links(false)
            .tab_width(4);
        let mut text = String::new();
        for problem in &self.0 {
            if handler.render_report(&mut text, problem).is_err() {
                text.push_str(&format!("{}: {}\n", problem.file.display(), problem.message));
            }
            text.push('\n');
        }
        let files = self.0.chunk_by(|a, b| a.file == b.file).count();
        text.push_str(&format!("{} in {}\n", counted(self.0.len(), "problem"), counted(files, "file")));
        text
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.render(Look::PLAIN))
    }
}

impl std::error::Error for Problems {}

/// How problems are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// ANSI colours.
    pub color: bool,
    /// Lines drawn with box characters instead of ASCII.
    pub unicode: bool,
}

impl Look {
    /// ASCII without colours: the same bytes everywhere.
    pub const PLAIN: Look = Look { color: false, unicode: false };

    /// The look for a stream: plain unless it is a terminal; `NO_COLOR`, `TERM=dumb` and the locale are honoured.
    pub fn of(is_terminal: bool, variable: impl Fn(&str) -> Option<String>) -> Look {
        let set = |name| variable(name).filter(|value: &String| !value.is_empty());
        let dumb = set("TERM").is_none_or(|term| term == "dumb");
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set).unwrap_or_default();
        let locale = locale.to_lowercase();
        Look {
            color: is_terminal && !dumb && set("NO_COLOR").is_none(),
            unicode: is_terminal && !dumb && (locale.contains("utf-8") || locale.contains("utf8")),
        }
    }

    fn theme(self) -> GraphicalTheme {
        let mut theme =
            if self.color { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
        if !self.unicode {
            theme.characters = ThemeCharacters::ascii();
        }
        theme
    }
}

/// `1 file`, `2 files`.
pub(crate) fn counted(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// A text of the user's inside a message: on one line, without control characters, cut where it is long.
pub(super) fn echo(text: &str) -> String {
    let shown: String = text.chars().take(40).flat_map(char::escape_debug).collect();
    let shown = shown.replace("\\'", "'").replace("\\\"", "\"");
    if text.chars().count() > 40 { format!("{shown}..") } else { shown }
}

/// The source as it may be printed on a terminal: each byte of a control character replaced, offsets kept.
fn without_controls(source: &Arc<str>) -> Arc<str> {
    let is_harmless = |c: char| !c.is_control() || matches!(c, '\n' | '\r' | '\t');
    if source.chars().all(is_harmless) {
        return Arc::clone(source);
    }
    source
        .chars()
        .map(|c| if is_harmless(c) { c.to_string() } else { "?".repeat(c.len_utf8()) })
        .collect::<String>()
        .into()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(true, &[("TERM", "xterm"), ("LANG", "en_US.UTF-8")], true, true)]
    #[case(true, &[("TERM", "xterm"), ("LANG", "en_US.UTF-8"), ("NO_COLOR", "1")], false, true)]
    #[case(true, &[("TERM", "xterm"), ("LANG", "C")], true, false)]
    #[case(true, &[("TERM", "xterm"), ("LANG", "en_US.UTF-8"), ("LC_ALL", "C")], true, false)]
    #[case(true, &[("TERM", "dumb"), ("LANG", "en_US.UTF-8")], false, false)]
    #[case(false, &[("TERM", "xterm"), ("LANG", "en_US.UTF-8")], false, false)]
    fn the_look_follows_the_terminal(
        #[case] is_terminal: bool,
        #[case] variables: &[(&str, &str)],
        #[case] color: bool,
        #[case] unicode: bool,
    ) {
        let variable = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        assert_eq!(Look::of(is_terminal, variable), Look { color, unicode });
    }

    #[test]
    fn a_terminal_is_never_sent_the_escape_codes_of_a_file() {
        let source: Arc<str> = "name: \u{1b}[31m\u{9b}x\n".into();
        let span = Span { start: 6, len: 3 };
        let problem = Problem::at(Path::new("a.yaml"), &source, span, echo("\u{1b}[31m"), String::new());
        let shown = Problems(vec![problem]).to_string();
        assert!(!shown.contains(['\u{1b}', '\u{9b}']), "{shown}");
        assert!(shown.contains("\\u{1b}[31m"), "{shown}");
    }

    #[test]
    fn columns_count_characters_and_lines_count_from_one() {
        let source = "a: 1\nä: ü\n";
        assert_eq!(Span { start: 0, len: 1 }.line_and_column(source), (1, 1));
        assert_eq!(Span { start: source.find('ü').unwrap(), len: 2 }.line_and_column(source), (2, 4));
        assert_eq!(Span { start: 999, len: 2 }.line_and_column(source), (3, 1));
    }
}
