//! What may leave, before and after a login.

use std::net::{SocketAddrV4, TcpListener};

use super::bench::{Bench, Outbound, Seen, unproven};
use super::facts::Egress;
use super::tcp::{self, Opened};
use crate::nat;

pub(super) fn ask(bench: &Bench) -> Seen<Egress> {
    let (udp, tcp, https) = leaves(bench, 4000)?;
    let mut egress = Egress { udp, tcp, https, after_log_in: None, reboot_logs_out: None };
    let router = bench.router()?;
    if router.nat().egress == nat::Egress::Portal {
        router.log_in()?;
        egress.after_log_in = Some(leaves(bench, 4010)? == (true, true, true));
        router.reboot()?;
        egress.reboot_logs_out = Some(leaves(bench, 4020)? == (udp, tcp, https));
    }
    bench.fresh()?;
    Ok(egress)
}

/// UDP, TCP to some port, TCP to port 443, from ports that were not used before.
fn leaves(bench: &Bench, port: u16) -> Seen<(bool, bool, bool)> {
    let [server, ..] = bench.server()?;
    let udp = matches!(bench.outward(&bench.udp("alice", port)?, &server)?, Outbound::Left(_));
    let node = bench.node("server")?;
    let (near, _) = bench.server_addresses()?;
    let connects = |number: u16, to_port: u16| -> Seen<bool> {
        let to = SocketAddrV4::new(near, to_port);
        let _listener = node.within(|| TcpListener::bind(to))??;
        match tcp::open(bench, "alice", port + number, to)? {
            Opened::Connected(_) => Ok(true),
            Opened::Dropped => Ok(false),
            Opened::Answered(error) => unproven(format!("a connection to {to} failed: {error}")),
        }
    };
    let [other, _] = tcp::PORTS;
    Ok((udp, connects(1, other)?, connects(2, tcp::HTTPS)?))
}
