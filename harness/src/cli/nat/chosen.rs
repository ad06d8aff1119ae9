//! Which NATs are meant by the words of a command line: presets, and all that scenario files have.

use std::path::{Path, PathBuf};

use netns::nat::{Nat, Preset};

use crate::exit::Exit;
use crate::scenario::{Attached, LoadOptions, Look, NatChoice, Scenario, read, suggest};

/// A NAT and what it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chosen {
    pub(super) name: String,
    pub(super) nat: Nat,
}

/// What to say, and how to end.
#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) words: String,
    pub(super) exit: Exit,
}

/// Each NAT once, in the order in which it is first meant; all presets where nothing is named. `open` is no router.
pub(super) fn choose(names: &[String], look: Look) -> Result<Vec<Chosen>, Wrong> {
    if names.is_empty() {
        return Ok(Preset::ALL.into_iter().filter_map(of_preset).collect());
    }
    let mut chosen: Vec<Chosen> = Vec::new();
    let mut add = |one: Chosen| {
        if !chosen.contains(&one) {
            chosen.push(one);
        }
    };
    for name in names {
        match name.parse::<Preset>() {
            Ok(preset) => of_preset(preset).into_iter().for_each(&mut add),
            Err(_) if is_file(name) => of_file(name, look)?.into_iter().for_each(&mut add),
            Err(unknown) => {
                let known: Vec<&str> = Preset::ALL.into_iter().map(Preset::name).collect();
                let help = suggest(name, "presets", &known);
                return Err(Wrong {
                    words: format!("error: {unknown}\nhelp: {help}\n"),
                    exit: Exit::CommandLine,
                });
            }
        }
    }
    if chosen.is_empty() {
        let words = "there is no router to certify: who is `open` is behind none\n".to_owned();
        return Err(Wrong { words, exit: Exit::NothingSelected });
    }
    Ok(chosen)
}

fn of_preset(preset: Preset) -> Option<Chosen> {
    preset.nat().map(|nat| Chosen { name: preset.name().to_owned(), nat })
}

/// A word that cannot be the name of a preset, not even a mistyped one.
fn is_file(name: &str) -> bool {
    name.contains(['/', '.']) || Path::new(name).exists()
}

fn of_file(name: &str, look: Look) -> Result<Vec<Chosen>, Wrong> {
    // What is broken on purpose changes nothing of a NAT.
    let loaded = read(&[PathBuf::from(name)], LoadOptions { allow_break: true });
    if let Some(problems) = loaded.problems {
        return Err(Wrong { words: problems.render(look), exit: Exit::Invalid });
    }
    let choices = loaded.scenarios.iter().flat_map(choices);
    Ok(choices.filter_map(|choice| Some(Chosen { name: choice.label.clone(), nat: choice.nat? })).collect())
}

/// Every NAT of a scenario, also those that only its matrix has.
fn choices(scenario: &Scenario) -> impl Iterator<Item = &NatChoice> {
    let own = scenario.peers.iter().filter_map(|peer| match &peer.attached {
        Attached::Own(choice) => Some(choice),
        Attached::Public(_) | Attached::Lan(_) => None,
    });
    let networks = scenario.networks.iter().map(|network| &network.nat);
    networks.chain(own).chain(scenario.axes.iter().flat_map(|axis| &axis.values))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(words: &[&str]) -> Result<Vec<String>, Wrong> {
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        let look = Look::of(false, |_| None);
        choose(&words, look).map(|chosen| chosen.into_iter().map(|one| one.name).collect())
    }

    #[test]
    fn nothing_named_is_every_preset_that_has_a_router() {
        assert_eq!(names(&[]).unwrap().len(), Preset::ALL.len() - 1);
    }

    #[test]
    fn a_preset_that_is_named_twice_or_by_its_alias_is_meant_once() {
        let words = ["symmetric", "restricted-cone", "symmetric", "address-restricted"];
        assert_eq!(names(&words).unwrap(), ["symmetric", "address-restricted"]);
    }

    #[test]
    fn a_mistyped_preset_is_refused_and_the_nearest_one_named() {
        let wrong = names(&["symetric"]).unwrap_err();
        assert_eq!(wrong.words, "error: unknown NAT `symetric`\nhelp: did you mean `symmetric`?\n");
        assert_eq!(wrong.exit, Exit::CommandLine);
    }

    #[test]
    fn who_is_open_is_behind_no_router() {
        assert_eq!(names(&["open"]).unwrap_err().exit, Exit::NothingSelected);
        assert_eq!(names(&["open", "full-cone"]).unwrap(), ["full-cone"]);
    }

    #[test]
    fn a_file_stands_for_all_its_nats() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("three.yaml");
        let text = "name: three\nnetworks: { carrier: { nat: cgnat } }\npeers: { alice: { lan: carrier } }\n\
                    matrix: { bob.nat: [symmetric, open, full-cone] }\n\
                    transfer: { from: alice, to: bob, size: 1 KiB }\n";
        std::fs::write(&file, text).unwrap();
        let file = file.to_str().unwrap();
        assert_eq!(names(&[file]).unwrap(), ["cgnat", "symmetric", "full-cone"]);
        assert_eq!(names(&["no/such.yaml"]).unwrap_err().exit, Exit::Invalid);
    }
}
