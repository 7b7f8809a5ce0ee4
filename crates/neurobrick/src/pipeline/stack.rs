//! Learning stacks with progress on the screen.

use crate::evaluation::{AblationScore, LessonFold, LessonPlan, SharedStack, learn_stacks};
use crate::pipeline::{Observer, Progress};
use crate::{LoadedSession, PipelineError};

/// One stack for each fold, and scores of ablations; see [`learn_stacks`].
pub(super) fn learn(
    sessions: &[LoadedSession],
    folds: &[LessonFold],
    plan: &LessonPlan<'_>,
    observer: &mut dyn Observer,
) -> Result<(Vec<SharedStack>, Vec<AblationScore>), PipelineError> {
    let is_used = |i: &usize| folds.iter().any(|fold| fold.learn.contains(i) || fold.score.contains(i));
    let n_used = (0..sessions.len()).filter(is_used).count();
    let total = (n_used * plan.config.calibration.len()) as u64;
    let mut state = Progress { stage: "stack".to_owned(), done: 0, total, message: String::new() };
    let learned = learn_stacks(sessions, folds, plan, |message| {
        message.clone_into(&mut state.message);
        observer.progress(&state);
        state.done += 1;
    })?;
    "done".clone_into(&mut state.message);
    state.done = total;
    observer.progress(&state);
    Ok(learned)
}
