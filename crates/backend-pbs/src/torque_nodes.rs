//! `nodes=2:ppn=4+n7:ppn=2`: how many cores it asks for.

/// The cores of all parts; `None` where a part cannot be read.
pub(crate) fn cores(spec: &str) -> Option<u32> {
    if spec.is_empty() {
        return None;
    }
    spec.split('+').try_fold(0_u32, |sum, part| {
        let mut words = part.split(':');
        let first = words.next().filter(|word| !word.is_empty())?;
        // A number of nodes, or the name or property of one.
        let nodes = if first.bytes().all(|b| b.is_ascii_digit()) { first.parse().ok()? } else { 1_u32 };
        let ppn = match words.find_map(|word| word.strip_prefix("ppn=")) {
            Some(ppn) => ppn.parse().ok()?,
            None => 1_u32,
        };
        Some(sum.saturating_add(nodes.saturating_mul(ppn)))
    })
}
