//! Small helpers around minicbor.

use minicbor::Decoder;

use super::{Encoded, Fault, MemoryEncoder};

/// What `write` encodes.
pub(crate) fn encode(size: usize, write: impl FnOnce(&mut MemoryEncoder<'_>) -> Encoded) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(size);
    write(&mut MemoryEncoder::new(&mut bytes)).expect("memory takes every byte");
    bytes
}

/// The length of an array that says it.
pub(crate) fn array_len(d: &mut Decoder<'_>) -> Result<u64, Fault> {
    d.array()?.ok_or(Fault::Spelling)
}

/// An array of exactly `length`.
pub(crate) fn array_of(d: &mut Decoder<'_>, length: u64) -> Result<(), Fault> {
    if array_len(d)? == length { Ok(()) } else { Err(Fault::Spelling) }
}

/// A map of exactly `length` pairs.
pub(crate) fn map_of(d: &mut Decoder<'_>, length: u64) -> Result<(), Fault> {
    if d.map()? == Some(length) { Ok(()) } else { Err(Fault::Spelling) }
}

/// Exactly this number.
pub(crate) fn expect_u8(d: &mut Decoder<'_>, number: u8) -> Result<(), Fault> {
    if d.u8()? == number { Ok(()) } else { Err(Fault::Spelling) }
}

/// Nothing may follow.
pub(crate) fn finished(d: &Decoder<'_>) -> Result<(), Fault> {
    if d.position() == d.input().len() { Ok(()) } else { Err(Fault::Spelling) }
}

/// An array of texts: associated data that binds something to its place.
pub(crate) fn label_texts(texts: &[&str]) -> Vec<u8> {
    encode(texts.iter().map(|text| text.len() + 3).sum::<usize>() + 2, |e| {
        e.array(texts.len() as u64)?;
        texts.iter().try_for_each(|text| e.str(text)?.ok())
    })
}

/// `[label, tenant, number, bytes]`: associated data of what a root key wraps.
pub(crate) fn label_bytes(label: &str, tenant: &str, number: u64, bytes: &[u8]) -> Vec<u8> {
    encode(bytes.len() + 64, |e| e.array(4)?.str(label)?.str(tenant)?.u64(number)?.bytes(bytes)?.ok())
}
