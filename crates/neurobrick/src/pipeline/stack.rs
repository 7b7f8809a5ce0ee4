//! Learning stacks with progress on the screen.

use neurobrick_evaluate::evaluation::{AblationScore, LessonFold, LessonPlan, SharedStack, learn_stacks};

use crate::pipeline::{Observer, Progress};
use crate::{LoadedSession, PipelineError};

/// One stack for each fold, and scores of ablations; see [`learn_stacks`].
pub(super) fn learn(
    sessions: &[LoadedSession],
    folds: &[LessonFold],
    plan: &LessonPlan<'_>,
    observer: &mut dyn Observer,
) -> Result<(Vec<Option<SharedStack>>, Vec<AblationScore>), PipelineError> {
    let total = plan.n_steps(sessions.len(), folds) as u64;
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

/// The stack of a fold that cannot do without.
pub(super) fn required(stack: Option<SharedStack>) -> Result<SharedStack, PipelineError> {
    stack.ok_or_else(|| PipelineError::BadValue {
        field: "stack.calibration".to_owned(),
        message: "no session has trials enough for any of these numbers; name smaller ones".to_owned(),
    })
}
