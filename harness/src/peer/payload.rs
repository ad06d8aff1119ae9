//! The bytes of a transfer: drawn from a seed, the same on every machine, never all in memory.

use bytes::Bytes;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use super::control::Seed;

/// As many bytes of the key stream as are drawn at once: a whole number of ChaCha words, or bytes would be skipped.
const BLOCK: usize = 4_096;

/// `size` bytes of the ChaCha20 key stream whose key is `seed` and whose nonce and counter start at zero. Taken in
/// chunks of any size, they are the same bytes.
pub(super) struct Payload {
    stream: ChaCha20Rng,
    block: [u8; BLOCK],
    /// How much of `block` has been given out.
    used: usize,
    left: u64,
}

impl Payload {
    /// All of it is still to be taken.
    pub(super) fn new(seed: Seed, size: u64) -> Self {
        Self { stream: ChaCha20Rng::from_seed(seed.0), block: [0; BLOCK], used: BLOCK, left: size }
    }

    /// The next `most` bytes, or what is left; `None` at the end.
    pub(super) fn chunk(&mut self, most: usize) -> Option<Bytes> {
        let length = usize::try_from(self.left).map_or(most, |left| left.min(most));
        if length == 0 {
            return None;
        }
        let mut chunk = Vec::with_capacity(length);
        while chunk.len() < length {
            if self.used == BLOCK {
                self.stream.fill_bytes(&mut self.block);
                self.used = 0;
            }
            let take = (BLOCK - self.used).min(length - chunk.len());
            chunk.extend_from_slice(&self.block[self.used..self.used + take]);
            self.used += take;
        }
        self.left -= length as u64;
        Some(chunk.into())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn the_payload_is_the_chacha20_key_stream_of_rfc_8439() {
        // Appendix A.1, test vector 1: key, nonce and counter zero.
        let expected =
            [0x76, 0xb8, 0xe0, 0xad, 0xa0, 0xf1, 0x3d, 0x90, 0x40, 0x5d, 0x6a, 0xe5, 0x53, 0x86, 0xbd, 0x28];
        let mut payload = Payload::new(Seed([0; 32]), 16);
        assert_eq!(payload.chunk(100).as_deref(), Some(&expected[..]));
        assert_eq!(payload.chunk(100), None);
    }

    proptest! {
        #[test]
        fn chunking_changes_neither_the_bytes_nor_their_hash(
            seed: [u8; 32],
            size in 0_u64..40_000,
            chunks in proptest::collection::vec(1_usize..9_000, 1..8),
        ) {
            let whole = taken(seed, size, &[usize::MAX]);
            let parts = taken(seed, size, &chunks);
            prop_assert_eq!(whole.len() as u64, size);
            prop_assert_eq!(Sha256::digest(&whole), Sha256::digest(&parts));
            prop_assert_eq!(whole, parts);
        }

        #[test]
        fn another_seed_gives_other_bytes(one: [u8; 32], other: [u8; 32]) {
            prop_assume!(one != other);
            prop_assert_ne!(taken(one, 64, &[64]), taken(other, 64, &[64]));
        }
    }

    fn taken(seed: [u8; 32], size: u64, chunks: &[usize]) -> Vec<u8> {
        let mut payload = Payload::new(Seed(seed), size);
        let mut sizes = chunks.iter().cycle();
        let mut bytes = Vec::new();
        while let Some(chunk) = payload.chunk(*sizes.next().unwrap()) {
            bytes.extend_from_slice(&chunk);
        }
        bytes
    }
}
