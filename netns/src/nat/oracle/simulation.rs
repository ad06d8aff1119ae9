//! A second opinion on the oracle: tiny NATs with tables, and two ICE agents that send checks through them. It knows
//! nothing of classes and layers; where it and `predict` differ one of them is wrong.

mod agent;
mod network;

use super::{CandidateType, Path, Prediction, Vantage, predict};
use crate::nat::{
    Allocation, Egress, Family, Filtering, Hairpin, Mapping, Nat, Pooling, Preset, Translation,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use agent::Agent;
use network::{Endpoint, Network};

/// Who speaks when, in rounds of checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// One after the other, the first first.
    FirstFirst,
    /// The second first.
    SecondFirst,
    /// Both send before anything arrives.
    Crossing,
}

const ORDERS: [Order; 3] = [Order::FirstFirst, Order::SecondFirst, Order::Crossing];
/// How often the early one speaks alone.
const HEAD_START: usize = 3;
const ROUNDS: usize = 8;

/// The most indirect candidate of the best pair that both sides had an answer on; `None` if there is no such pair.
fn simulate(first: &Vantage, second: &Vantage, order: Order, luck: bool) -> Option<CandidateType> {
    let mut network = Network::new(luck);
    let hosts = [first, second].map(|vantage| network.plug_in(&vantage.routers));
    let reflexive = hosts.map(|host| network.stun(host));
    let candidates =
        |me: usize| [Some(hosts[me]), reflexive[me]].into_iter().flatten().collect::<Vec<Endpoint>>();
    let mut agents = [0, 1].map(|me| Agent::new(hosts[me], candidates(me), candidates(1 - me)));
    for round in 0..ROUNDS {
        let speaks = match order {
            Order::FirstFirst => [true, round >= HEAD_START],
            Order::SecondFirst => [round >= HEAD_START, true],
            Order::Crossing => [true, true],
        };
        for me in if order == Order::SecondFirst { [1, 0] } else { [0, 1] } {
            if speaks[me] {
                agents[me].check(&mut network);
            }
            if order != Order::Crossing {
                deliver(&mut network, &mut agents);
            }
        }
        deliver(&mut network, &mut agents);
    }
    let [a, b] = agents.map(|agent| agent.best());
    Some(a?.max(b?))
}

fn deliver(network: &mut Network, agents: &mut [Agent; 2]) {
    while let Some(packet) = network.arrives() {
        if let Some(agent) = agents.iter_mut().find(|agent| agent.host == packet.to) {
            agent.handle(packet, network);
        }
    }
}

/// Holds the oracle against the simulation.
fn compare(first: &Vantage, second: &Vantage) {
    let said = predict(first, second);
    let runs = |luck| ORDERS.map(|order| simulate(first, second, order, luck));
    let seen = [runs(false), runs(true)].concat();
    let told =
        || format!("{}\n{first:?}\n{second:?}\nsaid {said:?}\nseen {seen:?}", said.reason.words("A", "B"));
    if said.race {
        // The draws of one simulation may all be lucky.
        let by_chance = said.path == Path::None;
        let meets = seen.iter().any(Option::is_some);
        assert!(meets && (by_chance || seen.iter().any(Option::is_none)), "no race: {}", told());
        return;
    }
    match said.path {
        Path::None => assert!(seen.iter().all(Option::is_none), "{}", told()),
        Path::Lan => assert!(seen.iter().all(|via| *via == Some(CandidateType::Host)), "{}", told()),
        Path::Direct | Path::Relayed => {
            let allowed = |via: &Option<CandidateType>| via.is_some_and(|via| said.via.contains(&via));
            assert!(seen.iter().all(allowed), "{}", told());
            // And it promises no candidate that cannot be.
            assert!(seen.iter().any(|via| via.as_ref() == said.via.first()), "{}", told());
        }
    }
    assert_eq!(
        mirrored(&predict(second, first)),
        mirrored(&said),
        "the order of the two matters: {}",
        told()
    );
}

fn mirrored(said: &Prediction) -> (Path, &[CandidateType], bool) {
    (said.path, said.via, said.race)
}

const MAPPINGS: [Mapping; 3] =
    [Mapping::EndpointIndependent, Mapping::AddressDependent, Mapping::AddressAndPortDependent];
const FILTERINGS: [Filtering; 3] =
    [Filtering::EndpointIndependent, Filtering::AddressDependent, Filtering::AddressAndPortDependent];

fn nine() -> Vec<Nat> {
    let pairs = MAPPINGS.into_iter().flat_map(|m| FILTERINGS.map(|f| Nat::new(m, f, Allocation::Random)));
    pairs.collect()
}

/// Every kind of router there is, as far as it matters to two hosts.
fn kinds() -> Vec<Nat> {
    let mut kinds = nine();
    let others =
        [Preset::Firewall, Preset::LinuxMasquerade, Preset::LinuxMasqueradeInputDrop, Preset::UdpBlocked];
    kinds.extend(others.iter().filter_map(|preset| preset.nat()));
    kinds.extend(FILTERINGS.map(|filtering| Nat { translation: Translation::None, filtering, ..kinds[0] }));
    kinds
}

/// All hosts behind up to this many routers of these kinds; `name` tells the routers apart.
fn behind(name: &str, kinds: &[Nat], depth: usize) -> Vec<Vec<(String, Nat)>> {
    let mut all = vec![Vec::new()];
    let mut layer = all.clone();
    for level in 0..depth {
        let with = |inner: &Vec<(String, Nat)>, nat: &Nat| {
            [inner.as_slice(), &[(format!("{name}{level}"), *nat)]].concat()
        };
        layer = layer.iter().flat_map(|inner| kinds.iter().map(move |nat| with(inner, nat))).collect();
        all.extend(layer.iter().cloned());
    }
    all
}

fn vantage(own: &[(String, Nat)], shared: &[(String, Nat)]) -> Vantage {
    Vantage { routers: [own, shared].concat(), family: Family::Ipv4 }
}

#[test]
fn the_oracle_and_the_simulation_agree_on_every_two_kinds_of_router() {
    let all = behind("r", &kinds(), 1);
    for first in &all {
        for second in behind("s", &kinds(), 1) {
            compare(&vantage(first, &[]), &vantage(&second, &[]));
        }
    }
}

#[test]
fn they_agree_on_a_router_behind_a_router() {
    for first in behind("r", &kinds(), 2) {
        for second in behind("s", &kinds(), 1) {
            compare(&vantage(&first, &[]), &vantage(&second, &[]));
        }
    }
}

#[test]
fn they_agree_on_two_layers_on_both_sides() {
    let all = behind("r", &nine(), 2);
    for (index, first) in all.iter().enumerate() {
        for second in behind("s", &nine(), 2).iter().skip(index) {
            compare(&vantage(first, &[]), &vantage(second, &[]));
        }
    }
}

#[test]
fn they_agree_on_pools_of_addresses() {
    let pooling = [Pooling::Paired, Pooling::Arbitrary];
    let pools =
        nine().into_iter().flat_map(|nat| pooling.map(|pooling| Nat { pooling, addresses: 3, ..nat }));
    let pools: Vec<Nat> = pools.collect();
    for pool in &pools {
        for second in [nine(), pools.clone()].concat() {
            let first = vantage(&[("pool".to_owned(), *pool)], &[]);
            let second = vantage(&[("other".to_owned(), second)], &[]);
            compare(&first, &second);
            let unlucky = ORDERS.map(|order| simulate(&first, &second, order, false));
            assert!(!predict(&first, &second).race || unlucky.contains(&None), "{first:?} {second:?}");
        }
    }
}

#[test]
fn they_agree_on_two_homes_in_one_building_behind_one_carrier() {
    let homes = [0, 1, 2, 4, 8].map(|kind| nine()[kind]);
    let hairpins = [Hairpin::Off, Hairpin::External, Hairpin::Internal];
    for carrier in nine().into_iter().flat_map(|nat| hairpins.map(|hairpin| Nat { hairpin, ..nat })) {
        for building in kinds() {
            let shared = [("building".to_owned(), building), ("carrier".to_owned(), carrier)];
            let all = behind("r", &homes, 1);
            for (index, first) in all.iter().enumerate() {
                for second in behind("s", &homes, 1).iter().skip(index.max(1)) {
                    compare(&vantage(first, &shared), &vantage(second, &shared));
                }
            }
        }
    }
}

#[test]
fn they_agree_on_two_hosts_behind_one_carrier_however_it_turns_packets() {
    for carrier in kinds() {
        for hairpin in [Hairpin::Off, Hairpin::External, Hairpin::Internal] {
            let shared = [("carrier".to_owned(), Nat { hairpin, ..carrier })];
            for first in behind("r", &kinds(), 1) {
                for second in behind("s", &kinds(), 1) {
                    if !first.is_empty() || !second.is_empty() {
                        compare(&vantage(&first, &shared), &vantage(&second, &shared));
                    }
                }
            }
        }
    }
}

fn any_router() -> impl Strategy<Value = Nat> {
    let by = prop_oneof![
        4 => Just(Translation::Modelled),
        1 => Just(Translation::None),
        1 => any::<bool>().prop_map(|input_drop| Translation::Masquerade { input_drop }),
    ];
    let class = (select(&MAPPINGS[..]), select(&FILTERINGS[..]));
    let hairpin = select(&[Hairpin::Off, Hairpin::External, Hairpin::Internal][..]);
    let pool = (1..4_u8, select(&[Pooling::Paired, Pooling::Arbitrary][..]));
    let egress = prop_oneof![8 => Just(Egress::Everything), 1 => Just(Egress::NoUdp)];
    (by, class, hairpin, pool, egress).prop_map(
        |(translation, (mapping, filtering), hairpin, (addresses, pooling), egress)| match translation {
            Translation::Modelled => {
                let nat = Nat::new(mapping, filtering, Allocation::Random);
                Nat { hairpin, addresses, pooling, egress, ..nat }
            }
            Translation::None => Nat { translation, filtering, egress, ..kinds()[2] },
            Translation::Masquerade { .. } => Nat { translation, ..kinds()[2] },
        },
    )
}

fn any_chain(name: &'static str, most: usize) -> impl Strategy<Value = Vec<(String, Nat)>> {
    let named = move |(index, nat)| (format!("{name} {index}"), nat);
    vec(any_router(), 0..=most).prop_map(move |nats| nats.into_iter().enumerate().map(named).collect())
}

proptest! {
    #[test]
    fn they_agree_on_any_chains_of_any_routers(
        first in any_chain("first", 2),
        second in any_chain("second", 2),
        shared in any_chain("shared", 2),
    ) {
        compare(&vantage(&first, &shared), &vantage(&second, &shared));
    }
}
