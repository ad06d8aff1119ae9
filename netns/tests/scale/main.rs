//! How many routers one lab can have, and how many labs one machine.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on ends there, also in the functions below it"
)]

mod routers;

#[ctor::ctor(unsafe)]
fn enter() {
    netns::sandbox::enter_before_main();
}
