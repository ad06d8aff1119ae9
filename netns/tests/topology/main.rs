//! What is plugged into what, and who reaches whom by which way.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on ends there, also in the functions below it"
)]

mod firewall;
mod ipv6;
mod lan;
mod layers;
mod pool;
mod settings;
mod stun;
mod wire;

#[ctor::ctor(unsafe)]
fn enter() {
    netns::sandbox::enter_before_main();
}
