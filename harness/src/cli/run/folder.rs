//! Where the artifacts of a run go: `DIR/<time>-<seed>`, and beside it a link `latest`.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Makes the folder of all runs, and tells whether a run could make its own there.
pub(super) fn check(out: &Path) -> io::Result<()> {
    let told = |error| about(out, "run folders cannot be made in", error);
    fs::create_dir_all(out).map_err(told)?;
    let trial = out.join(format!(".trial-{}", std::process::id()));
    fs::create_dir(&trial).and_then(|()| fs::remove_dir(&trial)).map_err(told)
}

/// Makes the folder of one run.
pub(super) fn make(out: &Path, seed: u64, now: SystemTime) -> io::Result<PathBuf> {
    let now = humantime::format_rfc3339_seconds(now).to_string();
    let stem = format!("{}-{seed}", now.trim_end_matches('Z').replace([':', '-'], "").replace('T', "-"));
    // Two runs of one second and one seed keep apart.
    for attempt in 1u32.. {
        let name = if attempt == 1 { stem.clone() } else { format!("{stem}.{attempt}") };
        let folder = out.join(&name);
        match fs::create_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            made => made.map_err(|error| about(&folder, "cannot make", error))?,
        }
        if let Err(error) = link(out, &name) {
            // The run is what was asked for; some file systems have no links.
            let _ = writeln!(io::stderr(), "warning: {error}");
        }
        return Ok(folder);
    }
    Err(io::Error::other("no name is left for a run folder"))
}

/// Lets `latest` lead to this run, in one step: who follows it meanwhile finds this run or the one before.
fn link(out: &Path, name: &str) -> io::Result<()> {
    let (latest, fresh) = (out.join("latest"), out.join(format!(".latest-{name}")));
    if fs::symlink_metadata(&latest).is_ok_and(|there| !there.is_symlink()) {
        let message = format!("{} is left as it is: it is no link", latest.display());
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
    }
    let done = symlink(name, &fresh).and_then(|()| fs::rename(&fresh, &latest));
    done.map_err(|error| about(&latest, "no link", error))
}

fn about(path: &Path, what: &str, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what} {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_runs_of_one_second_and_one_seed_keep_apart_and_latest_leads_to_the_second() {
        let out = tempfile::tempdir().unwrap();
        let first = make(out.path(), 7, SystemTime::UNIX_EPOCH).unwrap();
        let second = make(out.path(), 7, SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(first, out.path().join("19700101-000000-7"));
        assert_eq!(second, out.path().join("19700101-000000-7.2"));
        assert_eq!(fs::read_link(out.path().join("latest")).unwrap(), Path::new("19700101-000000-7.2"));
    }

    #[test]
    fn a_file_of_the_user_that_is_called_latest_is_left_alone() {
        let out = tempfile::tempdir().unwrap();
        let latest = out.path().join("latest");
        fs::write(&latest, "mine").unwrap();
        assert!(make(out.path(), 7, SystemTime::UNIX_EPOCH).unwrap().is_dir());
        assert_eq!(fs::read_to_string(latest).unwrap(), "mine");
    }

    #[test]
    fn a_folder_that_cannot_be_is_told_with_its_path() {
        let out = tempfile::tempdir().unwrap();
        let file = out.path().join("file");
        fs::write(&file, "").unwrap();
        let told = check(&file.join("runs")).unwrap_err().to_string();
        assert!(told.starts_with(&format!("run folders cannot be made in {}", file.display())), "{told}");
        check(&out.path().join("a/b")).unwrap();
        assert_eq!(fs::read_dir(out.path().join("a/b")).unwrap().count(), 0, "the trial is gone");
    }
}
