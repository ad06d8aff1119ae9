//! What the machine says of itself: kernel, limits, size.

use std::fs;
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, getsockopt, setsockopt, socket, sockopt};

use super::{Check, Settings, number_in};

/// The oldest kernel whose sets take a limit in each element (5.11), which the claims of ports are made of.
const OLDEST: (u32, u32) = (5, 11);
/// What a lab of 500 routers has open.
const DESCRIPTORS: u64 = 4096;
/// A hundred labs at once.
const NAMESPACES: u64 = 1000;
/// What a peer asks for, so that a burst does not overrun it.
const RECEIVE_BUFFER: usize = 4 << 20;

pub(super) fn kernel() -> Check {
    const NAME: &str = "kernel";
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let release = release.trim();
    match version(release) {
        Some(version) if version >= OLDEST => Check::ok(NAME, release),
        Some(_) => Check::warn(
            NAME,
            format!("{release} is older than {}.{}", OLDEST.0, OLDEST.1),
            "use a newer kernel; the NAT checks below say whether this one does",
        ),
        None => Check::warn(NAME, format!("unknown version {release:?}"), "see the NAT checks below"),
    }
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

pub(super) fn ordinary_users(settings: &Settings) -> Check {
    const NAME: &str = "user namespaces";
    // Where everybody exists, this sandbox was made by root and says nothing of others.
    let by_root = fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| map.contains("4294967295"));
    match settings.denies_ordinary_users() {
        None if by_root => Check::ok(NAME, "allowed; this sandbox was made by root"),
        None => Check::ok(NAME, "this sandbox was made by an ordinary user"),
        Some(_) if !by_root => Check::ok(NAME, "this sandbox was made by an ordinary user all the same"),
        Some((why, fix)) => Check::warn(NAME, format!("only root can run labs here: {why}"), fix),
    }
}

pub(super) fn open_files() -> Check {
    const NAME: &str = "open files";
    match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok((soft, hard)) if soft >= DESCRIPTORS => Check::ok(NAME, format!("{soft} (at most {hard})")),
        Ok((soft, hard)) => Check::warn(
            NAME,
            format!("{soft} (at most {hard}): room for about {} routers at once", soft / 5),
            format!(
                "ulimit -Hn {DESCRIPTORS} as root, or LimitNOFILE={DESCRIPTORS}, or fewer cases at once (-j)"
            ),
        ),
        Err(errno) => Check::warn(NAME, format!("unknown: {errno}"), "ulimit -n says more"),
    }
}

pub(super) fn namespaces() -> Check {
    const NAME: &str = "namespaces";
    let settings = Settings::read();
    match settings.max_net_namespaces {
        None => Check::ok(NAME, "no limit that this kernel tells"),
        Some(most) if most >= NAMESPACES => Check::ok(NAME, format!("up to {most} networks")),
        Some(most) => Check::warn(
            NAME,
            format!("only {most} networks: {} labs of six at once", most / 6),
            "sudo sysctl -w user.max_net_namespaces=10000",
        ),
    }
}

pub(super) fn receive_buffer() -> Check {
    const NAME: &str = "receive buffer";
    let fix = format!("sudo sysctl -w net.core.rmem_max={RECEIVE_BUFFER}");
    match granted_buffer() {
        Ok(size) if size >= RECEIVE_BUFFER => Check::ok(NAME, format!("{} MiB", size >> 20)),
        Ok(size) => Check::warn(
            NAME,
            format!("{} KiB of the 4 MiB that a peer asks for: fast transfers lose packets", size >> 10),
            fix,
        ),
        Err(errno) => Check::warn(NAME, format!("unknown: {errno}"), fix),
    }
}

/// Asks as a peer does, and reads what it got (the kernel tells twice the size, for its own part).
fn granted_buffer() -> nix::Result<usize> {
    let fd: OwnedFd = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    match setsockopt(&fd, sockopt::RcvBufForce, &RECEIVE_BUFFER) {
        Ok(()) => {}
        Err(Errno::EPERM) => setsockopt(&fd, sockopt::RcvBuf, &RECEIVE_BUFFER)?,
        Err(errno) => return Err(errno),
    }
    Ok(getsockopt(&fd, sockopt::RcvBuf)? / 2)
}

pub(super) fn cores() -> Check {
    const NAME: &str = "cores";
    match std::thread::available_parallelism() {
        Ok(cores) if cores.get() > 1 => Check::ok(NAME, cores.to_string()),
        Ok(_) => Check::warn(NAME, "1", "more cores: cases run beside each other, and connect sooner"),
        Err(error) => Check::warn(NAME, format!("unknown: {error}"), "choose the number of cases with -j"),
    }
}

pub(super) fn memory() -> Check {
    const NAME: &str = "memory";
    const ENOUGH_KIB: u64 = 1 << 20;
    let free = fs::read_to_string("/proc/meminfo").ok().and_then(|text| available_kib(&text));
    let limit = number_in("/sys/fs/cgroup/memory.max").map(|bytes| bytes >> 10);
    match free.map(|free| limit.map_or(free, |limit| free.min(limit))) {
        Some(kib) if kib >= ENOUGH_KIB => Check::ok(NAME, format!("{} MiB available", kib >> 10)),
        Some(kib) => {
            Check::warn(NAME, format!("{} MiB available", kib >> 10), "run fewer cases at once (-j)")
        }
        None => Check::warn(NAME, "unknown", "choose the number of cases with -j"),
    }
}

fn available_kib(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        assert_eq!(version("6.18.44-fc-v657"), Some((6, 18)));
        assert_eq!(version("5.4.0-1"), Some((5, 4)));
        assert!(version("5.9.1") < Some(OLDEST) && version("5.11") >= Some(OLDEST));
        assert_eq!(version("next"), None);
    }

    #[test]
    fn available_memory_is_read_from_its_line() {
        assert_eq!(available_kib("MemTotal:  100 kB\nMemAvailable:    24 kB\n"), Some(24));
        assert_eq!(available_kib("MemTotal:  100 kB\n"), None);
    }
}
