//! The readers of the wire. Each takes the result of a getter and the row of the table. So no value is copied, iterated or allocated
//! before its size is compared with its limit.

use super::{INVALID, Limit, cut};
use crate::common_capnp::pair;
use capnp::traits::OwnedStruct;
use capnp::{data_list, primitive_list, struct_list, text_list};

/// Reads a text. If it is longer than its limit, the row decides whether it is refused by name or cut.
pub fn text(from: capnp::Result<capnp::text::Reader<'_>>, limit: &Limit) -> capnp::Result<String> {
    let from = from?;
    if limit.admit(from.len())? == from.len() {
        return Ok(from.to_string()?);
    }
    Ok(cut(from.to_str()?, limit.most).into_owned())
}

/// Reads bytes. More than the limit are always refused, because a part of them would be other data.
pub fn data<'a>(from: capnp::Result<capnp::data::Reader<'a>>, limit: &Limit) -> capnp::Result<&'a [u8]> {
    let from = from?;
    match from.len() > limit.most {
        true => Err(limit.refusal(from.len())),
        false => Ok(from),
    }
}

/// Reads the 16 bytes that name a lease, a request or a process.
pub fn key(from: capnp::Result<capnp::data::Reader<'_>>, limit: &Limit) -> capnp::Result<[u8; 16]> {
    let from = from?;
    from.try_into().map_err(|_| {
        let text = format!("{INVALID}the {} has {} bytes; exactly {} are taken", limit.name, from.len(), limit.most);
        capnp::Error::failed(text)
    })
}

/// Reads a list of 16-byte names, each like [`key`].
pub fn keys(from: capnp::Result<data_list::Reader<'_>>, count: &Limit, each: &Limit) -> capnp::Result<Vec<[u8; 16]>> {
    let from = from?;
    let taken = count.admit(from.len() as usize)?;
    from.iter().take(taken).map(|one| key(one, each)).collect()
}

/// Reads a list of texts.
pub fn texts(from: capnp::Result<text_list::Reader<'_>>, count: &Limit, each: &Limit) -> capnp::Result<Vec<String>> {
    let from = from?;
    let taken = count.admit(from.len() as usize)?;
    from.iter().take(taken).map(|one| text(one, each)).collect()
}

/// Reads a list of names with values. The limit `each` bounds both the name and the value.
pub fn pairs(
    from: capnp::Result<struct_list::Reader<'_, pair::Owned>>,
    count: &Limit,
    each: &Limit,
) -> capnp::Result<Vec<(String, String)>> {
    let one = |pair: pair::Reader<'_>| Ok((text(pair.get_name(), each)?, text(pair.get_value(), each)?));
    structs(from, count)?.map(one).collect()
}

/// Returns the elements of a list of structs. Only their number is bounded, because elements of size zero take no bytes on the wire.
pub fn structs<'a, T: OwnedStruct + 'a>(
    from: capnp::Result<struct_list::Reader<'a, T>>,
    count: &Limit,
) -> capnp::Result<impl ExactSizeIterator<Item = T::Reader<'a>>> {
    let from = from?;
    let taken = count.admit(from.len() as usize)?;
    Ok(from.iter().take(taken))
}

/// Reads a list of numbers.
pub fn numbers<'a, T: capnp::private::layout::PrimitiveElement>(
    from: capnp::Result<primitive_list::Reader<'a, T>>,
    count: &Limit,
) -> capnp::Result<Vec<T>> {
    let from = from?;
    let taken = count.admit(from.len() as usize)?;
    Ok(from.iter().take(taken).collect())
}
