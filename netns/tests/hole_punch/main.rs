//! Two hosts punch holes with raw UDP, as full ICE does with peer-reflexive candidates: whatever is between them, they
//! meet or not, and by the candidates, that the oracle says, whoever speaks first.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on ends there, also in the functions below it"
)]

mod agent;
mod cell;
mod families;
mod layers;
mod races;
mod tables;
mod verdict;

#[ctor::ctor(unsafe)]
fn enter() {
    netns::sandbox::enter_before_main();
}
