//! How a run tells a person what it is doing.

/// Where a stage of a run stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// The stage, for example `pretrain`.
    pub stage: String,
    /// Units of work done.
    pub done: u64,
    /// Units of work in all.
    pub total: u64,
    /// The latest news, for example a loss.
    pub message: String,
}

/// Receives progress and lines worth keeping.
pub trait Observer {
    /// The state of the current stage; called often.
    fn progress(&mut self, progress: &Progress);
    /// A line that should stay on the screen.
    fn note(&mut self, line: &str);
}

/// Numbers the steps of a run that has several, so that a reader sees how much is still to come.
pub(super) struct Steps<'a> {
    inner: &'a mut dyn Observer,
    step: usize,
    total: usize,
}

impl<'a> Steps<'a> {
    pub(super) fn new(inner: &'a mut dyn Observer, total: usize) -> Self {
        Self { inner, step: 0, total }
    }

    /// The observer of the next step.
    pub(super) fn next(&mut self) -> &mut Self {
        self.step += 1;
        self
    }
}

impl Observer for Steps<'_> {
    fn progress(&mut self, progress: &Progress) {
        let stage = format!("[{}/{}] {}", self.step, self.total, progress.stage);
        self.inner.progress(&Progress { stage, ..progress.clone() });
    }

    fn note(&mut self, line: &str) {
        self.inner.note(line);
    }
}

/// Tells nobody; for tests and embedding.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn progress(&mut self, _progress: &Progress) {}
    fn note(&mut self, _line: &str) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Heard(Vec<String>);

    impl Observer for Heard {
        fn progress(&mut self, progress: &Progress) {
            self.0.push(format!("{}: {}/{}", progress.stage, progress.done, progress.total));
        }
        fn note(&mut self, line: &str) {
            self.0.push(line.to_owned());
        }
    }

    #[test]
    fn steps_are_numbered_and_notes_pass_through() {
        let mut heard = Heard(Vec::new());
        let mut steps = Steps::new(&mut heard, 2);
        let at =
            |stage: &str| Progress { stage: stage.to_owned(), done: 1, total: 5, message: String::new() };
        steps.next().progress(&at("ingest"));
        let second = steps.next();
        second.note("a line");
        second.progress(&at("pretrain"));
        assert_eq!(heard.0, ["[1/2] ingest: 1/5", "a line", "[2/2] pretrain: 1/5"]);
    }
}
