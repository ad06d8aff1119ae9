//! All nine pairs of mapping and filtering (RFC 4787 sections 4.1 and 5), each exactly itself.

use std::collections::HashSet;

use netns::nat::Allocation::Random;
use netns::nat::Filtering::{self, AddressAndPortDependent as ApdFilter, EndpointIndependent as EiFilter};
use netns::nat::Mapping::{
    self, AddressAndPortDependent as Apd, AddressDependent as Ad, EndpointIndependent as Ei,
};
use netns::nat::Nat;
use rstest::rstest;

use super::home::{Home, at, hear, seen_by, tell};

#[rstest]
fn a_pair_maps_and_filters_as_it_says_and_shows_the_true_remote(
    #[values(Ei, Ad, Apd)] mapping: Mapping,
    #[values(EiFilter, Filtering::AddressDependent, ApdFilter)] filtering: Filtering,
) {
    let home = Home::of(Nat::new(mapping, filtering, Random), &["alice"]);
    let (alice, server) = (home.udp("alice", 5000), home.server());
    let outside = seen_by(&server[0], &alice);
    let (mut dropped, mut heard) = (0, 0);
    // First, other port, other address: which of them the filter admits to the mapping of the first.
    let admitted = [true, filtering != ApdFilter, filtering == EiFilter, filtering == EiFilter];
    for (stranger, admitted) in server.iter().zip(admitted) {
        tell(stranger, outside, "whom do you see?");
        if admitted {
            heard += 1;
            assert_eq!(hear(&alice), ("whom do you see?".to_owned(), at(stranger)));
        } else {
            dropped += 1;
            home.await_filtered(dropped);
        }
    }
    assert_eq!((home.filtered(), heard), (dropped, 4 - dropped));

    // Every packet out takes the port of its own key, also an answer to what has just come in.
    let seen = server.each_ref().map(|server| seen_by(server, &alice));
    let different = seen.iter().collect::<HashSet<_>>().len();
    assert_eq!(
        different,
        match mapping {
            Ei => 1,
            Ad => 2,
            Apd => 4,
        },
        "{seen:?}"
    );
    assert_eq!(seen[0], outside);
    assert_eq!(seen, server.each_ref().map(|server| seen_by(server, &alice)), "a key keeps its port");
    for (server, seen) in server.iter().zip(seen) {
        tell(server, seen, "an answer");
        assert_eq!(hear(&alice), ("an answer".to_owned(), at(server)));
    }
    assert_eq!(home.router().mappings().unwrap().entries.len(), different);
}
