//! Lines from a person at a terminal, or from a pipe.

use std::io::{self, BufRead, IsTerminal, Read, StdinLock, Write};

/// Most bytes of a line that are kept: more than a path or a text can have. The rest of the line
/// is read and dropped, so that a line without an end takes no memory.
const LINE_MOST: u64 = 64 << 10;

/// Standard input, line by line.
pub(super) struct Input {
    lines: StdinLock<'static>,
    /// Whether somebody reads the prompts.
    prompts: bool,
}

impl Input {
    pub(super) fn new() -> Input {
        let stdin = io::stdin();
        let prompts = stdin.is_terminal();
        Input {
            lines: stdin.lock(),
            prompts,
        }
    }

    /// Shows a hint where a person is there to read it.
    pub(super) fn hint(&self, text: &str) {
        if self.prompts {
            super::super::tell(text);
        }
    }

    /// The next line, without what ends it; `None` at the end. A terminal is asked for it.
    pub(super) fn line(&mut self, prompt: &str) -> io::Result<Option<Vec<u8>>> {
        if self.prompts {
            let mut out = io::stderr().lock();
            // Nobody may read it, which is no reason to fail.
            let _ = write!(out, "{prompt}").and_then(|()| out.flush());
        }
        let line = read_line(&mut self.lines)?;
        if self.prompts && line.is_none() {
            super::super::tell("");
        }
        Ok(line)
    }
}

fn read_line(lines: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    if lines.take(LINE_MOST).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
    } else {
        lines.skip_until(b'\n')?;
    }
    Ok(Some(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(mut input: &[u8]) -> Vec<Vec<u8>> {
        let mut lines = Vec::new();
        while let Some(line) = read_line(&mut input).expect("a slice") {
            lines.push(line);
        }
        lines
    }

    #[test]
    fn lines_come_without_what_ends_them_and_the_last_one_may_have_no_end() {
        assert_eq!(all(b"a\nb\r\n\nc"), [&b"a"[..], b"b", b"", b"c"]);
        assert_eq!(all(b""), [b""; 0]);
        assert_eq!(all(b"\n"), [b""]);
    }

    #[test]
    fn a_line_that_is_too_long_loses_its_end_and_the_next_one_is_whole() {
        let mut input = vec![b'x'; 100_000];
        input.extend(b"\nnext\n");
        let lines = all(&input);
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0].len() as u64, LINE_MOST);
        assert_eq!(lines[1], b"next");
    }
}
