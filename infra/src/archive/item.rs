//! The items of an archive. Each stands in the file as a CBOR byte string, so that its end is known before it is read.

use bytes::Bytes;
use domain::ids::TenantId;
use minicbor::Decoder;

use super::{ArchiveError, ArchiveHeader, ArchiveTrailer, Origin};
use crate::frame::{Fault, TAG_TIME, array_len, array_of, encode, finished, read_time, time_text};
use crate::journal::raw::RawMessage;

/// What an archive begins with.
pub(super) const NAME: &str = "lethe/archive";
pub(super) const VERSION: u64 = 1;

/// What the trailer begins with.
const END: &str = "end";

/// No item is larger: the server's largest message, and what stands around it.
pub(super) const ITEM_MAX: u64 = 16 << 20;

/// An item after the header.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Item {
    Message(RawMessage),
    End(ArchiveTrailer, [u8; 32]),
}

/// An item as it stands in the file.
pub(super) fn framed(item: &[u8]) -> Vec<u8> {
    encode(item.len() + 9, |e| e.bytes(item)?.ok())
}

pub(super) fn header(header: &ArchiveHeader) -> Vec<u8> {
    encode(128, |e| {
        e.array(5)?.str(NAME)?.u64(VERSION)?;
        e.str(header.origin.tenant().as_str())?.str(header.origin.label())?.u64(header.from)?.ok()
    })
}

pub(super) fn message(message: &RawMessage) -> Result<Vec<u8>, ArchiveError> {
    let stored_at = time_text(message.stored_at).map_err(|fault| ArchiveError::altered(fault.to_string()))?;
    let size = message.payload.len() + message.subject.len() + 256;
    Ok(encode(size, |e| {
        e.array(5)?.u64(message.sequence)?.str(&message.subject)?;
        e.array(message.headers.len() as u64)?;
        message.headers.iter().try_for_each(|(name, value)| e.array(2)?.str(name)?.str(value)?.ok())?;
        e.bytes(&message.payload)?.tag(TAG_TIME)?.str(&stored_at)?.ok()
    }))
}

pub(super) fn trailer(trailer: ArchiveTrailer, hash: &[u8; 32]) -> Vec<u8> {
    encode(64, |e| e.array(4)?.str(END)?.u64(trailer.messages)?.u64(trailer.through)?.bytes(hash)?.ok())
}

pub(super) fn read_header(bytes: &[u8]) -> Result<ArchiveHeader, ArchiveError> {
    let start = || -> Result<u64, Fault> {
        let d = &mut Decoder::new(bytes);
        array_len(d)?;
        if d.str()? == NAME { Ok(d.u64()?) } else { Err(Fault::Spelling) }
    };
    match start() {
        Err(_) => return Err(ArchiveError::NotAnArchive),
        Ok(VERSION) => {}
        Ok(other) => return Err(ArchiveError::Version(other)),
    }
    let rest = || -> Result<ArchiveHeader, Fault> {
        let d = &mut Decoder::new(bytes);
        array_of(d, 5)?;
        d.str()?;
        d.u64()?;
        let tenant: TenantId = d.str()?.parse().map_err(|_| Fault::Spelling)?;
        let origin = Origin::parse(&tenant, d.str()?).ok_or(Fault::Spelling)?;
        let from = d.u64()?;
        finished(d)?;
        Ok(ArchiveHeader { origin, from })
    };
    let read = rest().map_err(|_| ArchiveError::altered("its header is not spelt as the format says"))?;
    if header(&read) == bytes { Ok(read) } else { Err(ArchiveError::altered("its header is spelt in another way")) }
}

/// An item after the header, whose spelling is the only one.
pub(super) fn read_item(bytes: &[u8], number: u64) -> Result<Item, ArchiveError> {
    let altered = || ArchiveError::altered(format!("item {number} is not spelt as the format says"));
    let item = decode(bytes).map_err(|_| altered())?;
    let again = match &item {
        Item::Message(one) => message(one)?,
        Item::End(end, hash) => trailer(*end, hash),
    };
    if again == bytes { Ok(item) } else { Err(altered()) }
}

fn decode(bytes: &[u8]) -> Result<Item, Fault> {
    let d = &mut Decoder::new(bytes);
    let item = if array_len(d)? == 4 {
        if d.str()? != END {
            return Err(Fault::Spelling);
        }
        let end = ArchiveTrailer { messages: d.u64()?, through: d.u64()? };
        Item::End(end, d.bytes()?.try_into().map_err(|_| Fault::Spelling)?)
    } else {
        let (sequence, subject) = (d.u64()?, d.str()?.to_owned());
        let count = array_len(d)?;
        let pair = |d: &mut Decoder<'_>| -> Result<(String, String), Fault> {
            array_of(d, 2)?;
            Ok((d.str()?.to_owned(), d.str()?.to_owned()))
        };
        let headers = (0..count).map(|_| pair(d)).collect::<Result<_, Fault>>()?;
        let payload = Bytes::copy_from_slice(d.bytes()?);
        Item::Message(RawMessage { sequence, subject, headers, payload, stored_at: read_time(d)? })
    };
    finished(d)?;
    Ok(item)
}
