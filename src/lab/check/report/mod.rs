//! What was found, for people ([`text`]), for programs ([`json`]) and for test tools ([`junit`]).

pub mod json;
pub mod junit;
pub mod text;

use super::runner::Settings;

/// The command that runs just one case, as a person would type it.
pub fn command(settings: &Settings, id: &str) -> String {
    let mut words = vec![
        "piecemeal lab check".to_owned(),
        format!("--task {}", settings.task),
    ];
    if settings.grammar != crate::lab::Grammar::U1 {
        words.push(format!("--grammar {}", settings.grammar));
    }
    if let Some(folder) = &settings.folder {
        words.push(format!("--dir {}", shell(&folder.to_string_lossy())));
    }
    if let Some(start) = &settings.start {
        words.push(format!("--start {}", shell(start)));
    }
    words.push(format!("--only {id}"));
    words.push(shell(&settings.endpoint.to_string()));
    words.join(" ")
}

/// A word as a shell takes it unchanged.
fn shell(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-:[]@%+=".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::{Grammar, Task};

    #[test]
    fn the_command_for_one_case_can_be_pasted_into_a_shell() {
        let settings = Settings {
            task: Task::Six,
            grammar: Grammar::U2,
            endpoint: "127.0.0.1:9000".parse().unwrap(),
            folder: Some("my files".into()),
            start: Some("echo 'a'".to_owned()),
            only: Vec::new(),
            signal: std::sync::Arc::default(),
        };
        assert_eq!(
            command(&settings, "6.4"),
            r"piecemeal lab check --task 6 --grammar u2 --dir 'my files' --start 'echo '\''a'\''' --only 6.4 127.0.0.1:9000"
        );
    }
}
