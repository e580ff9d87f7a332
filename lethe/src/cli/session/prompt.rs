//! Asking a person, or reading what a script gives on stdin, one answer a line. Secrets come by no argument, where others see them.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use console::Term;

use crate::cli::CliError;

/// Where answers come from.
pub(super) struct Prompt {
    term: Option<Term>,
}

impl Prompt {
    pub(super) fn new() -> Self {
        let seen = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        Self { term: seen.then(Term::stderr) }
    }

    /// Asks for what others may see.
    pub(super) fn ask(&mut self, what: &str) -> Result<String, CliError> {
        self.answer(what, Term::read_line)
    }

    /// Asks for what nobody may see.
    pub(super) fn ask_unseen(&mut self, what: &str) -> Result<String, CliError> {
        self.answer(what, Term::read_secure_line)
    }

    fn answer(&mut self, what: &str, read: fn(&Term) -> std::io::Result<String>) -> Result<String, CliError> {
        let failed = |error| CliError::failed("no answer can be read", error);
        let line = match &self.term {
            Some(term) => {
                let _ = write!(std::io::stderr(), "{what}: ");
                read(term).map_err(failed)?
            }
            None => {
                let mut line = String::new();
                std::io::stdin().lock().read_line(&mut line).map_err(failed)?;
                line
            }
        };
        let line = line.trim_end_matches(['\r', '\n']);
        if line.is_empty() {
            return Err(CliError::input(format!("nothing was given for: {what}")));
        }
        Ok(line.to_owned())
    }
}
