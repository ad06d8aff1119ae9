//! A lab of Linux network namespaces.
pub mod nat;
