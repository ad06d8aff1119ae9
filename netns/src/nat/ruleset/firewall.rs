//! A stateful firewall: nothing is translated, and what comes in must answer what went out (RFC 6092). For the hosts of
//! a `firewall`, and for IPv6 behind every router that has it. All its state is one set, `flows`: who may send to whom.
//! Its key is the protocol, inside address and port, then by the filtering the remote address, the remote port.

mod layout;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use super::count::{Counted, Ways};
use super::packet::{FIN, RST, SYN, TCP, UDP, flags_any, flags_none, is_icmp, is_protocol};
use super::{COUNTERS, ECHO_LIFETIME, FILTERED, RAW, TCP_ESTABLISHED, TCP_TRANSITORY, UNTRANSLATABLE};
use super::{chain, growing, lifetime, policy, then};
use crate::nat::table::{Entry, MappingTable, Protocol};
use crate::nat::{Filtering, Nat, OnDrop, Translation};
use crate::netlink::nftables::{Chain, Element, Expr, Family, Hook, Meta, Register, Table, Verdict};
use layout::{Flow, KEY, Layout, SCRATCH};

pub(crate) const FLOWS: &str = "flows";
const CLOSING: &str = "closing";

/// The table of a router for this family, whose outside link has this index.
pub(super) fn table(nat: &Nat, family: Family, outside_link: u32) -> Table {
    let rules = Firewall {
        nat,
        layout: Layout::of(family),
        filtering: filtering(nat),
        outside_link: outside_link.to_ne_bytes().to_vec(),
    };
    let hooked = |name, hook, rules| Chain { name, hook: Some(hook), rules };
    let port = Register(0);
    let mut chains = vec![
        chain("defragment", vec![vec![Expr::Set(port, vec![0; 4]), Expr::Defragment(port)]]),
        hooked("prerouting", Hook::Prerouting(RAW), rules.prerouting()),
        hooked("forward", Hook::Forward(0), rules.forward()),
        chain("gate", rules.gate()),
        chain("tcp-out", rules.tcp_out()),
        chain("icmp-in", rules.icmp_in()),
        chain("icmp-out", rules.icmp_out()),
    ];
    chains.extend(policy::egress(nat));
    if nat.on_drop == OnDrop::Reject {
        chains.push(policy::rejections());
    }
    let key = 4 * rules.layout.key_registers(rules.filtering);
    let mut sets = vec![growing(FLOWS, key, None, Some(nat.timeout))];
    if rules.flows_are_sessions() {
        sets.push(growing(CLOSING, key, None, Some(TCP_TRANSITORY)));
    }
    Table { family, counters: COUNTERS.to_vec(), sets, chains }
}

/// What a router does not translate it filters as it is told to; IPv6 beside what it translates, by address and port.
fn filtering(nat: &Nat) -> Filtering {
    match nat.translation {
        Translation::None => nat.filtering,
        Translation::Modelled | Translation::Masquerade { .. } => Filtering::AddressAndPortDependent,
    }
}

/// What is counted of each flow, and where its key is.
pub(super) fn counted(nat: &Nat, family: Family) -> Ways {
    let (layout, filtering) = (Layout::of(family), filtering(nat));
    let way = |flow, echo, kind| {
        let counted =
            |condition, flow, lifetime| Counted { condition, key: layout.load(flow, filtering), lifetime };
        vec![
            counted(is_protocol(UDP), flow, nat.timeout),
            counted(is_protocol(TCP), flow, TCP_ESTABLISHED),
            counted(is_icmp(kind), echo, ECHO_LIFETIME),
        ]
    };
    Ways {
        key: KEY,
        key_registers: layout.key_registers(filtering),
        out: way(Flow::Outbound, Flow::Echo, layout.echo_request),
        back: way(Flow::Inbound, Flow::EchoReply, layout.echo_reply),
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
        let from_outside =
            vec![Expr::LoadMeta(Meta::InputInterface, SCRATCH), Expr::Is(SCRATCH, self.outside_link.clone())];
        vec![then(from_outside, Verdict::Goto("gate"))]
    }

    /// After routing: what goes outside opens the gate for its answers.
    fn forward(&self) -> Vec<Vec<Expr>> {
        let stays_inside = vec![
            Expr::LoadMeta(Meta::OutputInterface, SCRATCH),
            Expr::IsNot(SCRATCH, self.outside_link.clone()),
        ];
        let mut rules = vec![then(stays_inside, Verdict::Accept)];
        rules.extend(policy::asked(self.nat));
        rules.push(self.open(is_protocol(UDP), Flow::Outbound, self.nat.timeout));
        rules.push(then(is_protocol(TCP), Verdict::Goto("tcp-out")));
        rules.push(then(is_protocol(self.layout.icmp), Verdict::Goto("icmp-out")));
        rules.push(policy::refuse(self.nat, UNTRANSLATABLE));
        rules
    }

    /// A flow lives four minutes while its session opens or closes, and 2 hours 4 minutes in between (RFC 5382 REQ-5).
    /// One that several sessions share is never shortened: which of them still live, nobody counts.
    fn tcp_out(&self) -> Vec<Vec<Expr>> {
        let when =
            |condition: Vec<Expr>, steps: Vec<Expr>| [condition, self.load(Flow::Outbound), steps].concat();
        let lives = |lifetime| vec![refresh(FLOWS, lifetime), Expr::Verdict(Verdict::Accept)];
        let closes = refresh(CLOSING, TCP_TRANSITORY);
        let is_data = || flags_none(FIN | SYN | RST);
        if !self.flows_are_sessions() {
            let is_new = [vec![Expr::NotIn(FLOWS, KEY)], lives(TCP_TRANSITORY)].concat();
            return vec![
                when(is_data(), lives(TCP_ESTABLISHED)),
                when(Vec::new(), is_new),
                vec![Expr::Verdict(Verdict::Accept)],
            ];
        }
        vec![
            when(is_data(), [vec![Expr::NotIn(CLOSING, KEY)], lives(TCP_ESTABLISHED)].concat()),
            when(flags_any(SYN), vec![Expr::Delete { set: CLOSING, key: KEY }]),
            when(flags_any(FIN | RST), vec![closes.clone()]),
            // Data after a FIN keeps the session where it is.
            when(is_data(), vec![Expr::In(CLOSING, KEY), closes]),
            when(Vec::new(), lives(TCP_TRANSITORY)),
        ]
    }

    /// From outside: what answers a flow of ours. A protocol without flows admits nothing.
    fn gate(&self) -> Vec<Vec<Expr>> {
        let tcp = |flags: Vec<Expr>| [is_protocol(TCP), flags].concat();
        let mut rules = vec![then(is_protocol(self.layout.icmp), Verdict::Goto("icmp-in"))];
        if self.flows_are_sessions() {
            let steps = vec![refresh(CLOSING, TCP_TRANSITORY), refresh(FLOWS, TCP_TRANSITORY)];
            rules.push(self.admitted(tcp(flags_any(FIN | RST)), steps));
        }
        if self.nat.inbound_refresh {
            rules.push(self.admitted(is_protocol(UDP), vec![refresh(FLOWS, self.nat.timeout)]));
            let mut steps = vec![refresh(FLOWS, TCP_ESTABLISHED)];
            if self.flows_are_sessions() {
                steps.insert(0, Expr::NotIn(CLOSING, KEY));
            }
            rules.push(self.admitted(tcp(flags_none(FIN | SYN | RST)), steps));
        }
        rules.push(self.admitted(Vec::new(), Vec::new()));
        rules.push(policy::refuse(self.nat, FILTERED));
        rules
    }

    /// From outside: the reply to an echo of ours, or an error about a packet of ours, to who sent it; what the link
    /// itself needs.
    fn icmp_in(&self) -> Vec<Vec<Expr>> {
        let reply = [is_icmp(self.layout.echo_reply), self.known(Flow::EchoReply)].concat();
        let mut rules = vec![then(reply, Verdict::Accept)];
        rules.extend(self.errors(Flow::QuotedOutbound));
        rules.extend(self.errors(Flow::QuotedEcho));
        rules.extend(self.layout.belongs_to_the_link());
        rules.push(policy::refuse(self.nat, FILTERED));
        rules
    }

    /// To outside: an echo opens the gate for its reply, an error must be about a packet that was admitted.
    fn icmp_out(&self) -> Vec<Vec<Expr>> {
        let mut rules = vec![self.open(is_icmp(self.layout.echo_request), Flow::Echo, ECHO_LIFETIME)];
        rules.extend(self.errors(Flow::QuotedInbound));
        rules.push(policy::refuse(self.nat, UNTRANSLATABLE));
        rules
    }

    /// The errors that quote a known flow, one rule for each kind; they neither refresh nor end it.
    fn errors(&self, about: Flow) -> impl Iterator<Item = Vec<Expr>> {
        let known = self.known(about);
        let error = move |&kind: &u8| then([is_icmp(kind), known.clone()].concat(), Verdict::Accept);
        self.layout.errors.iter().map(error)
    }

    /// The rule by which an outbound packet opens, or keeps open, the gate.
    fn open(&self, condition: Vec<Expr>, flow: Flow, lifetime: Duration) -> Vec<Expr> {
        let steps = vec![refresh(FLOWS, lifetime)];
        then([condition, self.load(flow), steps].concat(), Verdict::Accept)
    }

    /// The rule that admits an answer where the steps hold, too.
    fn admitted(&self, condition: Vec<Expr>, steps: Vec<Expr>) -> Vec<Expr> {
        then([condition, self.known(Flow::Inbound), steps].concat(), Verdict::Accept)
    }

    /// Holds where the flow has been opened.
    fn known(&self, flow: Flow) -> Vec<Expr> {
        let mut steps = self.load(flow);
        steps.push(Expr::In(FLOWS, KEY));
        steps
    }

    fn load(&self, flow: Flow) -> Vec<Expr> {
        self.layout.load(flow, self.filtering)
    }

    /// Whether a flow of TCP is one session; else it may be several.
    fn flows_are_sessions(&self) -> bool {
        self.filtering == Filtering::AddressAndPortDependent
    }
}

fn refresh(set: &'static str, lifetime: Duration) -> Expr {
    Expr::Update { set, key: KEY, value: None, lifetime }
}

/// The flows of a router as its mapping table: a row for each inside socket, whose outside is itself.
///
/// `packets` has those of each flow, where they are counted.
pub(crate) fn mappings(
    nat: &Nat,
    family: Family,
    flows: &[Element],
    packets: Option<&[Element]>,
) -> MappingTable {
    let layout = Layout::of(family);
    let filtering = filtering(nat);
    let mut sockets: BTreeMap<(Protocol, SocketAddr), ([Duration; 2], BTreeSet<SocketAddr>)> =
        BTreeMap::new();
    let mut carried: BTreeMap<(Protocol, SocketAddr), u64> = BTreeMap::new();
    for element in packets.unwrap_or_default() {
        let Some((protocol, inside, _)) = layout.read(filtering, &element.key) else { continue };
        *carried.entry((protocol, inside)).or_default() += element.packets;
    }
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
        packets: packets.map(|_| carried.get(&(protocol, inside)).copied().unwrap_or_default()),
        admits: (filtering != Filtering::EndpointIndependent).then(|| admits.into_iter().collect()),
    });
    MappingTable { entries: entries.collect() }
}
