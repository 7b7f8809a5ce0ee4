//! A measured side: a process that answers on its stdout what it is asked on its stdin.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use neurobrick_bench::{Answer, Request, decode, encode};

use super::BenchFailure;

/// A running side.
pub(super) struct Side {
    name: String,
    process: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Side {
    /// Starts `command` as a side.
    pub(super) fn start(name: &str, command: &mut Command) -> Result<Self, BenchFailure> {
        let program = PathBuf::from(command.get_program());
        let failure = |source| BenchFailure::Start { program: program.clone(), source };
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(failure)?;
        let missing = || std::io::Error::other("it has no pipes");
        let requests = process.stdin.take().ok_or_else(missing).map_err(failure)?;
        let answers = process.stdout.take().ok_or_else(missing).map_err(failure)?;
        Ok(Self { name: name.to_owned(), process, requests, answers: BufReader::new(answers) })
    }

    /// The side's name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Asks and waits for the answer; [`Answer::Failed`] is a failure.
    pub(super) fn ask(&mut self, request: &Request) -> Result<Answer, BenchFailure> {
        let line = encode(request)?;
        self.requests
            .write_all(line.as_bytes())
            .map_err(|e| self.failure(format!("takes no request: {e}")))?;
        let mut line = String::new();
        let n_read = self.answers.read_line(&mut line);
        match n_read {
            Ok(0) => Err(self.failure("ended without an answer; its output above may say why".to_owned())),
            Ok(_) => match decode(&line).map_err(|e| self.failure(e.to_string()))? {
                Answer::Failed { message } => Err(self.failure(message)),
                answer => Ok(answer),
            },
            Err(e) => Err(self.failure(format!("gives no answer: {e}"))),
        }
    }

    /// The failure of an answer to another question.
    pub(super) fn unexpected(&self, request: &Request, answer: &Answer) -> BenchFailure {
        self.failure(format!("answered {request:?} by {answer:?}"))
    }

    fn failure(&self, message: String) -> BenchFailure {
        BenchFailure::Side { side: self.name.clone(), message }
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        // It has answered all it was asked; neither error matters to anyone.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    fn ask_shell(script: &str) -> Result<Answer, String> {
        let mut side = Side::start("shell", Command::new("sh").args(["-c", script])).unwrap();
        side.ask(&Request::EvalLoss).map_err(|e| e.to_string())
    }

    #[test]
    fn answers_are_read_and_failures_name_the_side() {
        let good = r#"read line; echo '{"answer":"loss","loss":2.5}'; read line"#;
        assert_eq!(ask_shell(good), Ok(Answer::Loss { loss: 2.5 }));
        let echo =
            r#"read line; case "$line" in *eval_loss*) echo '{"answer":"loss","loss":1}';; esac; read line"#;
        assert_eq!(ask_shell(echo), Ok(Answer::Loss { loss: 1.0 }));
        let failed = r#"read line; echo '{"answer":"failed","message":"no compiler"}'; read line"#;
        assert_eq!(ask_shell(failed), Err("shell: no compiler".to_owned()));
        assert!(ask_shell("read line; exit 3").unwrap_err().starts_with("shell: ended without an answer"));
        assert!(ask_shell("read line; echo hello; read line").unwrap_err().contains("`hello`"));
    }
}
