//! Every class of NAT does what its name says, also where somebody tries hard to catch it at something else.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on ends there, also in the functions below it"
)]

mod contention;
mod filtering;
mod firewall;
mod firewall_v6;
mod hairpin;
mod home;
mod icmp;
mod mapping;
mod masquerade;
mod packets;
mod scale;
mod table;
mod tcp;

#[ctor::ctor(unsafe)]
fn enter() {
    netns::sandbox::enter_before_main();
}
