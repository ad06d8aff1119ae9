//! Links, addresses, routes and neighbours, as requests of a batch; `netlink-packet-route` encodes them.

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_core::Emitable;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{AddressAttribute, AddressMessage, AddressScope};
use netlink_packet_route::link::{
    AfSpecInet, AfSpecUnspec, InetDevConf, InfoData, InfoKind, InfoVeth, LinkAttribute, LinkExtentMask,
    LinkFlags, LinkInfo, LinkMessage,
};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};

use super::Socket;
use super::wire::{self, Batch};
use crate::error::Error;

const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_NEWROUTE: u16 = 24;
const RTM_NEWNEIGH: u16 = 28;
const NLM_F_CREATE_EXCL: u16 = 0x600;

/// The index of the loopback link in every namespace.
pub(crate) const LOOPBACK: u32 = 1;

/// An Ethernet address.
pub(crate) type Mac = [u8; 6];

/// One end of a veth pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) name: String,
    pub(crate) index: u32,
    pub(crate) mac: Mac,
}

/// Creates a veth pair with one end here, up, and the other directly in its own namespace (moving an end later costs
/// twenty times as much), still down: a peer cannot be born up.
pub(crate) fn veth(batch: &mut Batch, here: &End, there: &End, namespace: BorrowedFd<'_>) {
    let mut peer = link(there);
    peer.attributes.push(LinkAttribute::NetNsFd(namespace.as_raw_fd()));
    let mut message = link(here);
    message.header.flags = LinkFlags::Up;
    message.header.change_mask = LinkFlags::Up;
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

/// Lets IPv4 packets that come in here be forwarded, without a write to /proc/sys.
pub(crate) fn forward(batch: &mut Batch, index: u32) {
    let mut conf = InetDevConf::default();
    conf.forwarding = 1;
    let mut message = LinkMessage::default();
    message.header.index = index;
    message
        .attributes
        .push(LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet(vec![AfSpecInet::DevConfRequest(conf)])]));
    push(batch, format!("let link {index} forward"), RTM_NEWLINK, 0, &message);
}

/// Gives a link an address of its own, without a subnet.
pub(crate) fn address(batch: &mut Batch, index: u32, address: Ipv4Addr) {
    let mut message = AddressMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.prefix_len = 32;
    message.header.index = index;
    message.header.scope = AddressScope::Universe;
    message.attributes =
        vec![AddressAttribute::Local(IpAddr::V4(address)), AddressAttribute::Address(IpAddr::V4(address))];
    push(batch, format!("add address {address}"), RTM_NEWADDR, NLM_F_CREATE_EXCL, &message);
}

/// A permanent neighbour: permanent entries do not count against the table that all namespaces share.
pub(crate) fn neighbour(batch: &mut Batch, index: u32, address: Ipv4Addr, mac: Mac) {
    let mut message = NeighbourMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.ifindex = index;
    message.header.state = NeighbourState::Permanent;
    message.attributes = vec![
        NeighbourAttribute::Destination(NeighbourAddress::Inet(address)),
        NeighbourAttribute::LinkLayerAddress(mac.to_vec()),
    ];
    push(batch, format!("add neighbour {address}"), RTM_NEWNEIGH, NLM_F_CREATE_EXCL, &message);
}

/// One host at the other end of a link.
pub(crate) fn host_route(batch: &mut Batch, index: u32, host: Ipv4Addr) {
    let mut message = route(RouteScope::Link);
    message.header.destination_prefix_length = 32;
    message.attributes =
        vec![RouteAttribute::Destination(RouteAddress::Inet(host)), RouteAttribute::Oif(index)];
    push(batch, format!("add a route to {host}"), RTM_NEWROUTE, NLM_F_CREATE_EXCL, &message);
}

/// Everything else by this gateway, which is on the link though no subnet says so.
pub(crate) fn default_route(batch: &mut Batch, index: u32, gateway: Ipv4Addr, source: Ipv4Addr) {
    let mut message = route(RouteScope::Universe);
    message.header.flags = RouteFlags::Onlink;
    message.attributes = vec![
        RouteAttribute::Gateway(RouteAddress::Inet(gateway)),
        RouteAttribute::Oif(index),
        RouteAttribute::PrefSource(RouteAddress::Inet(source)),
    ];
    push(batch, format!("add a default route by {gateway}"), RTM_NEWROUTE, NLM_F_CREATE_EXCL, &message);
}

/// What nobody has: dropped in silence, as the internet drops private addresses.
pub(crate) fn blackhole_default(batch: &mut Batch) {
    let mut message = route(RouteScope::Universe);
    message.header.kind = RouteType::BlackHole;
    push(batch, "add a default route to nowhere".to_owned(), RTM_NEWROUTE, NLM_F_CREATE_EXCL, &message);
}

fn route(scope: RouteScope) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = AddressFamily::Inet;
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = RouteProtocol::Static;
    message.header.scope = scope;
    message.header.kind = RouteType::Unicast;
    message
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
