//! `exec_host`: `h/3*2+g/0-3+m/1`, a host, the slots there, and how many cores each.

use cluster_core::dialect::{DialectError, HostCores};

/// Unfolds a list of hosts. Pieces of one host are put together, in the order of first appearance.
///
/// ```text
/// n1/3*2+n2/0-3+n1/1  →  n1: 3, n2: 4
/// ```
pub(crate) fn read(folded: &str) -> Result<Vec<HostCores>, DialectError> {
    let mut hosts: Vec<HostCores> = Vec::new();
    let mut places = std::collections::HashMap::new();
    let mut at = 0;
    if folded.is_empty() {
        return Ok(hosts);
    }
    for piece in folded.split('+') {
        let wrong = || DialectError::syntax("exec_host", folded.as_bytes(), at, "HOST/SLOT[*CORES]");
        let (host, cores) = match piece.split_once('/') {
            Some((host, slots)) => (host, Some(cores(slots).ok_or_else(wrong)?)),
            None => (piece, None),
        };
        if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(wrong());
        }
        at += piece.len() + 1;
        let place = *places.entry(host).or_insert_with(|| {
            hosts.push(HostCores { host: host.to_owned(), cores: None });
            hosts.len() - 1
        });
        if let (Some(known), Some(more)) = (hosts.get_mut(place), cores) {
            known.cores = Some(known.cores.unwrap_or(0).saturating_add(more));
        }
    }
    Ok(hosts)
}

/// All cores of a list, without unfolding it; `None` where it does not say them.
pub(crate) fn total(folded: &str) -> Option<u32> {
    if folded.is_empty() {
        return None;
    }
    folded.split('+').try_fold(0_u32, |sum, piece| {
        let (_, slots) = piece.split_once('/')?;
        Some(sum.saturating_add(cores(slots)?))
    })
}

/// `3` is one core, `3*2` two, `0-3,5` five.
fn cores(slots: &str) -> Option<u32> {
    let (slots, each) = match slots.split_once('*') {
        Some((slots, each)) => (slots, digits(each)?),
        None => (slots, 1),
    };
    let mut count = 0_u32;
    for span in slots.split(',') {
        let (first, last) = match span.split_once('-') {
            Some((first, last)) => (digits(first)?, digits(last)?),
            None => (digits(span)?, digits(span)?),
        };
        count = count.saturating_add(last.checked_sub(first)?.saturating_add(1));
    }
    Some(count.saturating_mul(each))
}

fn digits(text: &str) -> Option<u32> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}
