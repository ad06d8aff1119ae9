//! Everybody with everybody, by the clock: all presets at five skews, the nine pairs of mapping and filtering at three.

use netns::nat::table::Protocol;
use netns::nat::{Nat, Preset, Translation, Vantage, predict};

use crate::cell::{Cell, HOSTS, Order, Seen};
use crate::verdict::{behind, judge, nine, shown, summary, table};

#[test]
fn every_two_presets_meet_or_not_as_the_oracle_says_at_every_skew() {
    let kinds: Vec<(String, Option<Nat>)> =
        Preset::ALL.into_iter().map(|preset| (preset.name().to_owned(), preset.nat())).collect();
    judge_table(&kinds, &[0, 50, 300, -50, -300], |_, _| Ok(()));
}

#[test]
fn all_81_pairs_of_mapping_and_filtering_meet_or_not_as_the_oracle_says_and_nobody_rewrites_a_source() {
    let name = |nat: &Nat| format!("{}/{}", short(nat.mapping.name()), short(nat.filtering.name()));
    let kinds: Vec<(String, Option<Nat>)> = nine().into_iter().map(|nat| (name(&nat), Some(nat))).collect();
    judge_table(&kinds, &[-50, 0, 50], |cell, seen| {
        sources_are_those_that_sent(cell, seen, 0)?;
        sources_are_those_that_sent(cell, seen, 1)
    });
}

/// One cell, as words.
struct Judged {
    seen: String,
    said: String,
    wrong: Vec<String>,
}

/// Punches every two kinds at every skew; `also` looks at each punch while its routers still remember it.
fn judge_table(
    kinds: &[(String, Option<Nat>)],
    skews: &[i64],
    also: impl Fn(&Cell, &Seen) -> Result<(), String> + Sync,
) {
    let vantage = |side: usize, nat: Option<Nat>| {
        let name = format!("{}.router", HOSTS[side]);
        nat.map_or_else(|| behind(&[]), |nat| behind(&[(&name, nat)]))
    };
    let cells = table(kinds, |(a, first), (b, second)| {
        let vantages: [Vantage; 2] = [vantage(0, *first), vantage(1, *second)];
        let said = predict(&vantages[0], &vantages[1]);
        let cell = Cell::new([&vantages[0], &vantages[1]]);
        let mut wrong = Vec::new();
        let seen: Vec<Seen> = skews
            .iter()
            .map(|&skew| {
                let seen = cell.punch(Order::Skew(skew));
                wrong.extend(also(&cell, &seen).err());
                seen
            })
            .collect();
        // What is a race is judged where the order is forced.
        if !said.race {
            wrong.extend(judge(&said, &seen).err());
        }
        let said = if said.race { "race" } else { said.via.first().map_or("none", |via| via.name()) };
        let wrong = wrong.into_iter().map(|why| format!("{a} with {b}: {why}")).collect();
        Judged { seen: summary(&seen), said: said.to_owned(), wrong }
    });
    let wrong: Vec<&str> = cells.iter().flatten().flat_map(|cell| &cell.wrong).map(String::as_str).collect();
    let names: Vec<String> = kinds.iter().map(|(name, _)| name.clone()).collect();
    let rows = |pick: fn(&Judged) -> &String| {
        let rows: Vec<Vec<&String>> = cells.iter().map(|row| row.iter().map(pick).collect()).collect();
        shown(&names, &rows)
    };
    let (seen, said) = (rows(|cell| &cell.seen), rows(|cell| &cell.said));
    println!("{seen}");
    assert!(wrong.is_empty(), "seen:\n{seen}\nsaid:\n{said}\n{}", wrong.join("\n"));
}

/// Every message that came to `side` shows the port that the other's router gave it for the very destination it was
/// sent to: nobody rewrote it on the way, and an answer too left by the port of its own mapping.
fn sources_are_those_that_sent(cell: &Cell, seen: &Seen, side: usize) -> Result<(), String> {
    let Some(router) =
        cell.outermost(1 - side).filter(|router| router.nat().translation == Translation::Modelled)
    else {
        return Ok(());
    };
    let mappings = router.mappings().unwrap();
    for heard in &seen.heard[side] {
        let is_its = mappings.entries.iter().any(|entry| {
            entry.protocol == Protocol::Udp
                && entry.outside == heard.from
                && entry.remote.is_none_or(|remote| {
                    remote.ip() == heard.to.ip() && [0, heard.to.port()].contains(&remote.port())
                })
        });
        if !is_its {
            return Err(format!("{:?}: no mapping has sent {heard:?}:\n{mappings}", seen.order));
        }
    }
    Ok(())
}

/// Initials: `EI`, `AD`, `APD`.
fn short(name: &str) -> String {
    let words = name.split('-').filter(|word| *word != "and");
    words.filter_map(|word| word.chars().next()).collect::<String>().to_uppercase()
}
