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

/// How fast the current stage goes.
struct Pace {
    stage: String,
    started: Instant,
    /// Work that was done before this process began the stage, as after a resume.
    done_before: u64,
    done: u64,
}

impl Pace {
    fn new(now: Instant) -> Self {
        Self { stage: String::new(), started: now, done_before: 0, done: 0 }
    }

    /// Takes in where a run stands; says whether a stage begins. One that is behind where it was begins again, as every
    /// session is evaluated in turn under one name.
    fn update(&mut self, progress: &Progress, now: Instant) -> bool {
        let is_new = self.stage != progress.stage || progress.done < self.done;
        if is_new {
            self.stage.clone_from(&progress.stage);
            self.started = now;
            self.done_before = progress.done;
        }
        self.done = progress.done;
        is_new
    }

    /// Seconds that are left of `total`, once something was done.
    fn seconds_left(&self, total: u64, now: Instant) -> Option<f64> {
        let done_here = self.done.saturating_sub(self.done_before);
        let spent = now.duration_since(self.started).as_secs_f64();
        (done_here > 0).then(|| spent / done_here as f64 * total.saturating_sub(self.done) as f64)
    }
}

/// Shows the progress of a run.
pub(crate) struct Screen {
    bar: Option<ProgressBar>,
    pace: Pace,
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
        Self { bar, pace: Pace::new(now), last_line: now }
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
        let now = Instant::now();
        let is_new = self.pace.update(progress, now);
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
            self.last_line = now;
            let left = self.pace.seconds_left(progress.total, now);
            let left = left.map_or_else(String::new, |seconds| format!(", about {seconds:.0} s left"));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_follows_the_pace_of_the_stage_that_runs() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let progress =
            |done| Progress { stage: "evaluate".to_owned(), done, total: 10, message: String::new() };
        let mut pace = Pace::new(start);
        assert!(pace.update(&progress(4), at(0)) && pace.seconds_left(10, at(1)).is_none(), "resumed at 4");
        assert!(!pace.update(&progress(6), at(20)));
        assert_eq!(pace.seconds_left(10, at(20)), Some(40.0));
        assert!(pace.update(&progress(0), at(100)), "the next session begins");
        assert!(!pace.update(&progress(1), at(103)));
        assert_eq!(pace.seconds_left(10, at(103)), Some(27.0));
    }
}
