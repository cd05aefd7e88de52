//! Random moments, which a failed test can be given again.

/// A small generator; its seed is in `$CLUSTER_SEED` or new, and printed.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// Seeds it and says by what.
    pub fn new() -> Self {
        let given = std::env::var("CLUSTER_SEED").ok().and_then(|text| text.parse().ok());
        let now =
            || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
        let seed = given.unwrap_or_else(now);
        eprintln!("CLUSTER_SEED={seed}");
        Self(seed | 1)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % end
    }

    /// Lets up to `longest` pass: what happens then happens at any moment.
    pub fn pass(&mut self, longest: std::time::Duration) {
        std::thread::sleep(longest.mul_f64(self.below(1 << 20) as f64 / f64::from(1 << 20)));
    }
}

impl Default for Random {
    fn default() -> Self {
        Self::new()
    }
}
