//! What is expected of two peers in one case: what the file says, the rest filled in by the oracle.

use std::time::Duration;

use netns::nat::{CandidateType, Path, Vantage, predict};

use super::Pair;

/// When two peers that start at once have discovered each other, unless the file says otherwise.
const DISCOVERED_WITHIN: Duration = Duration::from_secs(5);
/// When they are connected.
const CONNECTED_WITHIN: Duration = Duration::from_secs(10);

/// Everything that is expected of two peers. Times count from the start of the case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expectation {
    /// When both have discovered each other at the latest.
    pub discovered_within: Duration,
    /// When they are connected at the latest; without meaning where no path is expected.
    pub connected_within: Duration,
    /// The kind of path, or that there is none.
    pub path: Path,
    /// Which candidate types may be the most indirect of the four selected; empty where no path is expected.
    pub via: Vec<CandidateType>,
    /// Whether every file must arrive, byte for byte.
    pub file: bool,
    /// What the oracle says; another word than `path` where the file insists on something else.
    pub predicted: Path,
    /// Whether it is a matter of who speaks first, or of chance, whether there is a path, and the file does not insist on
    /// one: then what comes of it is recorded and not judged.
    pub race: bool,
    /// Why the oracle says so, with the names of the peers.
    pub reason: String,
    /// Why, in the words of the file.
    pub because: Option<String>,
    /// The line of the file at which a broken expectation is told.
    pub line: usize,
}

/// What is expected of `pair` when its peers, offerer first, stand here and the later one starts at `start`; `sends`
/// tells whether a file goes between them.
pub(super) fn expectation(
    pair: &Pair,
    [offerer, answerer]: &[Vantage; 2],
    start: Duration,
    sends: bool,
) -> Expectation {
    let wanted = &pair.wanted;
    let prediction = predict(offerer, answerer);
    let path = wanted.path.unwrap_or(prediction.path);
    let via = match path {
        Path::None => Vec::new(),
        _ if !wanted.via.is_empty() => wanted.via.clone(),
        _ if prediction.path == path => prediction.via.to_vec(),
        _ => vec![CandidateType::Host, CandidateType::ServerReflexive, CandidateType::PeerReflexive],
    };
    let (discovered, connected) = (DISCOVERED_WITHIN + start, CONNECTED_WITHIN + start);
    Expectation {
        discovered_within: wanted
            .discovered_within
            .unwrap_or(discovered.min(wanted.connected_within.unwrap_or(discovered))),
        connected_within: wanted
            .connected_within
            .unwrap_or(connected.max(wanted.discovered_within.unwrap_or(connected))),
        path,
        via,
        file: sends && path != Path::None,
        predicted: prediction.path,
        race: prediction.race && wanted.path.is_none(),
        reason: prediction.reason.words(&pair.offerer, &pair.answerer),
        because: wanted.because.clone(),
        line: pair.line,
    }
}

#[cfg(test)]
mod tests {
    use netns::nat::{Family, Preset};
    use rstest::rstest;

    use super::super::Wanted;
    use super::*;

    #[rstest]
    #[case(Preset::FullCone, Preset::PortRestricted, Path::Direct, &["srflx", "prflx"], true)]
    #[case(Preset::Symmetric, Preset::FullCone, Path::Direct, &["prflx"], true)]
    #[case(Preset::Symmetric, Preset::Symmetric, Path::None, &[], false)]
    #[case(Preset::Open, Preset::Open, Path::Direct, &["host", "srflx", "prflx"], true)]
    fn the_oracle_fills_in_what_the_file_leaves_out(
        #[case] first: Preset,
        #[case] second: Preset,
        #[case] path: Path,
        #[case] via: &[&str],
        #[case] file: bool,
    ) {
        let expected = expected(Wanted::default(), first, second);
        let kinds: Vec<&str> = expected.via.iter().map(|kind| kind.name()).collect();
        assert_eq!((expected.path, kinds.as_slice(), expected.file), (path, via, file));
        assert_eq!(expected.discovered_within, Duration::from_secs(7), "5s and the later start");
        assert_eq!(expected.connected_within, Duration::from_secs(12), "10s and the later start");
    }

    #[test]
    fn what_the_file_says_wins_over_the_oracle_and_the_oracle_is_still_told() {
        let wanted = Wanted { path: Some(Path::Direct), ..Wanted::default() };
        let expected = expected(wanted, Preset::Symmetric, Preset::Symmetric);
        assert_eq!((expected.path, expected.predicted), (Path::Direct, Path::None));
        assert_eq!(expected.via.len(), 3, "any candidate but a relayed one");
        assert!(expected.file);
    }

    #[test]
    fn a_default_never_contradicts_the_other_time_that_the_file_gives() {
        let soon = Wanted { connected_within: Some(Duration::from_secs(3)), ..Wanted::default() };
        assert_eq!(expected(soon, Preset::Open, Preset::Open).discovered_within, Duration::from_secs(3));
        let late = Wanted { discovered_within: Some(Duration::from_secs(60)), ..Wanted::default() };
        assert_eq!(expected(late, Preset::Open, Preset::Open).connected_within, Duration::from_secs(60));
    }

    fn expected(wanted: Wanted, first: Preset, second: Preset) -> Expectation {
        let pair = Pair { offerer: "alice".to_owned(), answerer: "bob".to_owned(), wanted, line: 4 };
        let vantage = |name: &str, preset: Preset| {
            let routers = preset.nat().map(|nat| (name.to_owned(), nat)).into_iter().collect();
            Vantage { routers, family: Family::Ipv4 }
        };
        expectation(&pair, &[vantage("a", first), vantage("b", second)], Duration::from_secs(2), true)
    }
}
