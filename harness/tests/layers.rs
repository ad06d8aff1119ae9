//! Who may know whom (docs: the architecture). Reads the sources of all crates and names every arrow that was crossed.

#![expect(clippy::unwrap_used, reason = "a helper of tests may panic like a test")]

use std::fs;
use std::path::{Path, PathBuf};

/// Inside the harness: a module, and the paths below `crate::` that it may name besides its own.
const ARROWS: [(&str, &[&str]); 9] = [
    ("cli", &["exit", "peer::main", "progress", "report", "run", "scenario"]),
    ("exit", &[]),
    ("lib", &[]),
    ("peer", &[]),
    ("plan", &["scenario"]),
    ("progress", &["report", "run::outcome", "scenario"]),
    // The rows of a report are made of what a case came to.
    (
        "report",
        &["exit", "peer::control", "run::ended", "run::expect", "run::observed", "run::outcome", "scenario"],
    ),
    ("run", &["peer::control", "plan", "progress", "report", "scenario"]),
    ("scenario", &[]),
];

/// What the modules of the harness may name of the lab.
const LAB: [(&str, &[&str]); 4] = [
    ("cli", &["lab", "node", "nat", "sandbox", "doctor"]),
    ("plan", &["nat::", "topology"]),
    ("run", &["Error", "lab", "nat", "node", "topology"]),
    // Data types alone.
    ("scenario", &["nat::", "topology::Ipv4Range"]),
];

/// Files without tasks, clocks and chance: what they say depends on nothing but what they are given.
const PURE: [&str; 9] = [
    "scenario",
    "plan",
    "report",
    "run/ended",
    "run/event",
    "run/expect",
    "run/observed",
    "run/orders",
    "run/outcome",
];
const IMPURE: [&str; 5] = ["tokio", "Instant", "SystemTime", "rand", "rand::"];

/// The one place that knows a library: crate, file, and what names it.
const ONE_PLACE: [(&str, &str, &str); 3] = [
    ("harness", "peer/agent", "webrtc::"),
    ("harness", "scenario/file.rs", "serde_yaml"),
    ("harness", "cli.rs", "signaling_server"),
];

/// Words of the language that no file may have but those that speak to the kernel, and how often another may.
const UNSAFE: [(&str, usize); 3] =
    [("netns/src/enter.rs", usize::MAX), ("netns/src/netlink", usize::MAX), ("netns/src/sandbox.rs", 1)];

#[test]
fn no_arrow_inside_the_harness_is_crossed() {
    let crossed: Vec<String> = sources("harness").iter().flat_map(crossed_inside).collect();
    assert!(crossed.is_empty(), "{}", crossed.join("\n"));
}

#[test]
fn the_lab_and_the_signaling_server_know_neither_each_other_nor_the_harness() {
    let strangers: [(&str, &[&str]); 2] = [
        ("netns", &["harness", "signaling_server", "webrtc", "serde_yaml", "tokio"]),
        ("signaling-server", &["harness", "netns", "webrtc", "serde_yaml"]),
    ];
    let mut crossed = Vec::new();
    for (krate, unknown) in strangers {
        for source in sources(krate) {
            let named = |stranger: &str| source.names(|path| is_below(path, stranger));
            crossed.extend(unknown.iter().flat_map(|stranger| named(stranger)));
        }
    }
    assert!(crossed.is_empty(), "{}", crossed.join("\n"));
}

#[test]
fn what_is_pure_has_no_tasks_no_clock_and_no_chance() {
    let sources = sources("harness");
    let pure: Vec<&Source> =
        sources.iter().filter(|source| PURE.iter().any(|pure| source.file.starts_with(pure))).collect();
    assert!(
        PURE.iter().all(|name| pure.iter().any(|source| source.file.starts_with(name))),
        "a pure file has moved"
    );
    let crossed: Vec<String> = pure.iter().flat_map(|source| source.names(is_impure)).collect();
    assert!(crossed.is_empty(), "{}", crossed.join("\n"));
}

#[test]
fn every_library_that_may_change_is_known_in_one_place() {
    for (krate, place, library) in ONE_PLACE {
        let (inside, outside): (Vec<Source>, Vec<Source>) =
            sources(krate).into_iter().partition(|source| source.file.starts_with(place));
        let named = |sources: &[Source]| -> Vec<String> {
            sources.iter().flat_map(|source| source.names(|path| path.starts_with(library))).collect()
        };
        assert!(!named(&inside).is_empty(), "{place} does not name {library} any more");
        assert_eq!(named(&outside), Vec::<String>::new(), "only {krate}/src/{place} may name {library}");
    }
}

#[test]
fn what_is_unsafe_is_where_the_kernel_is_spoken_to() {
    for krate in ["harness", "netns", "signaling-server"] {
        for source in sources(krate) {
            let found = source.names(|path| path == "unsafe");
            let path = format!("{krate}/src/{}", source.file);
            let allowed =
                UNSAFE.iter().find(|(place, _)| path.starts_with(place)).map_or(0, |(_, most)| *most);
            assert!(found.len() <= allowed, "{}", found.join("\n"));
        }
    }
}

#[test]
fn a_crossed_arrow_is_seen_and_named() {
    let source = |file: &str, text: &str| Source { file: file.to_owned(), text: text.to_owned() };
    let crossed = |file, text| crossed_inside(&source(file, text));
    assert_eq!(
        crossed("scenario/check.rs", "\nuse crate::run::case;\n"),
        ["scenario/check.rs:2 names crate::run::case"]
    );
    assert_eq!(
        crossed("report.rs", "use crate::run::process::Peer;"),
        ["report.rs:1 names crate::run::process::Peer"]
    );
    assert_eq!(
        crossed("run/case.rs", "let x = crate::cli::main();"),
        ["run/case.rs:1 names crate::cli::main"]
    );
    assert_eq!(crossed("report/text.rs", "use netns::lab::Lab;"), ["report/text.rs:1 names netns::lab::Lab"]);
    assert_eq!(crossed("run.rs", "use crate::{cli, peer};"), ["run.rs:1 names crate:: (one path a line)"]);
    assert_eq!(crossed("run.rs", "// crate::cli is above\nuse crate::scenario::Case;"), Vec::<String>::new());
    let impure = source("plan.rs", "let now = Instant::now();\ntokio::spawn(x)").names(is_impure);
    assert_eq!(impure, ["plan.rs:1 names Instant::now", "plan.rs:2 names tokio::spawn"]);
}

/// A source file; `file` is its path below `src`.
struct Source {
    file: String,
    text: String,
}

impl Source {
    /// The module at the top of the crate.
    fn module(&self) -> &str {
        self.file.split(['/', '.']).next().unwrap_or_default()
    }

    /// Every path in the code, with its line.
    fn paths(&self) -> impl Iterator<Item = (usize, &str)> {
        let code = self.text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"));
        code.flat_map(|(at, line)| {
            let paths = line.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
            paths.map(move |path| (at + 1, path))
        })
    }

    fn names(&self, is_it: impl Fn(&str) -> bool) -> Vec<String> {
        let named = self.paths().filter(|(_, path)| is_it(path));
        named.map(|(line, path)| format!("{}:{line} names {path}", self.file)).collect()
    }
}

fn crossed_inside(source: &Source) -> Vec<String> {
    let own = source.module();
    let of = |table: &[(&str, &'static [&'static str])]| -> &'static [&'static str] {
        table.iter().find(|(module, _)| *module == own).map_or(&[], |(_, allowed)| *allowed)
    };
    let (inside, lab) = (of(&ARROWS), of(&LAB));
    let is_crossed = |path: &str| {
        if let Some(rest) = path.strip_prefix("crate::") {
            !is_below(rest, own) && !inside.iter().any(|allowed| is_below(rest, allowed)) && !rest.is_empty()
        } else if let Some(rest) = path.strip_prefix("netns::") {
            !rest.is_empty() && !lab.iter().any(|allowed| rest.starts_with(allowed))
        } else {
            false
        }
    };
    let mut crossed = source.names(is_crossed);
    let grouped = source.names(|path| path == "crate::");
    crossed.extend(grouped.into_iter().map(|named| format!("{named} (one path a line)")));
    crossed
}

/// Whether a path is this one or leads further down from it.
fn is_below(path: &str, place: &str) -> bool {
    path.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

fn is_impure(path: &str) -> bool {
    IMPURE.iter().any(|impure| is_below(path, impure))
}

fn sources(krate: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(krate).join("src");
    let mut sources = Vec::new();
    let mut folders: Vec<PathBuf> = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let file = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
                sources.push(Source { file, text: fs::read_to_string(&path).unwrap() });
            }
        }
    }
    assert!(!sources.is_empty(), "no sources of {krate}");
    sources
}
