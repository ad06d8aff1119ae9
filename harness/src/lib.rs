//! The natlab harness: what people touch.
pub mod peer;
