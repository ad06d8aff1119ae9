//! The program under test and what it leaves.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use harness::report::{Report, Row};
use tempfile::TempDir;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_natlab");
/// Where the scenarios are.
pub(crate) const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
/// The end of a program that hangs, seconds.
const HANGS: &str = "180";
/// The exit code of a machine that cannot run labs.
const UNFIT: i32 = 6;

/// natlab, with a folder of its own for its runs.
pub(crate) struct Natlab {
    folder: TempDir,
}

impl Natlab {
    /// For runs that start nothing.
    pub(crate) fn without_labs() -> Natlab {
        Natlab { folder: tempfile::tempdir().unwrap() }
    }

    /// For runs that need a sandbox; `None` where this machine makes none.
    pub(crate) fn with_labs() -> Option<Natlab> {
        static REFUSED: OnceLock<Option<String>> = OnceLock::new();
        let natlab = Natlab::without_labs();
        match REFUSED.get_or_init(|| natlab.refused()) {
            None => Some(Natlab::without_labs()),
            Some(why) => {
                skip(why);
                None
            }
        }
    }

    /// Why a trivial run comes to no sandbox.
    fn refused(&self) -> Option<String> {
        let trial = self.file(
            "trial.yaml",
            "name: trial\npeers: { a: , b: }\ntransfer: { from: a, to: b, size: 1 KiB }\n",
        );
        let done = self.run(&[&trial]);
        // A program that got into its sandbox has made its folder, whatever happened then.
        (done.code == Some(UNFIT) && self.folders().is_empty()).then_some(done.stderr)
    }

    /// `natlab run ARGUMENTS --out ..`, killed if it hangs.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Command {
        let mut command = Command::new("timeout");
        command.args(["--foreground", "--signal=KILL", HANGS, PROGRAM, "run"]);
        command.args(arguments).arg("--out").arg(self.out()).current_dir(ROOT);
        command.env_remove("CI").env_remove("NO_COLOR");
        command
    }

    pub(crate) fn run<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Done {
        Done::of(&self.command(arguments).output().unwrap())
    }

    /// The same through `bash`, where `$natlab` is the program with its `--out`.
    pub(crate) fn bash(&self, line: &str) -> Done {
        let natlab = format!("{PROGRAM} run --out {}", self.out().display());
        let mut command = Command::new("timeout");
        command.args(["--foreground", "--signal=KILL", HANGS, "bash", "-c", line]).current_dir(ROOT);
        Done::of(&command.env("natlab", natlab).env_remove("CI").output().unwrap())
    }

    pub(crate) fn out(&self) -> PathBuf {
        self.folder.path().join("runs")
    }

    /// A file beside the runs.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// The folders of all runs so far, in the order of their names.
    pub(crate) fn folders(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.out()) else { return Vec::new() };
        let mut folders: Vec<PathBuf> =
            entries.map(|entry| entry.unwrap().path()).filter(|path| !path.is_symlink()).collect();
        folders.sort();
        folders
    }

    /// The report of the last run.
    pub(crate) fn report(&self) -> Report {
        report(&self.out().join("latest"))
    }

    /// The only case of the last run.
    pub(crate) fn row(&self) -> Row {
        let [row] = <[Row; 1]>::try_from(self.report().cases).unwrap();
        row
    }
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Done {
    pub(crate) fn of(output: &Output) -> Done {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Done { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }
}

pub(crate) fn report(folder: &Path) -> Report {
    serde_json::from_slice(&fs::read(folder.join("report.json")).unwrap()).unwrap()
}

/// Ids of cases, in the order of the report.
pub(crate) fn ids(report: &Report) -> Vec<&str> {
    report.cases.iter().map(|row| row.id.as_str()).collect()
}

/// What cannot be tested here must not look like a success where it counts.
pub(crate) fn skip(why: &str) {
    assert!(std::env::var_os("CI").is_none(), "skipped, which CI does not allow: {why}");
    eprintln!("skipped: {why}");
}
