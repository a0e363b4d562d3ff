//! The protocol's messages, written out anew: a test that used the program's own encoder would
//! not see it change.

/// A message with a two-byte length.
fn text(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).expect("a test's text is short");
    [&[kind], &length.to_le_bytes()[..], body].concat()
}

/// A STRING; any bytes, since some tests send what is no text.
pub(crate) fn string(body: impl AsRef<[u8]>) -> Vec<u8> {
    text(1, body.as_ref())
}

/// A PUT.
pub(crate) fn put(fields: impl AsRef<[u8]>) -> Vec<u8> {
    text(16, fields.as_ref())
}

/// An END.
pub(crate) fn end(fields: impl AsRef<[u8]>) -> Vec<u8> {
    text(17, fields.as_ref())
}

/// The header of a DATA message whose length has `width` bytes.
pub(crate) fn data_header(width: u8, length: u64) -> Vec<u8> {
    let mut header = vec![1 + width];
    header.extend_from_slice(&length.to_le_bytes()[..usize::from(width)]);
    header
}

/// A DATA message, of the smallest type that can carry it.
pub(crate) fn data(body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let length = body.len() as u64;
    let width = (1..8).find(|width| length < 1 << (8 * width)).unwrap_or(8);
    let mut message = data_header(width, length);
    message.extend_from_slice(body);
    message
}

/// A DATA_EOF and its bytes; the caller ends the stream.
pub(crate) fn data_eof(body: impl AsRef<[u8]>) -> Vec<u8> {
    [&[10], body.as_ref()].concat()
}

/// A digest as it stands in a field.
pub(crate) fn digest(bytes: impl AsRef<[u8]>) -> String {
    blake3::hash(bytes.as_ref()).to_hex().to_string()
}
