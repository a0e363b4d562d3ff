//! The two ends at work, and what is checked of them.

use super::*;

impl World {
    pub(super) fn client(&mut self, which: usize) -> Result<(), String> {
        let now = self.now;
        let client = &mut self.clients[which];
        if !client.is_connected {
            let wanted = !client.files.is_empty() && client.wait_until <= now;
            if wanted && client.session.is_none() {
                self.connections += 1;
                client.number = self.connections;
                client.sender = Sender::new(Some(Duration::from_secs(90)), now);
                client.up = Pipe::new(1 << self.rng.random_range(12..25));
                client.down = Pipe::new(1 << 12);
                client.session = Some(Session {
                    machine: Receiver::new(Arc::clone(&self.rules), now),
                    upload: None,
                    seen: 0,
                    replies: 0,
                    safe: 0,
                });
                client.is_connected = true;
            }
            return Ok(());
        }
        let amount = 1u64 << self.rng.random_range(0..25);
        let broken = |broken| format!("client {which}: {broken}");
        while let Some(bytes) = client.down.raw() {
            let count = bytes.len().min(usize::try_from(amount).expect("small"));
            let handled = client.sender.handle_bytes(&bytes[..count], now);
            handled.map_err(broken)?;
            client.down.consume_raw(count);
        }
        while let Some(event) = client.sender.poll_event() {
            self.story.push(format!("{now:?} {which}: {event:?}"));
            let (Event::Stored(id, _) | Event::Refused(id, _)) = &event else {
                continue;
            };
            let at = client.under_way.iter().position(|(known, _)| known == id);
            let (_, mut file) = client.under_way.remove(at.ok_or("an outcome too many")?);
            let Event::Refused(_, refusal) = event else {
                continue;
            };
            match refusal.code {
                Some(Code::Exists) if file.at_end => file.at_end = false,
                Some(Code::Exists) => continue,
                Some(Code::Digest) => return Err("a good file is refused".to_owned()),
                _ => {}
            }
            client.files.push_back(file);
        }
        let is_over = client.down.ended && client.down.pieces.is_empty();
        let is_late = client.sender.deadline().is_some_and(|until| until <= now);
        if is_over || is_late {
            self.lose(which);
            return Ok(());
        }
        if client.sender.is_idle() && client.files.is_empty() {
            client.up.ended = true;
        }
        if client.up.ended {
            return Ok(());
        }
        let count = client
            .sender
            .output()
            .len()
            .min(usize::try_from(amount).expect("small"));
        if count > 0 && client.up.room() > 0 {
            client.up.push_raw(&client.sender.output()[..count]);
            client.sender.handle_sent(count, now);
        }
        if let Some((id, at, left)) = client.sender.body() {
            let of = client.under_way.iter().find(|(known, _)| *known == id);
            let content = of.map_or(0, |(_, file)| file.content);
            let len = left.min(amount).min(client.up.room());
            if len > 0 {
                client.up.push_body(Span { content, at, len });
                client.sender.handle_body_sent(len, now);
            }
        }
        if let Some(id) = client.sender.wants_digest() {
            let of = client.under_way.iter().find(|(known, _)| *known == id);
            let sum = of.map_or(digest(0, 0), |(_, file)| digest(file.content, file.size));
            client.sender.handle_digest(sum);
        }
        if client.sender.has_room()
            && let Some(file) = client.files.pop_front()
        {
            let id = client.next_id;
            client.next_id += 1;
            let known = Check::Known(digest(file.content, file.size));
            let upload = Upload {
                id,
                name: file.name.clone(),
                size: file.size,
                digest: if file.at_end { Check::AtEnd } else { known },
                conflict: None,
                resume: (file.size > 1 << 20)
                    .then(|| UploadId::parse(&format!("u{}", file.content)))
                    .flatten(),
                metadata: Metadata::default(),
            };
            client.sender.begin(upload, now);
            client.under_way.push((id, file));
        }
        Ok(())
    }

    pub(super) fn server(&mut self, which: usize) -> Result<(), String> {
        let now = self.now;
        let mut left = 1u64 << self.rng.random_range(0..25);
        loop {
            self.act(which)?;
            let client = &mut self.clients[which];
            let Some(session) = &mut client.session else {
                return Ok(());
            };
            let count = session.machine.output().len();
            if count > 0 {
                client.down.push_raw(session.machine.output());
                session.machine.handle_sent(count, now);
                session.seen = 0;
                continue;
            }
            let up = &mut client.up;
            let want = session.machine.want();
            if want == Want::Close {
                if let Some(upload) = session.upload.take() {
                    self.disk.abort(&upload);
                }
                client.session = None;
                client.down.ended = true;
                return Ok(());
            }
            let has_come = up.stalled_until <= now && left > 0 && want != Want::Wait;
            if !has_come || up.pieces.is_empty() {
                if has_come && up.ended {
                    session.machine.handle_end(now);
                    self.act(which)?;
                } else {
                    session.machine.handle_deadline(now);
                    self.act(which)?;
                }
                return Ok(());
            }
            match want {
                Want::Bytes => {
                    let bytes = up.raw().ok_or("a body is read as a header")?;
                    let most = bytes.len().min(usize::try_from(left).expect("small"));
                    let took = session.machine.handle_bytes(&bytes[..most], now);
                    up.consume_raw(took);
                    left -= took as u64;
                }
                Want::Body(most) => {
                    let span = up.take_body(most.min(left)).expect("seen above");
                    let upload = session.upload.as_ref().ok_or("a body for no upload")?;
                    left -= span.len;
                    if let Err(fault) = self.disk.write(upload, span) {
                        self.disk
                            .discard(&session.upload.take().expect("seen above"));
                        session.machine.handle_write_failed(fault, now);
                    }
                    session.machine.handle_moved(span.len, now);
                }
                Want::Discard(most) => {
                    let span = up.take_body(most.min(left)).expect("seen above");
                    left -= span.len;
                    session.machine.handle_moved(span.len, now);
                }
                Want::Wait | Want::Close => {}
            }
        }
    }

    fn act(&mut self, which: usize) -> Result<(), String> {
        self.check_replies(which)?;
        let client = &mut self.clients[which];
        while let Some(session) = &mut client.session
            && let Some(action) = session.machine.poll_action()
        {
            match action {
                Action::Begin(order) => {
                    if let Some(upload) = session.upload.take() {
                        self.disk.abort(&upload);
                    }
                    if let Some(begun) = self.disk.begin(*order, client.number) {
                        self.opened(which, begun);
                        return self.act(which);
                    }
                }
                Action::Reserve(_) => session.machine.handle_begun(Ok(Begun::Open), self.now),
                Action::Commit(ticket, seal) => {
                    let upload = session.upload.take().ok_or("a commit of nothing")?;
                    self.disk.commit(ticket, upload, seal);
                }
                Action::Discard => {
                    if let Some(upload) = session.upload.take() {
                        self.disk.discard(&upload);
                    }
                }
                Action::Abort => {
                    if let Some(upload) = session.upload.take() {
                        self.disk.abort(&upload);
                    }
                }
                Action::FinishSending => {
                    if let Some(upload) = session.upload.take() {
                        self.disk.abort(&upload);
                    }
                    client.down.ended = true;
                }
                other => return Err(format!("nobody asked for {other:?}")),
            }
        }
        self.check_replies(which)
    }

    fn opened(&mut self, which: usize, begun: Result<(Option<Handle>, Begun), Fault>) {
        let session = self.clients[which].session.as_mut().expect("it asked");
        let begun = begun.map(|(handle, begun)| {
            let safe = match (&handle, &begun) {
                (Some(handle), _) => self.disk.synced_of(handle),
                (None, Begun::Present(receipt)) => receipt.size,
                (None, _) => 0,
            };
            session.safe = session.safe.max(safe);
            session.upload = handle;
            begun
        });
        session.machine.handle_begun(begun, self.now);
    }

    pub(super) fn disk_step(&mut self) -> Result<(), String> {
        if self.disk.has_failed && self.rng.random_range(0..50) == 0 {
            self.restart();
        }
        if !self.disk.is_busy() {
            return Ok(());
        }
        let done = self.disk.step(&mut self.rng);
        for number in std::mem::take(&mut self.disk.taken) {
            if let Some(which) = self.of(number)
                && let Some(session) = &mut self.clients[which].session
            {
                session.machine.handle_taken_over(self.now);
                self.act(which)?;
            }
        }
        let Some((number, done)) = done else {
            return Ok(());
        };
        let Some(which) = self.of(number) else {
            if let Done::Opened(Ok((Some(upload), _))) = done {
                self.disk.abort(&upload);
            }
            return Ok(());
        };
        match done {
            Done::Opened(begun) => self.opened(which, begun),
            Done::Stored(ticket, stored) => {
                let session = self.clients[which].session.as_mut().expect("seen");
                session.machine.handle_stored(ticket, stored, self.now);
            }
        }
        self.act(which)
    }

    fn of(&self, number: usize) -> Option<usize> {
        let is_it = |client: &Client| client.number == number && client.session.is_some();
        self.clients.iter().position(is_it)
    }

    /// Looks at every reply the moment it is written: what it says must be true already.
    fn check_replies(&mut self, which: usize) -> Result<(), String> {
        let Some(session) = &mut self.clients[which].session else {
            return Ok(());
        };
        while let [1, low, high, rest @ ..] = &session.machine.output()[session.seen..] {
            let length = usize::from(u16::from_le_bytes([*low, *high]));
            let text = str::from_utf8(&rest[..length]).map_err(|_| "a reply is no text")?;
            session.seen += 3 + length;
            session.replies += 1;
            // One more than there are messages only where the server ends the connection.
            if session.replies > session.machine.progress().begun + 1 {
                return Err("more replies than messages".to_owned());
            }
            let Answer::Ok { offset, receipt } = Answer::parse(text) else {
                continue;
            };
            if let Some(receipt) = receipt {
                let there = self.disk.durable(&receipt.name);
                let is_same = |(size, sum)| size == receipt.size && Some(sum) == receipt.digest;
                let may_be_replaced = self.rules.conflict == Conflict::Overwrite;
                if !there.is_some_and(|there| may_be_replaced || is_same(there)) {
                    return Err(format!(
                        "{text:?} is said of what would not survive: {there:?}"
                    ));
                }
                let sum = receipt.digest.ok_or("a receipt without digest")?;
                self.promised.push((receipt.name, receipt.size, sum));
            } else if let Some(offset) = offset.filter(|offset| *offset > session.safe) {
                return Err(format!("{offset} is offered, and fewer bytes are synced"));
            }
        }
        Ok(())
    }

    pub(super) fn nothing_partial_is_seen(&self) -> Result<(), String> {
        for (name, size, sum) in self.disk.visible() {
            if !self
                .known
                .iter()
                .any(|(_, all, is)| *all == size && *is == sum)
            {
                return Err(format!("{name} is seen, and is nobody's whole file"));
            }
        }
        Ok(())
    }

    pub(super) fn promises_are_kept(&mut self) -> Result<(), String> {
        self.disk.cut_power(&mut self.rng);
        self.nothing_partial_is_seen()?;
        for (name, size, sum) in &self.promised {
            let there = self.disk.durable(name);
            let replaced = self.rules.conflict == Conflict::Overwrite && there.is_some();
            if there != Some((*size, *sum)) && !replaced {
                return Err(format!("{name} was acknowledged, and is {there:?}"));
            }
        }
        Ok(())
    }
}
