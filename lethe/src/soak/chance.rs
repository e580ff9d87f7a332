//! Numbers that follow from the seed, so that a plan can be carried out again.

/// SplitMix64 (Steele, Lea, Flood 2014): small, and good enough to choose a moment.
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn of(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Any number.
    pub(super) fn any(&mut self) -> u64 {
        self.next()
    }

    /// A number from 1 to `most`.
    pub(super) fn up_to(&mut self, most: usize) -> usize {
        let most = most.max(1) as u64;
        usize::try_from(1 + self.next() % most).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers_all_in_range() {
        let draw = |seed| {
            let mut chance = Chance::of(seed);
            std::array::from_fn::<_, 64, _>(|_| chance.up_to(10))
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        assert!((1..=10).all(|number| draw(7).contains(&number)), "{:?}", draw(7));
        assert!(draw(7).iter().all(|number| (1..=10).contains(number)));
    }
}
