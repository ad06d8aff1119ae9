//! The kernel's settings that a lab depends on, each of a namespace of its own: what a new one inherits from its host
//! (IPv4's), and what netlink cannot set (IPv6's forwarding). Written through /proc/sys, which shows every thread its
//! own namespace's.

use std::fs;

use crate::address::Place;
use crate::error::Error;

/// What a lab needs, and a host may have changed. The kernel copies the host's to each new namespace, and takes the
/// larger or the sum of a link's own and that of `all`, so that to set a link's is not enough.
const IPV4: [(&str, &str); 8] = [
    // A strict one drops what comes from an address that is also inside (RFC 4787 REQ-7).
    ("ipv4/conf/all/rp_filter", "0"),
    ("ipv4/conf/default/rp_filter", "0"),
    // Hosts do not route.
    ("ipv4/conf/all/forwarding", "0"),
    ("ipv4/conf/default/forwarding", "0"),
    // A router that took its own addresses for somebody else's would hide that rules let one through.
    ("ipv4/conf/all/accept_local", "0"),
    ("ipv4/conf/default/accept_local", "0"),
    ("ipv4/conf/all/route_localnet", "0"),
    ("ipv4/conf/default/route_localnet", "0"),
];

/// Whether a new namespace has IPv6 at all; `ipv6.disable_ipv6=1` on the kernel's command line takes it.
const IPV6: [(&str, &str); 2] =
    [("ipv6/conf/all/disable_ipv6", "0"), ("ipv6/conf/default/disable_ipv6", "0")];

/// Whether the kernel knows IPv6; it was started without by `ipv6.disable=1`.
pub(super) fn kernel_has_v6() -> bool {
    fs::exists("/proc/sys/net/ipv6").unwrap_or(false)
}

/// Which settings new namespaces have to get, because they are born with other ones.
#[derive(Debug, Clone, Default)]
pub(super) struct Settings {
    ipv4: Vec<(&'static str, &'static str)>,
    ipv6: Vec<(&'static str, &'static str)>,
}

impl Settings {
    /// Looks at the namespace of the calling thread, which is new; all others will be born like it.
    pub(super) fn needed(ipv6: bool) -> Result<Self, Error> {
        Ok(Settings { ipv4: differing(&IPV4)?, ipv6: if ipv6 { differing(&IPV6)? } else { Vec::new() } })
    }

    /// Makes the settings in the namespace of the calling thread, which is this place's and has no links yet.
    pub(super) fn make(&self, place: &Place) -> Result<(), Error> {
        for (setting, value) in &self.ipv4 {
            match write(setting, value) {
                // A container may have a /proc that is read only. Nothing but overlapping ranges depends on it.
                Err(_) if !place.overlaps => {}
                made => made?,
            }
        }
        if place.has_v6() {
            for (setting, value) in &self.ipv6 {
                write(setting, value)?;
            }
        }
        Ok(())
    }
}

/// Lets IPv6 packets be forwarded in the namespace of the calling thread, which has all its links: those that come
/// later would say to each other that they are routers now.
pub(super) fn forward_v6() -> Result<(), Error> {
    write("ipv6/conf/all/forwarding", "1")
}

/// Lets the namespace of the calling thread answer every packet that it refuses with an ICMP error; the kernel would
/// answer one a second.
pub(super) fn answer_without_limit(place: &Place) -> Result<(), Error> {
    write("ipv4/icmp_ratemask", "0")?;
    if place.has_v6() { write("ipv6/icmp/ratelimit", "0") } else { Ok(()) }
}

/// Those of the settings that are not as wanted.
fn differing(wanted: &[(&'static str, &'static str)]) -> Result<Vec<(&'static str, &'static str)>, Error> {
    let mut differing = Vec::new();
    for &(setting, value) in wanted {
        if read(setting)?.trim_end() != value {
            differing.push((setting, value));
        }
    }
    Ok(differing)
}

fn read(setting: &str) -> Result<String, Error> {
    fs::read_to_string(format!("/proc/sys/net/{setting}"))
        .map_err(|source| Error::system(format!("read the setting {setting} of a node"), source))
}

fn write(setting: &str, value: &str) -> Result<(), Error> {
    fs::write(format!("/proc/sys/net/{setting}"), value)
        .map_err(|source| Error::system(format!("set {setting} to {value} in a node"), source))
}
