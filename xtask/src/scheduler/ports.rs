//! Ports on loopback: not the registered ones of the schedulers, and below those the kernel gives out.

use std::net::TcpListener;

use anyhow::Context as _;

use super::place::Place;

const FIRST: [u16; 7] = [23710, 24310, 25110, 26210, 27310, 28410, 29510];

/// The first of `count` ports in a row. Those of the last start are kept where they are free, or in use by us.
pub(crate) fn block(place: &Place, count: u16, in_use: bool, offset: u16) -> anyhow::Result<u16> {
    let kept = place.read("ports").and_then(|text| text.parse().ok());
    if let Some(kept) = kept.filter(|&first| in_use || are_free(first, count)) {
        return Ok(kept);
    }
    let first = FIRST.into_iter().map(|first| first + offset).find(|&first| are_free(first, count));
    let first = first.with_context(|| format!("no {count} free ports in a row on 127.0.0.1"))?;
    place.write("ports", &format!("{first}\n"), 0o644)?;
    Ok(first)
}

fn are_free(first: u16, count: u16) -> bool {
    (first..first.saturating_add(count)).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok())
}
