//! What depends on who speaks first: plain `linux-masquerade` takes an unsolicited packet for its own, and with it the
//! ports, so that the host behind it is symmetric towards that peer from then on.

use netns::nat::{Access, Filtering, Mapping, Preset, direct_path, predict};

use crate::cell::{Cell, FORCED, Order};
use crate::verdict::{behind, many, word};

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

/// What the other side sees of it, whether or not that side has spoken first.
fn towards(preset: Preset, was_spoken_to: bool) -> Access {
    if preset == HASTY && was_spoken_to {
        Access::Translated(Mapping::AddressAndPortDependent, Filtering::AddressAndPortDependent)
    } else {
        preset.access()
    }
}
