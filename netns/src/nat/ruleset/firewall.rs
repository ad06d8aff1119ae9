//! A stateful firewall: nothing is translated, and what comes in must answer what went out (RFC 6092). For the hosts of
//! a `firewall`, and for IPv6 behind every router that has it. All its state is one set, `flows`: who may send to whom.
//! Its key is the protocol, inside address and port, then by the filtering the remote address, the remote port.

mod layout;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use super::packet::{DESTINATION_PORT, FIN, RST, SYN, TCP, UDP, flags_any, flags_none, is_icmp, is_protocol};
use super::{COUNTERS, ECHO_LIFETIME, FILTERED, REFUSED, TCP_ESTABLISHED, TCP_TRANSITORY, UNTRANSLATABLE};
use super::{PORTAL, refuse};
use crate::nat::table::{Entry, MappingTable, Protocol};
use crate::nat::{Egress, Filtering, Nat, OnDrop, Translation};
use crate::netlink::nftables::{
    Chain, Element, Expr, Family, Hook, Meta, Register, Rejection, Set, Table, Verdict,
};
use layout::{Flow, KEY, Layout, SCRATCH};

pub(crate) const FLOWS: &str = "flows";

/// The table of a router for this family, whose outside link has this index.
pub(super) fn table(nat: &Nat, family: Family, outside_link: u32) -> Table {
    let rules = Firewall {
        nat,
        layout: Layout::of(family),
        filtering: filtering(nat),
        outside_link: outside_link.to_ne_bytes().to_vec(),
    };
    let chain = |name, rules| Chain { name, hook: None, rules };
    let hooked = |name, hook, rules| Chain { name, hook: Some(hook), rules };
    const RAW: i32 = -300;
    let port = Register(0);
    let mut chains = vec![
        hooked("prerouting", Hook::Prerouting(RAW), rules.prerouting()),
        hooked("forward", Hook::Forward(0), rules.forward()),
        chain("gate", rules.gate()),
        chain("icmp-in", rules.icmp_in()),
        chain("icmp-out", rules.icmp_out()),
        chain("defragment", vec![vec![Expr::Set(port, vec![0; 4]), Expr::Defragment(port)]]),
    ];
    if nat.egress == Egress::Portal {
        chains.push(chain(PORTAL, vec![refuse(REFUSED)]));
    }
    let key = 4 * rules.layout.key_registers(rules.filtering);
    let flows = Set { name: FLOWS, key, value: None, lifetime: Some(nat.timeout), constant: Vec::new() };
    Table { family, counters: COUNTERS.to_vec(), sets: vec![flows], chains }
}

/// What a router translates it filters as it is told to; IPv6 beside that always by address and port.
pub(super) fn filtering(nat: &Nat) -> Filtering {
    match nat.translation {
        Translation::None => nat.filtering,
        Translation::Modelled | Translation::Masquerade { .. } => Filtering::AddressAndPortDependent,
    }
}

struct Firewall<'a> {
    nat: &'a Nat,
    layout: &'static Layout,
    filtering: Filtering,
    outside_link: Vec<u8>,
}

impl Firewall<'_> {
    /// Before routing: what comes from outside passes the gate or ends.
    fn prerouting(&self) -> Vec<Vec<Expr>> {
        vec![vec![
            Expr::LoadMeta(Meta::InputInterface, SCRATCH),
            Expr::Is(SCRATCH, self.outside_link.clone()),
            Expr::Verdict(Verdict::Goto("gate")),
        ]]
    }

    /// After routing: what goes outside opens the gate for its answers.
    fn forward(&self) -> Vec<Vec<Expr>> {
        let stays_inside = vec![
            Expr::LoadMeta(Meta::OutputInterface, SCRATCH),
            Expr::IsNot(SCRATCH, self.outside_link.clone()),
            Expr::Verdict(Verdict::Accept),
        ];
        let tcp = |open_or_close: Vec<Expr>| [is_protocol(TCP), open_or_close].concat();
        let mut rules = vec![stays_inside];
        rules.extend(self.egress());
        rules.extend([
            self.open(is_protocol(UDP), Flow::Outbound, self.nat.timeout),
            self.open(tcp(flags_none(FIN | SYN | RST)), Flow::Outbound, TCP_ESTABLISHED),
            self.open(tcp(flags_any(FIN | SYN | RST)), Flow::Outbound, TCP_TRANSITORY),
            [is_protocol(self.layout.icmp), vec![Expr::Verdict(Verdict::Goto("icmp-out"))]].concat(),
            refuse(UNTRANSLATABLE),
        ]);
        rules
    }

    /// What may not leave at all.
    fn egress(&self) -> Vec<Vec<Expr>> {
        const HTTPS: u16 = 443;
        let is_not_tcp =
            vec![Expr::LoadMeta(Meta::TransportProtocol, SCRATCH), Expr::IsNot(SCRATCH, vec![TCP])];
        let refused = |condition: Vec<Expr>| [condition, refuse(REFUSED)].concat();
        match self.nat.egress {
            Egress::Everything => Vec::new(),
            Egress::NoUdp => vec![refused(is_protocol(UDP))],
            Egress::HttpsOnly => vec![
                refused(is_not_tcp),
                refused(vec![
                    Expr::Load(DESTINATION_PORT, SCRATCH),
                    Expr::IsNot(SCRATCH, HTTPS.to_be_bytes().to_vec()),
                ]),
            ],
            Egress::Portal => vec![vec![Expr::Verdict(Verdict::Jump(PORTAL))]],
        }
    }

    /// From outside: what answers a flow of ours. A protocol without flows admits nothing.
    fn gate(&self) -> Vec<Vec<Expr>> {
        let accept = Expr::Verdict(Verdict::Accept);
        let to_icmp = vec![Expr::Verdict(Verdict::Goto("icmp-in"))];
        let mut rules = vec![[is_protocol(self.layout.icmp), to_icmp].concat()];
        if self.nat.inbound_refresh {
            let mut refreshed = is_protocol(UDP);
            refreshed.extend(self.known(Flow::Inbound));
            refreshed.push(self.refresh(self.nat.timeout));
            refreshed.push(accept.clone());
            rules.push(refreshed);
        }
        rules.push([self.known(Flow::Inbound), vec![accept]].concat());
        if self.nat.on_drop == OnDrop::Reject {
            let reset = vec![Expr::Count(FILTERED), Expr::Reject(Rejection::Reset)];
            rules.push([is_protocol(TCP), reset].concat());
            rules.push(vec![Expr::Count(FILTERED), Expr::Reject(Rejection::Prohibited)]);
        }
        rules.push(refuse(FILTERED));
        rules
    }

    /// From outside: the reply to an echo of ours, or an error about a packet of ours, to who sent it; what the link
    /// itself needs.
    fn icmp_in(&self) -> Vec<Vec<Expr>> {
        let mut reply = is_icmp(self.layout.echo_reply);
        reply.extend(self.known(Flow::EchoReply));
        reply.push(Expr::Verdict(Verdict::Accept));
        let mut rules = vec![reply];
        rules.extend(self.errors(Flow::QuotedOutbound));
        rules.extend(self.errors(Flow::QuotedEcho));
        rules.extend(self.layout.belongs_to_the_link());
        rules.push(refuse(FILTERED));
        rules
    }

    /// To outside: an echo opens the gate for its reply, an error must be about a packet that was admitted.
    fn icmp_out(&self) -> Vec<Vec<Expr>> {
        let mut rules = vec![self.open(is_icmp(self.layout.echo_request), Flow::Echo, ECHO_LIFETIME)];
        rules.extend(self.errors(Flow::QuotedInbound));
        rules.push(refuse(UNTRANSLATABLE));
        rules
    }

    /// The errors that quote a known flow, one rule for each kind; they neither refresh nor end it.
    fn errors(&self, about: Flow) -> Vec<Vec<Expr>> {
        let error = |&kind: &u8| {
            let mut rule = is_icmp(kind);
            rule.extend(self.known(about));
            rule.push(Expr::Verdict(Verdict::Accept));
            rule
        };
        self.layout.errors.iter().map(error).collect()
    }

    /// The rule by which an outbound packet opens, or keeps open, the gate.
    fn open(&self, condition: Vec<Expr>, flow: Flow, lifetime: Duration) -> Vec<Expr> {
        let mut rule = condition;
        rule.extend(self.layout.load(flow, self.filtering));
        rule.push(self.refresh(lifetime));
        rule.push(Expr::Verdict(Verdict::Accept));
        rule
    }

    fn refresh(&self, lifetime: Duration) -> Expr {
        Expr::Update { set: FLOWS, key: KEY, value: None, lifetime }
    }

    /// Holds where the flow has been opened.
    fn known(&self, flow: Flow) -> Vec<Expr> {
        let mut steps = self.layout.load(flow, self.filtering);
        steps.push(Expr::In(FLOWS, KEY));
        steps
    }
}

/// The flows of a router as its mapping table: a row for each inside socket, whose outside is itself.
pub(crate) fn mappings(nat: &Nat, family: Family, flows: &[Element]) -> MappingTable {
    let layout = Layout::of(family);
    let filtering = filtering(nat);
    let mut sockets: BTreeMap<(Protocol, SocketAddr), ([Duration; 2], BTreeSet<SocketAddr>)> =
        BTreeMap::new();
    for element in flows {
        let Some((protocol, inside, remote)) = layout.read(filtering, &element.key) else { continue };
        let idle = lifetime(nat, protocol, element.expires_in).saturating_sub(element.expires_in);
        let left = element.expires_in;
        let ([least, most], admits) =
            sockets.entry((protocol, inside)).or_insert(([idle, left], BTreeSet::new()));
        (*least, *most) = (idle.min(*least), left.max(*most));
        admits.extend(remote);
    }
    let entries = sockets.into_iter().map(|((protocol, inside), ([idle, left], admits))| Entry {
        protocol,
        inside,
        outside: inside,
        remote: None,
        idle,
        left,
        packets: None,
        admits: (filtering != Filtering::EndpointIndependent).then(|| admits.into_iter().collect()),
    });
    MappingTable { entries: entries.collect() }
}

/// The lifetime that a flow got when it was last refreshed: the shortest that is not yet over.
fn lifetime(nat: &Nat, protocol: Protocol, left: Duration) -> Duration {
    match protocol {
        Protocol::Udp => nat.timeout,
        Protocol::Echo => ECHO_LIFETIME,
        Protocol::Tcp if left <= TCP_TRANSITORY => TCP_TRANSITORY,
        Protocol::Tcp => TCP_ESTABLISHED,
    }
}
