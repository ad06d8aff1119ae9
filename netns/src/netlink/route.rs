//! Links, addresses, routes and neighbours, as requests of a batch; `netlink-packet-route` encodes them.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};

use netlink_packet_core::Emitable;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage, AddressScope};
use netlink_packet_route::link::{
    AfSpecInet, AfSpecInet6, AfSpecUnspec, In6AddrGenMode, InetDevConf, InfoData, InfoKind, InfoVeth,
    LinkAttribute, LinkExtentMask, LinkFlags, LinkInfo, LinkMessage,
};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::route::{
    RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};

use super::Socket;
use super::wire::{self, Batch};
use crate::error::Error;

const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_NEWROUTE: u16 = 24;
const RTM_GETROUTE: u16 = 26;
const RTM_NEWNEIGH: u16 = 28;
const NLM_F_CREATE_EXCL: u16 = 0x600;

/// How long a work queue of a busy machine may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The index of the loopback link in every namespace.
pub(crate) const LOOPBACK: u32 = 1;

/// An Ethernet address.
pub(crate) type Mac = [u8; 6];

/// Addresses that begin alike, and how many bits of them do.
pub(crate) type Prefix = (IpAddr, u8);

/// One end of a veth pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) name: String,
    pub(crate) index: u32,
    pub(crate) mac: Mac,
}

/// Creates a veth pair with one end here, up and quiet (see [`quiet_up`]), and the other directly in its own namespace (moving an end later costs
/// twenty times as much), still down: a peer cannot be born up.
pub(crate) fn veth(batch: &mut Batch, here: &End, there: &End, namespace: BorrowedFd<'_>) {
    let mut peer = link(there);
    peer.attributes.push(LinkAttribute::NetNsFd(namespace.as_raw_fd()));
    let mut message = link(here);
    up_quietly(&mut message, false);
    message.attributes.push(LinkAttribute::LinkInfo(vec![
        LinkInfo::Kind(InfoKind::Veth),
        LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
    ]));
    push(
        batch,
        format!("create link {} - {}", here.name, there.name),
        RTM_NEWLINK,
        NLM_F_CREATE_EXCL,
        &message,
    );
}

/// Waits until these links send. One that was up before its other end was has a carrier at once but drops what it is
/// given until the kernel's link watch, a work queue, has been there; on a busy machine that takes milliseconds.
/// To be asked about makes a kernel of 6.8 or later see to it at once.
pub(crate) fn await_running(socket: &Socket, links: &[u32]) -> Result<(), Error> {
    /// So many answers fit into the socket's buffer.
    const AT_ONCE: usize = 32;
    let start = Instant::now();
    for links in links.chunks(AT_ONCE) {
        loop {
            let mut batch = Batch::new();
            for &index in links {
                let mut message = LinkMessage::default();
                message.header.index = index;
                message.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
                push(&mut batch, format!("look at link {index}"), RTM_GETLINK, 0, &message);
            }
            let mut running = 0;
            socket.ask(batch, |answer| {
                const IFINFOMSG: usize = 16;
                const IFLA_OPERSTATE: u16 = 16;
                const IF_OPER_UP: u8 = 6;
                let attributes = answer.get(IFINFOMSG..).unwrap_or_default();
                running += usize::from(wire::attribute(attributes, IFLA_OPERSTATE) == Some(&[IF_OPER_UP]));
            })?;
            if running == links.len() {
                break;
            }
            if start.elapsed() > PATIENCE {
                return Err(Error::system(format!("see the links {links:?} run"), io::ErrorKind::TimedOut));
            }
            std::thread::yield_now();
        }
    }
    Ok(())
}

/// Waits until a node takes what is sent to these addresses of its own. An IPv6 address is there at once, but its entry
/// in the routing table is made by a work queue, as if there were duplicates to be looked for.
pub(crate) fn await_local(socket: &Socket, addresses: &[IpAddr]) -> Result<(), Error> {
    const RTM_TYPE: usize = 7;
    const RTN_LOCAL: u8 = 2;
    let start = Instant::now();
    for &address in addresses {
        loop {
            let mut message = RouteMessage::default();
            message.header.address_family = family(address);
            message.header.destination_prefix_length = whole(address);
            message.attributes = vec![RouteAttribute::Destination(address.into())];
            let mut batch = Batch::new();
            push(&mut batch, format!("take what is sent to {address}"), RTM_GETROUTE, 0, &message);
            let mut local = false;
            let answered = socket.ask(batch, |answer| local |= answer.get(RTM_TYPE) == Some(&RTN_LOCAL));
            if local {
                break;
            }
            // Until then it may lead elsewhere, or nowhere, which is an error.
            if start.elapsed() > PATIENCE {
                return answered.and_then(|()| {
                    Err(Error::system(format!("give a node its address {address}"), io::ErrorKind::TimedOut))
                });
            }
            std::thread::yield_now();
        }
    }
    Ok(())
}

/// Brings a link up.
pub(crate) fn up(batch: &mut Batch, index: u32) {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.header.flags = LinkFlags::Up;
    message.header.change_mask = LinkFlags::Up;
    push(batch, format!("bring link {index} up"), RTM_NEWLINK, 0, &message);
}

/// Brings a link up that sends nothing by itself: no ARP nor duplicate address detection, since all neighbours are
/// known, and without `multicast` no reports of what a router listens to either. Packets that nobody asked for would be
/// counted by the rules of who gets them.
pub(crate) fn quiet_up(batch: &mut Batch, index: u32, multicast: bool) {
    let mut message = LinkMessage::default();
    message.header.index = index;
    up_quietly(&mut message, multicast);
    push(batch, format!("bring link {index} up"), RTM_NEWLINK, 0, &message);
}

fn up_quietly(message: &mut LinkMessage, multicast: bool) {
    message.header.flags = LinkFlags::Up | LinkFlags::Noarp;
    message.header.change_mask = LinkFlags::Up | LinkFlags::Noarp | LinkFlags::Multicast;
    if multicast {
        message.header.flags |= LinkFlags::Multicast;
    }
}

/// Lets IPv4 packets that come in here be forwarded, without a write to /proc/sys; also those that come from an address
/// of this node's own, where that may be somebody else's too.
pub(crate) fn forward(batch: &mut Batch, index: u32, accept_local: bool) {
    let mut conf = InetDevConf::default();
    conf.forwarding = 1;
    conf.accept_local = accept_local.into();
    let inet = AfSpecUnspec::Inet(vec![AfSpecInet::DevConfRequest(conf)]);
    specify(batch, format!("let link {index} forward"), index, inet);
}

/// A link that has the IPv6 addresses it is given and makes none of its own, nor asks for a router. To be asked for
/// before it is up.
pub(crate) fn no_link_local(batch: &mut Batch, index: u32) {
    let inet6 = AfSpecUnspec::Inet6(vec![AfSpecInet6::AddrGenMode(In6AddrGenMode::None)]);
    specify(batch, format!("keep link {index} from making addresses"), index, inet6);
}

fn specify(batch: &mut Batch, what: String, index: u32, family: AfSpecUnspec) {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.attributes.push(LinkAttribute::AfSpecUnspec(vec![family]));
    push(batch, what, RTM_NEWLINK, 0, &message);
}

/// Gives a link an address of its own, without a subnet.
pub(crate) fn address(batch: &mut Batch, index: u32, address: IpAddr) {
    own(batch, index, address);
    if address.is_ipv6() {
        // The kernel makes a route of it, without which nothing is received, in a work queue some time later.
        local_route(batch, index, address);
    }
}

fn own(batch: &mut Batch, index: u32, address: IpAddr) {
    let mut message = AddressMessage::default();
    message.header.family = family(address);
    message.header.prefix_len = whole(address);
    message.header.index = index;
    message.header.scope = AddressScope::Universe;
    if address.is_ipv6() {
        // There is nobody on the link to ask whether it is a duplicate.
        message.header.flags = AddressHeaderFlags::Nodad;
    }
    message.attributes = vec![AddressAttribute::Local(address), AddressAttribute::Address(address)];
    push(batch, format!("add address {address}"), RTM_NEWADDR, NLM_F_CREATE_EXCL, &message);
}

/// A permanent neighbour: permanent entries do not count against the table that all namespaces share.
pub(crate) fn neighbour(batch: &mut Batch, index: u32, address: IpAddr, mac: Mac) {
    let mut message = NeighbourMessage::default();
    message.header.family = family(address);
    message.header.ifindex = index;
    message.header.state = NeighbourState::Permanent;
    let destination = match address {
        IpAddr::V4(address) => NeighbourAddress::Inet(address),
        IpAddr::V6(address) => NeighbourAddress::Inet6(address),
    };
    message.attributes = vec![
        NeighbourAttribute::Destination(destination),
        NeighbourAttribute::LinkLayerAddress(mac.to_vec()),
    ];
    push(batch, format!("add neighbour {address}"), RTM_NEWNEIGH, NLM_F_CREATE_EXCL, &message);
}

/// What is for this node itself.
fn local_route(batch: &mut Batch, index: u32, address: IpAddr) {
    const LOCAL_TABLE: u8 = 255;
    let mut message = route(address, RouteScope::Host);
    message.header.table = LOCAL_TABLE;
    message.header.kind = RouteType::Local;
    message.header.destination_prefix_length = whole(address);
    message.attributes = vec![RouteAttribute::Destination(address.into()), RouteAttribute::Oif(index)];
    push(batch, format!("receive what is for {address}"), RTM_NEWROUTE, NLM_F_CREATE_EXCL, &message);
}

/// One host at the other end of a link.
pub(crate) fn host_route(batch: &mut Batch, index: u32, host: IpAddr) {
    let mut message = route(host, RouteScope::Link);
    message.header.destination_prefix_length = whole(host);
    message.attributes = vec![RouteAttribute::Destination(host.into()), RouteAttribute::Oif(index)];
    push(batch, format!("add a route to {host}"), RTM_NEWROUTE, NLM_F_CREATE_EXCL, &message);
}

/// Some addresses by way of who is at the other end of a link.
pub(crate) fn route_by(batch: &mut Batch, index: u32, (network, length): Prefix, gateway: IpAddr) {
    let mut message = route(network, RouteScope::Universe);
    message.header.destination_prefix_length = length;
    message.header.flags = RouteFlags::Onlink;
    message.attributes = vec![
        RouteAttribute::Destination(network.into()),
        RouteAttribute::Gateway(gateway.into()),
        RouteAttribute::Oif(index),
    ];
    let what = format!("add a route to {network}/{length} by {gateway}");
    push(batch, what, RTM_NEWROUTE, NLM_F_CREATE_EXCL, &message);
}

/// Everything else by this gateway, which is on the link though no subnet says so.
pub(crate) fn default_route(batch: &mut Batch, index: u32, gateway: IpAddr, source: IpAddr) {
    let mut message = route(gateway, RouteScope::Universe);
    message.header.flags = RouteFlags::Onlink;
    message.attributes = vec![
        RouteAttribute::Gateway(gateway.into()),
        RouteAttribute::Oif(index),
        RouteAttribute::PrefSource(source.into()),
    ];
    push(batch, format!("add a default route by {gateway}"), RTM_NEWROUTE, NLM_F_CREATE_EXCL, &message);
}

/// What nobody has: dropped in silence, as the internet drops private addresses.
pub(crate) fn blackhole(batch: &mut Batch, (network, length): Prefix) {
    let mut message = route(network, RouteScope::Universe);
    message.header.kind = RouteType::BlackHole;
    message.header.destination_prefix_length = length;
    if length > 0 {
        message.attributes = vec![RouteAttribute::Destination(network.into())];
    }
    let what = format!("add a route from {network}/{length} to nowhere");
    push(batch, what, RTM_NEWROUTE, NLM_F_CREATE_EXCL, &message);
}

fn route(to: IpAddr, scope: RouteScope) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = family(to);
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = RouteProtocol::Static;
    message.header.scope = scope;
    message.header.kind = RouteType::Unicast;
    message
}

fn family(of: IpAddr) -> AddressFamily {
    if of.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}

/// The length of the prefix that is the whole address.
fn whole(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn link(end: &End) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = end.index;
    message.attributes =
        vec![LinkAttribute::IfName(end.name.clone()), LinkAttribute::Address(end.mac.to_vec())];
    message
}

fn push(batch: &mut Batch, what: String, kind: u16, flags: u16, message: &impl Emitable) {
    let mut bytes = vec![0; message.buffer_len()];
    message.emit(&mut bytes);
    batch.request(what, kind, flags, |w| {
        w.raw(&bytes);
    });
}
