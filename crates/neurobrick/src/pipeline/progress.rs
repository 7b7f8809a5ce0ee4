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

/// Tells nobody; for tests and embedding.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn progress(&mut self, _progress: &Progress) {}
    fn note(&mut self, _line: &str) {}
}
