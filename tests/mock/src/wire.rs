//! Frames between client, daemon and step: a kind, a length, bytes; and lists of byte strings inside them.

use std::io::{self, Read, Write};

/// The largest frame that is taken, in bytes.
const LIMIT: u32 = 256 << 20;

/// Writes one frame.
pub fn send(to: &mut impl Write, kind: u8, bytes: &[u8]) -> io::Result<()> {
    let length = u32::try_from(bytes.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut frame = Vec::with_capacity(bytes.len() + 5);
    frame.push(kind);
    frame.extend_from_slice(&length.to_le_bytes());
    frame.extend_from_slice(bytes);
    to.write_all(&frame)?;
    to.flush()
}

/// Reads one frame; `None` at a clean end.
pub fn receive(from: &mut impl Read) -> io::Result<Option<(u8, Vec<u8>)>> {
    let mut head = [0_u8; 5];
    let got = from.read(&mut head)?;
    if got == 0 {
        return Ok(None);
    }
    from.read_exact(&mut head[got..])?;
    let length = u32::from_le_bytes([head[1], head[2], head[3], head[4]]);
    if length > LIMIT {
        return Err(io::Error::from(io::ErrorKind::InvalidData));
    }
    let mut bytes = vec![0; length as usize];
    from.read_exact(&mut bytes)?;
    Ok(Some((head[0], bytes)))
}

/// Packs byte strings into one.
pub fn pack<T: AsRef<[u8]>>(items: impl IntoIterator<Item = T>) -> Vec<u8> {
    let mut packed = Vec::new();
    for item in items {
        let item = item.as_ref();
        packed.extend_from_slice(&(item.len() as u64).to_le_bytes());
        packed.extend_from_slice(item);
    }
    packed
}

/// The byte strings that [`pack`] joined; what is cut off at the end is left out.
pub fn unpack(mut packed: &[u8]) -> Vec<Vec<u8>> {
    let mut items = Vec::new();
    while let Some((head, rest)) = packed.split_first_chunk::<8>() {
        let Some((item, rest)) =
            usize::try_from(u64::from_le_bytes(*head)).ok().and_then(|length| rest.split_at_checked(length))
        else {
            break;
        };
        items.push(item.to_vec());
        packed = rest;
    }
    items
}
