//! IPv6, which no router translates: what is filtered, and what opens the filter.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use super::Broken;
use super::bench::{Bench, PATIENCE, SERVER_PORTS, Seen, hear, socket, unproven, until_counted};
use super::facts::Ipv6;
use crate::nat::Filtering;

const PORT: u16 = 5000;

pub(super) fn ask(bench: &Bench) -> Seen<Ipv6> {
    bench.fresh()?;
    let server = bench.node("server")?;
    let &[near, far, ..] = server.addresses_v6() else {
        return Err(Broken::missing("the server's second IPv6 address").into());
    };
    let [low, high] = SERVER_PORTS;
    let [near_low, near_high, far] =
        [(near, low), (near, high), (far, low)].map(|(address, port)| socket(server, (address, port).into()));
    let (near_low, near_high, far) = (near_low?, near_high?, far?);
    let node = bench.node("alice")?;
    let &[here, ..] = node.addresses_v6() else {
        return Err(Broken::missing("an IPv6 address of alice's").into());
    };
    let alice = socket(node, (here, PORT).into())?;

    let outside = seen(bench, &alice, &near_low)?;
    let filtering = if comes_in(bench, &far, outside, &alice)? {
        Filtering::EndpointIndependent
    } else if comes_in(bench, &near_high, outside, &alice)? {
        Filtering::AddressDependent
    } else {
        Filtering::AddressAndPortDependent
    };
    seen(bench, &alice, &far)?;
    let opens = comes_in(bench, &near_low, outside, &alice)? && comes_in(bench, &far, outside, &alice)?;
    let untranslated = outside.ip() == IpAddr::V6(here) && outside.port() == PORT;
    Ok(Ipv6 { untranslated, filtering, opens })
}

fn seen(bench: &Bench, from: &UdpSocket, server: &UdpSocket) -> Seen<SocketAddr> {
    let (mark, to) = (bench.mark(), server.local_addr()?);
    from.send_to(&mark, to)?;
    let heard = hear(&[server], &mark, PATIENCE)?;
    heard.map_or_else(|| unproven(format!("a packet to {to} does not leave")), |(_, seen)| Ok(seen))
}

fn comes_in(bench: &Bench, from: &UdpSocket, to: SocketAddr, at: &UdpSocket) -> Seen<bool> {
    let mark = bench.mark();
    let before = bench.drops()?.filtered;
    from.send_to(&mark, to)?;
    until_counted(bench, &[at], &mark, before).map(|came| came.is_some())
}
