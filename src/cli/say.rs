//! `piecemeal say`.

use std::io::BufRead;

use clap::Args;
use piecemeal::client::{Conversation, Options, Why};
use piecemeal::net::Endpoint;
use piecemeal::proto::Code;
use piecemeal::proto::limits::TEXT_MOST;
use piecemeal::proto::text::escaped;

use super::{Exit, json, print, tell};

#[derive(Debug, Args)]
#[command(after_help = super::exit::SAY_HELP)]
pub(super) struct Arguments {
    /// The server: HOST:PORT, [IPv6]:PORT or unix:PATH
    #[arg(
        long,
        env = "PIECEMEAL_TO",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:9000"
    )]
    to: Endpoint,

    /// The text; without it, each line of standard input is one
    text: Option<String>,

    #[command(flatten)]
    json: super::json::JsonArgument,

    #[command(flatten)]
    pieces: super::pieces::PiecesArguments,
}

pub(super) fn run(arguments: Arguments) -> Exit {
    let options = Options {
        pieces: arguments.pieces.plan(),
        ..Options::to(arguments.to)
    };
    let as_json = arguments.json.json;
    let said = Conversation::open(&options)
        .map_err(|why| failed(why, as_json))
        .and_then(|mut conversation| match arguments.text {
            Some(text) => say(&mut conversation, &text, as_json),
            None => say_lines(&mut conversation, as_json),
        });
    said.err().unwrap_or(Exit::Success)
}

fn say_lines(conversation: &mut Conversation, as_json: bool) -> Result<(), Exit> {
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|error| {
            tell(format_args!(
                "piecemeal: can't read standard input: {error}"
            ));
            Exit::Local
        })?;
        say(conversation, &line, as_json)?;
    }
    Ok(())
}

fn say(conversation: &mut Conversation, text: &str, as_json: bool) -> Result<(), Exit> {
    if text.len() as u64 > TEXT_MOST {
        let length = text.len();
        tell(format_args!(
            "piecemeal: a text of {length} bytes is longer than {TEXT_MOST}; say it in parts"
        ));
        return Err(Exit::Usage);
    }
    let answer = conversation.say(text).map_err(|why| failed(why, as_json))?;
    if as_json {
        json::send::replied(text, &answer);
    } else {
        print(escaped(&answer));
    }
    Ok(())
}

fn failed(why: Why, as_json: bool) -> Exit {
    if as_json {
        json::send::failed(&why);
    }
    tell(format_args!("piecemeal: {why}{}", hint(&why)));
    Exit::of(&why)
}

/// What would help, where that is known.
fn hint(why: &Why) -> &'static str {
    match why {
        Why::Resolve { .. } => "; is the name right?",
        Why::Connect { .. } => {
            "; is the server running? `piecemeal serve --strings message` starts one"
        }
        Why::Refused(refusal) => match refusal.code {
            Some(Code::Shutdown | Code::Timeout) => "; try again later",
            // Only what is taken for a file's name can be a bad one.
            Some(Code::BadName | Code::BadState) => "; does it run with --strings message?",
            _ => "",
        },
        _ => "",
    }
}
