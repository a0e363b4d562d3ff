//! What leaves, as the server reads it: whole messages, each as long as its header says.

/// Where the server's reading stands.
#[derive(Debug, Default)]
pub(super) struct Wire {
    /// Bytes of a header that have come.
    header: Vec<u8>,
    /// Bytes of a text that are still to come.
    text: u64,
    /// Bytes of a file that are still to come.
    body: u64,
}

impl Wire {
    /// Takes output, which has all but the bytes of files.
    pub(super) fn take(&mut self, output: &[u8]) {
        for byte in output {
            assert_eq!(
                self.body, 0,
                "a message stands where bytes of a file are due"
            );
            if self.text > 0 {
                self.text -= 1;
                continue;
            }
            self.header.push(*byte);
            let width = match self.header[0] {
                1 | 16 | 17 => 2,
                kind @ 2..=9 => usize::from(kind - 1),
                kind => panic!("a client sends no message of type {kind}"),
            };
            if self.header.len() == 1 + width {
                let field = self.header[1..].iter().rev();
                let length = field.fold(0_u64, |length, byte| length << 8 | u64::from(*byte));
                if self.header[0] < 10 && self.header[0] > 1 {
                    self.body = length;
                } else {
                    assert!(length <= 4096, "no text is so long");
                    self.text = length;
                }
                self.header.clear();
            }
        }
    }

    /// Takes so many of a file's bytes, of which `left` were offered.
    pub(super) fn take_body(&mut self, bytes: u64, left: u64) {
        assert!(self.header.is_empty() && self.text == 0, "a message is cut");
        assert_eq!(self.body, left, "what is offered is what was announced");
        self.body -= bytes;
    }
}
