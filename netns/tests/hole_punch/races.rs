//! What depends on who speaks first: plain `linux-masquerade` takes an unsolicited packet for its own, and with it the
//! ports, so that the host behind it is symmetric towards that peer from then on.

use netns::nat::{Access, Filtering, Mapping, Preset, direct_path, predict};

use crate::cell::{Cell, FORCED, Order};
use crate::verdict::{all_meet_as_said, behind, many, word};

const HASTY: Preset = Preset::LinuxMasquerade;

#[test]
fn a_plain_linux_router_ends_in_every_order_as_its_quirk_says() {
    let pairs: Vec<(Preset, Preset)> =
        Preset::ALL.into_iter().flat_map(|other| [(HASTY, other), (other, HASTY)]).collect();
    let wrong = many(&pairs, |&(first, second)| {
        let place =
            |name, preset: Preset| preset.nat().map_or_else(|| behind(&[]), |nat| behind(&[(name, nat)]));
        let vantages = [place("router", first), place("other router", second)];
        let cell = Cell::new([&vantages[0], &vantages[1]]);
        let ends = FORCED.map(|order| {
            let said = direct_path(
                towards(first, order != Order::FirstFirst && order != Order::Crossing),
                towards(second, order == Order::FirstFirst),
            );
            (word(&cell.punch(order)), said.via.first().map_or("none", |via| via.name()))
        });
        let is_race =
            ends.iter().any(|(_, said)| *said == "none") && ends.iter().any(|(_, said)| *said != "none");
        let said = predict(&vantages[0], &vantages[1]);
        let holds = ends.iter().all(|(seen, said)| seen == said) && said.race == is_race;
        (!holds).then(|| format!("{first} with {second}: (seen, said) {ends:?}, race {}", said.race))
    });
    let wrong: Vec<String> = wrong.into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_filters_outside_of_a_plain_linux_router_shields_it_and_what_does_not_leaves_the_race() {
    let linux = HASTY.nat().unwrap();
    let other = behind(&[("other", Preset::PortRestricted.nat().unwrap())]);
    let shielded = [Preset::AddressRestricted, Preset::PortRestricted]
        .map(|carrier| (behind(&[("home", linux), ("carrier", carrier.nat().unwrap())]), other.clone()));
    assert!(shielded.iter().all(|(first, second)| !predict(first, second).race));
    all_meet_as_said(&shielded);
    let full_cone = Preset::FullCone.nat().unwrap();
    for chain in [[("home", linux), ("carrier", full_cone)], [("home", full_cone), ("carrier", linux)]] {
        let open = behind(&chain);
        assert!(predict(&open, &other).race);
        let cell = Cell::new([&open, &other]);
        let ends = FORCED.map(|order| (order, word(&cell.punch(order))));
        let said = [(Order::FirstFirst, "srflx"), (Order::SecondFirst, "none"), (Order::Crossing, "srflx")];
        assert_eq!(ends, said, "{chain:?}");
    }
}

/// What the other side sees of it, whether or not that side has spoken first.
fn towards(preset: Preset, was_spoken_to: bool) -> Access {
    if preset == HASTY && was_spoken_to {
        Access::Translated(Mapping::AddressAndPortDependent, Filtering::AddressAndPortDependent)
    } else {
        preset.access()
    }
}
