//! The corpus of the fuzz target `units`, this crate's part of it and that of `cluster-core`.

#[allow(unreachable_pub)] // it is a part of the crate of the fuzz targets
#[path = "../../../fuzz/src/units.rs"]
mod entry;

#[test]
fn what_is_read_is_written_as_what_is_read() {
    let seeds = entry::seeds();
    assert!(seeds.len() > 40);
    for seed in &seeds {
        entry::check(seed);
        // Cut anywhere and with one byte bent, too.
        for at in 1..seed.len() {
            entry::check(&seed[..at]);
            let mut bent = seed.clone();
            bent[at] ^= 0x10;
            entry::check(&bent);
        }
    }
    entry::write(&seeds);
}
