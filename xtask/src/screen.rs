//! What a person sees: progress bars on a terminal, plain lines elsewhere.
#![expect(clippy::print_stderr, reason = "this is the screen")]

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use neurobrick::pipeline::{Observer, Progress};

/// Pause between plain progress lines.
const LINE_EVERY: Duration = Duration::from_secs(15);

/// Prints a line.
pub(crate) fn say(line: &str) {
    // A closed pipe (`| head`) is the reader's choice, not a failure.
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Prints an error.
pub(crate) fn complain(message: &str) {
    eprintln!("error: {message}");
}

/// Shows the progress of a run.
pub(crate) struct Screen {
    bar: Option<ProgressBar>,
    stage: String,
    stage_started: Instant,
    /// Work that was done before this process began the stage, as after a resume.
    done_before: u64,
    last_line: Instant,
}

impl Screen {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(0);
            // The template is a constant; were it wrong, the default style would serve.
            if let Ok(style) = ProgressStyle::with_template(
                "{prefix:>24} {bar:30} {pos}/{len} [{elapsed}, {eta} left] {wide_msg}",
            ) {
                bar.set_style(style);
            }
            bar
        });
        Self { bar, stage: String::new(), stage_started: now, done_before: 0, last_line: now }
    }

    /// Removes the bar.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Observer for Screen {
    fn progress(&mut self, progress: &Progress) {
        let is_new = self.stage != progress.stage;
        if is_new {
            self.stage.clone_from(&progress.stage);
            self.stage_started = Instant::now();
            self.done_before = progress.done;
        }
        if let Some(bar) = &self.bar {
            if is_new {
                bar.reset();
                bar.set_prefix(progress.stage.clone());
            }
            bar.set_length(progress.total);
            bar.set_position(progress.done);
            bar.set_message(progress.message.clone());
            return;
        }
        if is_new || self.last_line.elapsed() >= LINE_EVERY {
            self.last_line = Instant::now();
            let spent = self.stage_started.elapsed().as_secs_f64();
            let done_here = progress.done.saturating_sub(self.done_before);
            let left = if done_here == 0 {
                String::new()
            } else {
                let remaining = progress.total.saturating_sub(progress.done) as f64;
                format!(", about {:.0} s left", spent / done_here as f64 * remaining)
            };
            say(&format!(
                "{}: {}/{}{left}; {}",
                progress.stage, progress.done, progress.total, progress.message
            ));
        }
    }

    fn note(&mut self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| say(line)),
            None => say(line),
        }
    }
}
