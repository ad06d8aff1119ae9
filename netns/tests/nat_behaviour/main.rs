//! Every class of NAT does what its name says, also where somebody tries hard to catch it at something else.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on ends there, also in the functions below it"
)]

mod allocation;
mod contention;
mod egress;
mod filtering;
mod firewall;
mod firewall_tcp;
mod firewall_v6;
mod grid;
mod hairpin;
mod home;
mod icmp;
mod icmp_errors;
mod lifetime;
mod mapping;
mod masquerade;
mod packets;
mod pool;
mod reject;
mod scale;
mod table;
mod tcp;
mod tcp_timers;

#[ctor::ctor(unsafe)]
fn enter() {
    netns::sandbox::enter_before_main();
}
