//! Other contents for a file, from a seed: what damage, and whoever means harm, could make of it.

/// A small generator (Steele, Lea and Flood 2014), so that a run can be repeated.
pub(crate) struct SplitMix(pub(crate) u64);

impl SplitMix {
    /// Any 64 bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`; zero for none.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.bits() % n.max(1) as u64).unwrap_or(0)
    }

    /// Another content for a file: bytes changed, a part missing, doubled, blank or moved.
    pub(crate) fn damage(&mut self, whole: &[u8]) -> Vec<u8> {
        let mut bytes = whole.to_vec();
        if bytes.is_empty() {
            return vec![0];
        }
        let (a, b) = (self.below(bytes.len()), self.below(bytes.len()));
        let (from, to) = (a.min(b), a.max(b));
        match self.below(8) {
            0 => bytes.truncate(a),
            1 => bytes.drain(from..to.min(from + 64)).for_each(drop),
            2 => bytes[from..to.min(from + 512)].fill(0),
            3 => bytes[from..to.min(from + 16)].fill(0xff),
            4 => bytes.swap(a, b),
            5 => {
                let part = bytes[from..to.min(from + 64)].to_vec();
                bytes.splice(from..from, part);
            }
            _ => {
                for _ in 0..=self.below(4) {
                    let place = self.below(bytes.len());
                    // Headers are where lengths stand: half of the damage goes there.
                    let place = if self.below(2) == 0 { place % 1024 % bytes.len() } else { place };
                    bytes[place] ^= u8::try_from(1 + self.below(255)).unwrap_or(1);
                }
            }
        }
        bytes
    }
}
