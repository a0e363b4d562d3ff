//! What a message means once it is there: which upload it begins, goes on with, ends or fails.

use std::mem;

use super::upload::{Body, Opening, Present, Target, Then, Upload};
use super::{
    Action, Begun, Cause, Fault, Kind, Length, Moment, Order, Receiver, Reply, State, Text,
};
use crate::proto::announce::{End, Put};
use crate::proto::limits::{RUN_AHEAD_SIZE, SKIP_MOST, Strings, TEXT_MOST};
use crate::proto::machine::Seal;
use crate::proto::name::Name;

/// Messages.
impl Receiver {
    /// A message begins.
    pub(super) fn type_byte(&mut self, byte: u8, now: Moment) {
        let kind = match Kind::from_byte(byte) {
            None => return self.close_with(Cause::Type, Fault::BadType(byte), now),
            Some(Kind::DataEof) if !self.rules.accept_eof => {
                return self.close_with(Cause::Type, Fault::EofNotAccepted, now);
            }
            Some(kind) => kind,
        };
        let length = Length::of(kind);
        self.go(Cause::Type, State::ReadLen(kind, length), now);
        if let Some(value) = length.value() {
            // A type without length: its body begins at once.
            self.length_complete(kind, value, now);
        }
    }

    /// The header is there.
    pub(super) fn length_complete(&mut self, kind: Kind, length: u64, now: Moment) {
        if kind.is_data() {
            let length = (kind != Kind::DataEof).then_some(length);
            return self.data_header(length, now);
        }
        match usize::try_from(length) {
            Ok(left) if length <= TEXT_MOST => {
                let text = Text {
                    kind,
                    left,
                    bytes: Vec::new(),
                };
                self.go(Cause::Length, State::ReadText(text), now);
                self.text_maybe_complete(now);
            }
            _ => {
                let fault = Fault::BadLength {
                    length,
                    limit: TEXT_MOST,
                };
                self.close_with(Cause::Length, fault, now);
            }
        }
    }

    /// A DATA header: bytes for whatever was announced, or for an unnamed upload.
    fn data_header(&mut self, length: Option<u64>, now: Moment) {
        match mem::replace(&mut self.target, Target::Unnamed) {
            Target::Refused(fault) => {
                self.target = Target::Refused(fault.clone());
                self.refuse_body(Cause::Length, *fault, length, now);
            }
            Target::Present(present) => self.data_for_present(present, length, now),
            Target::Upload(upload) => match upload.grown_by(length, self.rules.max_size) {
                Err(fault) => self.drop_upload(Cause::Length, &upload, fault, length, now),
                Ok(Some(total)) if upload.size.is_none() => {
                    self.act(Action::Reserve(total));
                    self.ask(Cause::Length, upload, Then::TakeBody(length), now);
                }
                // The space was reserved when the size was announced, or can't be known.
                Ok(_) => self.take_body(Cause::Length, upload, length, now),
            },
            Target::Unnamed => {
                let upload = Upload::default();
                if let Err(fault) = upload.grown_by(length, self.rules.max_size) {
                    return self.refuse_body(Cause::Length, fault, length, now);
                }
                let conflict = self.rules.conflict;
                let order = Order {
                    size: length,
                    conflict,
                    ..Order::default()
                };
                self.act(Action::Begin(Box::new(order)));
                self.ask(Cause::Length, upload, Then::TakeBody(length), now);
            }
        }
    }

    /// DATA for a file that is there already. Its announcement was answered with the full size as
    /// offset, so no bytes are due. A client that didn't wait for that answer sends them all; then
    /// this is an upload like any other, and its digest decides.
    fn data_for_present(&mut self, mut present: Box<Present>, length: Option<u64>, now: Moment) {
        if length == Some(0) && present.upload.explicit_end {
            self.target = Target::Present(present);
            return self.answer(Cause::Length, Reply::Ok, now);
        }
        if length == Some(0) {
            return self.confirm(Cause::Length, *present, now);
        }
        if let Err(fault) = present.upload.grown_by(length, self.rules.max_size) {
            return self.drop_upload(Cause::Length, &present.upload, fault, length, now);
        }
        present.order.look_first = false;
        self.act(Action::Begin(present.order));
        self.ask(Cause::Length, present.upload, Then::TakeBody(length), now);
    }

    /// A file that was there when it was announced is to be acknowledged: if it is still there.
    fn confirm(&mut self, cause: Cause, present: Present, now: Moment) {
        self.act(Action::Begin(present.order));
        self.ask(cause, present.upload, Then::Confirm, now);
    }

    /// A STRING, PUT or END, once its last byte is there.
    pub(super) fn text_maybe_complete(&mut self, now: Moment) {
        let State::ReadText(Text {
            kind,
            left: 0,
            bytes,
        }) = &mut self.state
        else {
            return;
        };
        let (kind, bytes) = (*kind, mem::take(bytes));
        let message = self.rules.strings == Strings::Message;
        if kind == Kind::String && message {
            return self.show_message(bytes, now);
        }
        let text = str::from_utf8(&bytes).map_err(|_| Fault::NotUtf8);
        match (kind, text) {
            (Kind::End, Ok(text)) => self.end_message(text, now),
            (Kind::Put, Ok(text)) => self.put_message(text, now),
            (_, Ok(text)) => self.name_message(text, now),
            // A name that can't be read is a name refused.
            (Kind::Put, Err(fault)) => self.refuse_name(fault, now),
            (Kind::String, Err(fault)) => self.refuse_name(fault, now),
            (_, Err(fault)) => self.answer(Cause::Text, Reply::Fault(fault), now),
        }
    }

    /// A text for a person: it is shown, and goes back.
    fn show_message(&mut self, bytes: Vec<u8>, now: Moment) {
        match String::from_utf8(bytes) {
            Ok(text) => {
                self.replies.push_message(&text);
                self.act(Action::Show(text));
                self.go(Cause::Text, State::Reply, now);
            }
            Err(_) => self.answer(Cause::Text, Reply::Fault(Fault::NotUtf8), now),
        }
    }

    fn name_message(&mut self, text: &str, now: Moment) {
        match Name::parse(text, self.rules.names) {
            Err(fault) => self.refuse_name(fault.into(), now),
            Ok(name) => {
                let conflict = self.rules.conflict;
                let order = Order {
                    name: Some(name),
                    conflict,
                    ..Order::default()
                };
                self.act(Action::Begin(Box::new(order)));
                self.ask(Cause::Text, Upload::default(), Then::AnswerName, now);
            }
        }
    }

    fn put_message(&mut self, text: &str, now: Moment) {
        let (order, upload) = match self.checked_put(text) {
            Err(fault) => return self.refuse_name(fault, now),
            Ok(checked) => checked,
        };
        // Should it be begun once more, then its bytes come from the first on.
        let kept = order.look_first.then(|| Order {
            upload: None,
            ..order.clone()
        });
        let kept = kept.map(Box::new);
        self.act(Action::Begin(Box::new(order)));
        self.ask(Cause::Text, upload, Then::AnswerPut(kept), now);
    }

    fn checked_put(&self, text: &str) -> Result<(Order, Upload), Fault> {
        let Put {
            name,
            size,
            digest,
            explicit_end,
            conflict,
            upload,
            metadata,
        } = Put::parse(text)?;
        let name = Name::parse(&name, self.rules.names)?;
        if let (Some(limit), Some(size)) = (self.rules.max_size, size)
            && size > limit
        {
            return Err(Fault::TooLarge { limit });
        }
        let conflict = conflict.unwrap_or(self.rules.conflict);
        if !self.rules.conflict.allows(conflict) {
            return Err(Fault::MayNotOverwrite);
        }
        let look_first = digest.is_some();
        let order = Order {
            name: Some(name),
            size,
            digest,
            conflict,
            look_first,
            digest_follows: explicit_end,
            upload,
            metadata,
        };
        Ok((
            order,
            Upload {
                have: 0,
                size,
                digest: digest.map(Box::new),
                explicit_end,
                is_resumable: false,
            },
        ))
    }

    fn end_message(&mut self, text: &str, now: Moment) {
        let end = match End::parse(text) {
            Err(fault) => return self.answer(Cause::Text, Reply::Fault(fault.into()), now),
            Ok(end) => end,
        };
        let reply = match mem::replace(&mut self.target, Target::Unnamed) {
            Target::Upload(upload) if upload.explicit_end => match upload.ended(end, upload.have) {
                Ok(upload) => return self.commit(Cause::Text, &upload, now),
                Err(fault) => {
                    self.discard();
                    Reply::Fault(fault)
                }
            },
            Target::Present(present) if present.upload.explicit_end => {
                match present.upload.ended(end, present.size) {
                    Ok(_) => return self.confirm(Cause::Text, *present, now),
                    Err(fault) => Reply::Fault(fault),
                }
            }
            Target::Refused(fault) => {
                self.target = Target::Refused(fault.clone());
                Reply::Fault(*fault)
            }
            target => {
                self.target = target;
                let why = "END without an upload that was announced with end=explicit";
                Reply::Fault(Fault::BadState(why))
            }
        };
        self.answer(Cause::Text, reply, now);
    }
}

/// Uploads.
impl Receiver {
    /// The store has said whether an upload may begin or go on.
    pub(super) fn opened(&mut self, begun: Result<Begun, Fault>, now: Moment) {
        let State::Open(opening) = &mut self.state else {
            return;
        };
        let mut upload = opening.upload.clone();
        // What stands in its place is left in the same step, below.
        match (mem::replace(&mut opening.then, Then::AnswerName), begun) {
            (Then::TakeBody(length), Err(fault)) => {
                self.drop_upload(Cause::Answer, &upload, fault, length, now);
            }
            (Then::TakeBody(length), Ok(_)) => self.take_body(Cause::Answer, upload, length, now),
            (Then::Confirm, Ok(Begun::Present(receipt))) => {
                self.answer(Cause::Answer, Reply::Receipt(receipt), now);
            }
            (Then::Confirm, Ok(Begun::Open | Begun::Resumed { .. })) => {
                self.abort();
                let why = "the file that was there is gone meanwhile: announce it again";
                self.answer(Cause::Answer, Reply::Fault(Fault::BadState(why)), now);
            }
            (Then::Confirm, Err(fault)) => {
                self.answer(Cause::Answer, Reply::Fault(fault), now);
            }
            // Its client is to come back, and so it does after any other `busy`.
            (_, Err(fault @ Fault::Held { .. })) => self.close_with(Cause::Answer, fault, now),
            (_, Err(fault)) => {
                self.target = Target::Refused(Box::new(fault.clone()));
                self.answer(Cause::Answer, Reply::Fault(fault), now);
            }
            (Then::AnswerPut(Some(order)), Ok(Begun::Present(receipt))) => {
                let size = receipt.size;
                self.target = Target::Present(Box::new(Present {
                    upload,
                    order,
                    size,
                }));
                self.answer(Cause::Answer, Reply::Begin { offset: size }, now);
            }
            (Then::AnswerPut(_), Ok(Begun::Resumed { offset })) => {
                upload.have = offset;
                upload.is_resumable = true;
                self.target = Target::Upload(upload);
                self.answer(Cause::Answer, Reply::Begin { offset }, now);
            }
            (Then::AnswerPut(_), Ok(_)) => {
                self.target = Target::Upload(upload);
                self.answer(Cause::Answer, Reply::Begin { offset: 0 }, now);
            }
            (Then::AnswerName, Ok(_)) => {
                self.target = Target::Upload(upload);
                self.answer(Cause::Answer, Reply::Ok, now);
            }
        }
    }

    /// The last byte of a body is in the store.
    pub(super) fn body_complete(&mut self, cause: Cause, now: Moment) {
        let State::ReadBody(Body { upload, .. }) = &self.state else {
            return;
        };
        let upload = upload.clone();
        if upload.explicit_end {
            self.target = Target::Upload(upload);
            self.answer(cause, Reply::Ok, now);
        } else if upload.size.is_some_and(|size| size != upload.have) {
            // Only a DATA_EOF can get here: any other's length was compared before.
            self.discard();
            let fault = Fault::Digest("the stream was not as long as the PUT said");
            self.answer(cause, Reply::Fault(fault), now);
        } else {
            self.commit(cause, &upload, now);
        }
    }

    /// A stream of unknown length has reached the most that a file may have, and goes on.
    pub(super) fn body_too_large(&mut self, now: Moment) {
        let limit = self.rules.max_size.unwrap_or(u64::MAX);
        self.discard();
        self.body_refused(Fault::TooLarge { limit }, now);
    }

    /// The upload is gone; the rest of its body has to be read all the same.
    pub(super) fn body_refused(&mut self, fault: Fault, now: Moment) {
        let State::ReadBody(Body { upload, left }) = &self.state else {
            return;
        };
        let (explicit_end, left) = (upload.explicit_end, *left);
        if explicit_end {
            self.target = Target::Refused(Box::new(fault.clone()));
        }
        self.refuse_body(Cause::Refused, fault, left, now);
    }

    fn ask(&mut self, cause: Cause, upload: Upload, then: Then, now: Moment) {
        self.target = Target::Unnamed;
        self.go(cause, State::Open(Opening { upload, then }), now);
    }

    fn take_body(&mut self, cause: Cause, upload: Upload, left: Option<u64>, now: Moment) {
        self.go(cause, State::ReadBody(Body { upload, left }), now);
        if left == Some(0) {
            self.body_complete(Cause::Body, now);
        }
    }

    fn commit(&mut self, cause: Cause, upload: &Upload, now: Moment) {
        let ticket = self.replies.wait();
        self.act(Action::Commit(
            ticket,
            Seal {
                size: upload.have,
                digest: upload.digest.as_deref().copied(),
            },
        ));
        self.go(
            cause,
            State::Commit {
                ahead: upload.have <= RUN_AHEAD_SIZE,
            },
            now,
        );
    }

    /// A STRING or PUT can't begin an upload; what was announced before it is dropped too.
    fn refuse_name(&mut self, fault: Fault, now: Moment) {
        self.abort();
        self.target = Target::Refused(Box::new(fault.clone()));
        self.answer(Cause::Text, Reply::Fault(fault), now);
    }

    /// An upload fails before the body of this message; one that END completes stays refused.
    fn drop_upload(
        &mut self,
        cause: Cause,
        upload: &Upload,
        fault: Fault,
        length: Option<u64>,
        now: Moment,
    ) {
        if upload.explicit_end {
            self.target = Target::Refused(Box::new(fault.clone()));
        }
        self.abort();
        self.refuse_body(cause, fault, length, now);
    }

    /// Answers a DATA message whose body nobody wants, and reads that body if it is short enough.
    fn refuse_body(&mut self, cause: Cause, fault: Fault, left: Option<u64>, now: Moment) {
        if left.is_some_and(|left| left > SKIP_MOST) {
            return self.close_with(cause, fault, now);
        }
        self.push(Reply::Fault(fault));
        let skip = State::Skip {
            left,
            room: SKIP_MOST,
        };
        self.go(
            cause,
            if left == Some(0) { State::Reply } else { skip },
            now,
        );
    }

    fn answer(&mut self, cause: Cause, reply: Reply, now: Moment) {
        self.push(reply);
        self.go(cause, State::Reply, now);
    }
}
