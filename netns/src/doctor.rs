//! The doctor: can this machine run labs? Each check with what was found, and with what to do where it is not well.

mod machine;
mod trial;

use std::fmt::Write as _;
use std::fs;
use std::io;

use nix::errno::Errno;
use nix::unistd::Uid;

use crate::error::Error;

/// One thing that a lab needs, or is better with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What was looked at.
    pub name: String,
    /// What was found.
    pub outcome: Outcome,
    /// What to do about it; empty where all is well.
    pub fix: String,
}

/// How a check ended, with what was found, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// As it should be.
    Ok(String),
    /// Labs run, but not all or not as well as they could.
    Warn(String),
    /// No labs on this machine.
    Fail(String),
}

impl Check {
    fn ok(name: impl Into<String>, found: impl Into<String>) -> Self {
        Check { name: name.into(), outcome: Outcome::Ok(found.into()), fix: String::new() }
    }

    fn warn(name: impl Into<String>, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Check { name: name.into(), outcome: Outcome::Warn(found.into()), fix: fix.into() }
    }

    fn fail(name: impl Into<String>, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Check { name: name.into(), outcome: Outcome::Fail(found.into()), fix: fix.into() }
    }

    /// Whether no lab can run.
    pub fn is_fatal(&self) -> bool {
        matches!(self.outcome, Outcome::Fail(_))
    }
}

/// Examines this machine from inside the sandbox: reads its limits, and builds small labs to see them work.
pub fn examine() -> Vec<Check> {
    let mut checks = vec![machine::kernel(), machine::ordinary_users(&Settings::read())];
    checks.extend(trial::all());
    checks.extend([machine::open_files(), machine::namespaces(), machine::receive_buffer()]);
    checks.extend([machine::cores(), machine::memory()]);
    checks
}

/// The one check of a machine on which the sandbox itself could not be made: the cause of `error`, and its fix. To be
/// asked outside of a sandbox.
pub fn no_sandbox(error: &Error) -> Check {
    let source = match error {
        Error::Netlink { source, .. } | Error::System { source, .. } => source,
        Error::Topology(_) | Error::NoPortal | Error::NotLinux => {
            return Check::fail(SANDBOX, error.to_string(), error.help());
        }
    };
    let (cause, fix) = why_no_sandbox(source, Uid::effective().is_root(), &Settings::read());
    Check::fail(SANDBOX, format!("{error}: {cause}"), fix)
}

const SANDBOX: &str = "sandbox";

/// The kernel's switches that decide who may make namespaces; `None` where it has no such switch.
#[derive(Debug, Clone, Copy, Default)]
struct Settings {
    unprivileged_userns_clone: Option<u64>,
    apparmor_restricts: Option<u64>,
    max_user_namespaces: Option<u64>,
    max_net_namespaces: Option<u64>,
}

impl Settings {
    fn read() -> Self {
        Settings {
            unprivileged_userns_clone: number_in("/proc/sys/kernel/unprivileged_userns_clone"),
            apparmor_restricts: number_in("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"),
            max_user_namespaces: number_in("/proc/sys/user/max_user_namespaces"),
            max_net_namespaces: number_in("/proc/sys/user/max_net_namespaces"),
        }
    }

    /// What keeps ordinary users from making namespaces, and how to allow it.
    fn denies_ordinary_users(&self) -> Option<(&'static str, &'static str)> {
        if self.max_user_namespaces == Some(0) {
            Some((
                "no user namespaces are allowed",
                "sudo sysctl -w user.max_user_namespaces=10000, or run natlab as root",
            ))
        } else if self.unprivileged_userns_clone == Some(0) {
            Some((
                "the kernel keeps user namespaces for root",
                "sudo sysctl -w kernel.unprivileged_userns_clone=1, or run natlab as root",
            ))
        } else if self.apparmor_restricts.is_some_and(|restricts| restricts != 0) {
            Some((
                "AppArmor keeps user namespaces from ordinary users (Ubuntu 24.04, GitHub runners)",
                "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or run natlab as root",
            ))
        } else {
            None
        }
    }
}

fn number_in(file: &str) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// The cause in words, and the fix.
fn why_no_sandbox(source: &io::Error, root: bool, settings: &Settings) -> (&'static str, &'static str) {
    match source.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENOSPC | Errno::EUSERS) => (
            "the limit of namespaces is reached",
            "sudo sysctl -w user.max_net_namespaces=10000 user.max_user_namespaces=10000",
        ),
        Some(Errno::EINVAL) => (
            "this kernel is built without one of user, pid, mount or network namespaces",
            "use a kernel with CONFIG_USER_NS, CONFIG_PID_NS and CONFIG_NET_NS",
        ),
        Some(Errno::EPERM | Errno::EACCES) if root => (
            "root of this container may not make namespaces",
            "start the container with --cap-add SYS_ADMIN --cap-add NET_ADMIN --security-opt seccomp=unconfined \
             --security-opt apparmor=unconfined",
        ),
        Some(Errno::EPERM | Errno::EACCES) => settings.denies_ordinary_users().unwrap_or((
            "this user may not make namespaces (a container's seccomp profile, or a security module)",
            "run natlab as root, or the container with --security-opt seccomp=unconfined",
        )),
        _ => (
            "an unexpected answer of the system",
            "run `unshare --user --map-root-user --pid --fork --mount --net true` to see it without natlab",
        ),
    }
}

/// The checks as lines of text, each fix below its check.
pub fn render(checks: &[Check]) -> String {
    let width = checks.iter().map(|check| check.name.len()).max().unwrap_or_default();
    let mut text = String::new();
    for Check { name, outcome, fix } in checks {
        let (word, found) = match outcome {
            Outcome::Ok(found) => ("ok", found),
            Outcome::Warn(found) => ("warn", found),
            Outcome::Fail(found) => ("FAIL", found),
        };
        let _ = writeln!(text, "{word:<4}  {name:<width$}  {found}");
        if !fix.is_empty() {
            let _ = writeln!(text, "      {:width$}  fix: {fix}", "");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn a_fix_stands_below_its_check() {
        let checks = [
            Check::ok("kernel", "6.18.0"),
            Check::warn("open files", "1024 at most", "ulimit -n 8192"),
            Check::fail("NAT symmetric", "the kernel refused to create set mappings", "modprobe nf_tables"),
        ];
        insta::assert_snapshot!(render(&checks), @r"
        ok    kernel         6.18.0
        warn  open files     1024 at most
                             fix: ulimit -n 8192
        FAIL  NAT symmetric  the kernel refused to create set mappings
                             fix: modprobe nf_tables
        ");
        assert_eq!(checks.map(|check| check.is_fatal()), [false, false, true]);
    }

    #[rstest]
    #[case::apparmor(Errno::EPERM, false, Settings { apparmor_restricts: Some(1), ..Settings::default() }, "apparmor_restrict_unprivileged_userns=0")]
    #[case::debian(Errno::EPERM, false, Settings { unprivileged_userns_clone: Some(0), ..Settings::default() }, "unprivileged_userns_clone=1")]
    #[case::none_at_all(Errno::EPERM, false, Settings { max_user_namespaces: Some(0), ..Settings::default() }, "max_user_namespaces")]
    #[case::a_container(Errno::EPERM, true, Settings { apparmor_restricts: Some(1), ..Settings::default() }, "--cap-add SYS_ADMIN")]
    #[case::seccomp(Errno::EPERM, false, Settings::default(), "seccomp=unconfined")]
    #[case::the_limit(Errno::ENOSPC, false, Settings::default(), "max_net_namespaces")]
    #[case::the_kernel(Errno::EINVAL, true, Settings::default(), "CONFIG_NET_NS")]
    #[case::anything_else(Errno::ENOMEM, true, Settings::default(), "unshare")]
    fn why_there_is_no_sandbox_is_told_with_its_fix(
        #[case] errno: Errno,
        #[case] root: bool,
        #[case] settings: Settings,
        #[case] fix: &str,
    ) {
        let told = why_no_sandbox(&io::Error::from(errno), root, &settings).1;
        assert!(told.contains(fix), "{told}");
    }
}
