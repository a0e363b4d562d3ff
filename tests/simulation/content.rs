//! What is in a file, without its bytes: spans of a content that has a number, and a digest that
//! stands for them.

use piecemeal::proto::Digest;

use super::link::Span;

/// The digest that stands for a content. An empty file has the same, whosesoever it is.
pub(crate) fn digest(content: u32, size: u64) -> Digest {
    let mut bytes = [0; 32];
    if size > 0 {
        bytes[..4].copy_from_slice(&content.to_le_bytes());
        bytes[8..16].copy_from_slice(&size.to_le_bytes());
        bytes[31] = 1;
    }
    Digest(bytes)
}

pub(super) fn length(data: &[Span]) -> u64 {
    data.iter().map(|span| span.len).sum()
}

pub(super) fn digest_of(data: &[Span]) -> Digest {
    match data {
        [] => digest(0, 0),
        [span] if span.at == 0 => digest(span.content, span.len),
        _ => Digest([0xee; 32]),
    }
}

pub(super) fn append(data: &mut Vec<Span>, span: Span) {
    match data.last_mut() {
        _ if span.len == 0 => {}
        Some(last) if last.content == span.content && last.at + last.len == span.at => {
            last.len += span.len;
        }
        _ => data.push(span),
    }
}

pub(super) fn truncate(data: &mut Vec<Span>, mut most: u64) {
    data.retain_mut(|span| {
        span.len = span.len.min(most);
        most -= span.len;
        span.len > 0
    });
}
