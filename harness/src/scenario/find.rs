//! From what stands on a command line to scenarios: files, folders, names and case ids.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::check::check;
use super::error::{Problem, Problems, echo};
use super::file::ScenarioFile;
use super::nearest::suggest;
use super::{CaseId, Scenario};

/// Where a scenario is looked for by its name.
const LIBRARY: &str = "scenarios";

/// How scenarios are loaded.
#[derive(Debug, Clone, Copy, Default)]
pub struct LoadOptions {
    /// Whether a scenario may be broken on purpose (`break:`).
    pub allow_break: bool,
}

/// Everything that was found.
#[derive(Debug)]
pub struct Loaded {
    /// Every file that was looked at, right or wrong.
    pub files: Vec<PathBuf>,
    /// The scenarios of the files that are right.
    pub scenarios: Vec<Scenario>,
    /// What is wrong with the others.
    pub problems: Option<Problems>,
}

/// The scenarios of these files, folders (`*.yaml` and `*.yml`, sorted, with their folders), names and case ids
/// below `./scenarios`. All of them, or everything that is wrong.
pub fn load(paths: &[PathBuf], options: LoadOptions) -> Result<Vec<Scenario>, Problems> {
    let loaded = read(paths, options);
    match loaded.problems {
        Some(problems) => Err(problems),
        None => Ok(loaded.scenarios),
    }
}

/// Like [`load`], for those who also want what is right when something is wrong.
pub fn read(paths: &[PathBuf], options: LoadOptions) -> Loaded {
    read_with_library(Path::new(LIBRARY), paths, options)
}

fn read_with_library(library: &Path, paths: &[PathBuf], options: LoadOptions) -> Loaded {
    let mut search =
        Search { library, known: None, seen: HashSet::new(), files: Vec::new(), problems: Vec::new() };
    for path in paths {
        search.add(path);
    }
    let Search { files, mut problems, .. } = search;
    let mut loaded = Loaded { files: Vec::new(), scenarios: Vec::new(), problems: None };
    let mut names: Vec<(String, String)> = Vec::new();
    for Found { path, file, selected } in files {
        loaded.files.push(path);
        let file = match file {
            Ok(file) => file,
            Err(problem) => {
                problems.push(*problem);
                continue;
            }
        };
        let clash = same_name(&mut names, &file);
        match check(&file, options.allow_break) {
            Ok(_) if clash.is_some() => {}
            Ok(scenario) => select(scenario, selected, &mut loaded.scenarios, &mut problems),
            Err(found) => problems.extend(found),
        }
        problems.extend(clash);
    }
    loaded.problems = Problems::of(problems);
    loaded
}

/// A file on the way in, and the ids for which it was found; none where all its cases are wanted.
struct Found {
    path: PathBuf,
    file: Result<ScenarioFile, Box<Problem>>,
    selected: Vec<CaseId>,
}

struct Search<'l> {
    library: &'l Path,
    /// The files of the library, once a name was looked up.
    known: Option<Vec<PathBuf>>,
    seen: HashSet<PathBuf>,
    files: Vec<Found>,
    problems: Vec<Problem>,
}

impl Search<'_> {
    fn add(&mut self, path: &Path) {
        if path.is_dir() {
            for path in self.below(path) {
                self.add_file(path, None);
            }
        } else if path.exists() {
            self.add_file(path.to_owned(), None);
        } else if let Some(id) = path.to_str().and_then(|text| text.parse::<CaseId>().ok()) {
            self.add_named(path, id);
        } else {
            let message = format!("no file or folder `{}`", echo(&path.to_string_lossy()));
            let help = "name a file, a folder, a scenario below ./scenarios, or a case id as `natlab list` prints it";
            self.problems.push(Problem::of(path, 1, message, help));
        }
    }

    fn add_file(&mut self, path: PathBuf, id: Option<CaseId>) {
        let path = path.strip_prefix(".").map(Path::to_owned).unwrap_or(path);
        let real = fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
        if self.seen.insert(real) {
            let file = ScenarioFile::read(&path);
            self.files.push(Found { path, file, selected: id.into_iter().collect() });
            return;
        }
        let Some(found) = self.files.iter_mut().find(|found| same_file(&found.path, &path)) else { return };
        match id {
            Some(id) if !found.selected.is_empty() => found.selected.push(id),
            Some(_) => {}
            None => found.selected.clear(),
        }
    }

    /// Every file of the library that bears the name; files that cannot be read bear none.
    fn add_named(&mut self, argument: &Path, id: CaseId) {
        let known = match self.known.take() {
            Some(known) => known,
            None if self.library.is_dir() => self.below(self.library),
            None => Vec::new(),
        };
        let mut names = Vec::new();
        let mut matching = Vec::new();
        for path in &known {
            let Ok(file) = ScenarioFile::read(path) else { continue };
            let Some((name, _)) = file.name() else { continue };
            if name == id.name {
                matching.push(path.clone());
            }
            names.push(name.to_owned());
        }
        self.known = Some(known);
        if matching.is_empty() {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let library = self.library.display();
            let message = format!("no file, folder or scenario `{}`", id.name);
            let help = if names.is_empty() {
                format!(
                    "there are none below ./{library}: name a file or a folder, or begin with `natlab init`"
                )
            } else {
                suggest(&id.name, &format!("scenarios below ./{library}"), &names)
            };
            self.problems.push(Problem::of(argument, 1, message, &help));
        }
        for path in matching {
            self.add_file(path, Some(id.clone()));
        }
    }

    /// Every scenario file below a folder, sorted by path.
    fn below(&mut self, folder: &Path) -> Vec<PathBuf> {
        let mut files = Vec::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            match entries(&folder) {
                Ok((more_files, more_folders)) => {
                    files.extend(more_files);
                    folders.extend(more_folders);
                }
                Err(error) => {
                    let message = format!("{} cannot be read: {error}", folder.display());
                    self.problems.push(Problem::of(
                        &folder,
                        1,
                        message,
                        "check that you may read the folder",
                    ));
                }
            }
        }
        files.sort();
        files
    }
}

/// The scenario files and the folders of a folder. Hidden ones are left alone, and so are links to folders: they
/// may lead in circles.
fn entries(folder: &Path) -> io::Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    let (mut files, mut folders) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        if entry.file_type()?.is_dir() {
            folders.push(path);
        } else if path.extension().is_some_and(|end| end == "yaml" || end == "yml") && !path.is_dir() {
            files.push(path);
        }
    }
    Ok((files, folders))
}

fn same_file(a: &Path, b: &Path) -> bool {
    a == b || fs::canonicalize(a).ok().zip(fs::canonicalize(b).ok()).is_some_and(|(a, b)| a == b)
}

/// The problem of a file whose scenario is called like that of a file before it.
fn same_name(names: &mut Vec<(String, String)>, file: &ScenarioFile) -> Option<Problem> {
    let (name, span) = file.name()?;
    if let Some((_, first)) = names.iter().find(|(known, _)| known == name) {
        let message = format!("`{}` is also the name of the scenario in {first}", echo(name));
        let help = "give one of the two another name: cases are called by it";
        return Some(Problem::at(&file.path, &file.source, span, message, help));
    }
    let line = span.line_and_column(&file.source).0;
    names.push((name.to_owned(), format!("{}:{line}", file.path.display())));
    None
}

/// Keeps the scenario with the cases that were asked for, each of which must be one of its cells.
fn select(
    mut scenario: Scenario,
    ids: Vec<CaseId>,
    scenarios: &mut Vec<Scenario>,
    problems: &mut Vec<Problem>,
) {
    let unknown =
        ids.iter().flat_map(|id| id.cell.iter().map(move |part| (id, part))).find(|(_, (axis, value))| {
            let found = scenario.axes.iter().find(|known| known.name() == *axis);
            found.is_none_or(|known| known.values.iter().all(|choice| choice.label != *value))
        });
    if let Some((id, (axis, value))) = unknown {
        let message = format!("`{}` has no case with {axis}={value}", scenario.name);
        let help = format!("`natlab list {}` prints its cases", scenario.name);
        problems.push(Problem::of(Path::new(&id.to_string()), 1, message, &help));
        return;
    }
    if !ids.iter().any(CaseId::is_whole_scenario) {
        scenario.selected = ids;
    }
    scenarios.push(scenario);
}
