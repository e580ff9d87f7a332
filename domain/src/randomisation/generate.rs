//! Stratified permuted blocks, as a pure function of a seed.
//!
//! Written down so that anybody can repeat it in any language (`docs/adr/0022-randomisation-and-blinding.md`):
//!
//! - *Words*: block `k` = 0, 1, … of 32 bytes is SHA-256 of the text `lethe randomisation 1`, a zero byte, the 32 bytes of
//!   the seed and `k` as 8 bytes, high byte first. Each block gives eight words of 4 bytes, high byte first.
//! - *Below n*: take words until one is below the largest multiple of n that is not above 2³²; its remainder by n.
//! - *A stratum*: until it has as many slots as were asked for: choose a block size (its index is *below* the number of
//!   sizes); lay out each arm, in order, weight × size ÷ sum of weights times; for i from the last place down to the second,
//!   swap it with place *below i + 1*. The last block stays whole.
//! - *Strata* come in order, the levels of the last factor changing fastest, from one run of words.

use super::Seed;
use crate::design::content_hash;

const WORDS: &[u8] = b"lethe randomisation 1\0";

/// A run of random words that a seed stands for.
struct Words {
    seed: Seed,
    block: u64,
    left: Vec<u32>,
}

impl Words {
    fn next(&mut self) -> u32 {
        loop {
            if let Some(word) = self.left.pop() {
                return word;
            }
            let mut bytes = WORDS.to_vec();
            bytes.extend_from_slice(&self.seed.0.0);
            bytes.extend_from_slice(&self.block.to_be_bytes());
            self.block += 1;
            let block = content_hash(&bytes).0;
            // Taken from the end, so that the first comes first.
            self.left =
                block.rchunks(4).map(|four| four.iter().fold(0, |word, byte| word << 8 | u32::from(*byte))).collect();
        }
    }

    /// Every number below `n` as likely as any other.
    fn below(&mut self, n: u32) -> u32 {
        let limit = (1_u64 << 32) / u64::from(n) * u64::from(n);
        loop {
            let word = self.next();
            if u64::from(word) < limit {
                return word % n;
            }
        }
    }
}

/// The arms of every slot, stratum by stratum. Each block size is a multiple of the sum of the weights, which are above zero.
pub(super) fn permuted_blocks(seed: Seed, weights: &[u32], sizes: &[u32], strata: usize, slots: u32) -> Vec<Vec<u32>> {
    let mut words = Words { seed, block: 0, left: Vec::new() };
    (0..strata).map(|_| stratum(&mut words, weights, sizes, slots)).collect()
}

fn stratum(words: &mut Words, weights: &[u32], sizes: &[u32], slots: u32) -> Vec<u32> {
    let sum: u32 = weights.iter().sum();
    let mut all = Vec::new();
    while all.len() < slots as usize {
        let size = sizes[words.below(sizes.len() as u32) as usize];
        let arms = (0..).zip(weights);
        let mut block: Vec<u32> =
            arms.flat_map(|(arm, weight)| std::iter::repeat_n(arm, (weight * (size / sum)) as usize)).collect();
        for last in (1..block.len()).rev() {
            block.swap(last, words.below(last as u32 + 1) as usize);
        }
        all.extend(block);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::CommitHash;
    use proptest::prelude::*;

    /// The expected lists come from another program, written from the description above.
    #[test]
    fn a_seed_stands_for_its_list() {
        let ordered: [u8; 32] = std::array::from_fn(|n| n as u8);
        let seed = |bytes| Seed(CommitHash(bytes));
        let one = permuted_blocks(seed([7; 32]), &[1, 1], &[4], 1, 12);
        assert_eq!(one, [[0, 1, 0, 1, 0, 1, 0, 1, 1, 1, 0, 0]]);
        let two = permuted_blocks(seed(ordered), &[2, 1], &[3, 6], 2, 8);
        assert_eq!(two, [[1, 0, 0, 0, 1, 0, 0, 1, 0], [0, 1, 0, 0, 0, 1, 0, 0, 1]]);
    }

    proptest! {
        /// Whoever stops counting anywhere: no arm is ahead of its share by more than one block can hold of it; at the
        /// end of each stratum every arm has exactly its share.
        #[test]
        fn every_stratum_is_balanced(
            seed in any::<[u8; 32]>(), weights in prop::collection::vec(1..4_u32, 2..4), slots in 1..60_u32,
        ) {
            let sum: u32 = weights.iter().sum();
            let sizes = [sum, 2 * sum];
            for arms in permuted_blocks(Seed(CommitHash(seed)), &weights, &sizes, 3, slots) {
                prop_assert!(arms.len() >= slots as usize && arms.len() < (slots + 2 * sum) as usize);
                for end in 0..=arms.len() {
                    for (arm, weight) in (0..).zip(&weights) {
                        let has = arms[..end].iter().filter(|one| **one == arm).count() as f64;
                        let share = end as f64 * f64::from(*weight) / f64::from(sum);
                        prop_assert!((has - share).abs() <= f64::from(2 * weight), "{has} of {share}");
                        prop_assert!(end < arms.len() || has == share);
                    }
                }
            }
        }
    }
}
