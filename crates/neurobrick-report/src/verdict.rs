//! The headline: what the paired differences say, by a fixed rule and in plain words.
//!
//! Rule: a 95 % interval of the paired difference above zero is a win, below zero a loss; an interval that includes
//! zero decides nothing; an interval of zero alone says that both predict the same; a missing or undefined difference is
//! said to be missing.

use crate::model::{Estimate, Predictor, RunReport, Task, TaskResult};
use crate::numbers;

/// What a paired difference says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The interval lies above zero.
    Better,
    /// The interval lies below zero.
    Worse,
    /// The interval includes zero.
    Undecided,
    /// Both predict the same, as pools do in which the network got no weight.
    Equal,
    /// There is no paired difference with an interval.
    NotCompared,
}

impl Outcome {
    /// Reads the outcome off a difference.
    pub fn of(difference: Option<&Estimate>) -> Self {
        match difference {
            Some(estimate) if estimate.is_defined() => {
                if estimate.low == 0.0 && estimate.high == 0.0 {
                    Self::Equal
                } else if estimate.low > 0.0 {
                    Self::Better
                } else if estimate.high < 0.0 {
                    Self::Worse
                } else {
                    Self::Undecided
                }
            }
            _ => Self::NotCompared,
        }
    }
}

/// A model against one opponent on one session.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionVerdict {
    /// Session id.
    pub session: String,
    /// The model, `None` when the task has none.
    pub model: Option<Predictor>,
    /// The opponent, `None` when the task has none.
    pub opponent: Option<Predictor>,
    /// Model minus opponent, pooled bits/spike.
    pub difference: Option<Estimate>,
    /// What the difference says.
    pub outcome: Outcome,
}

impl SessionVerdict {
    fn new(result: &TaskResult, model: Option<&Predictor>, opponent: Option<Predictor>) -> Self {
        let difference = opponent.as_ref().zip(model).and_then(|(other, own)| result.difference(own, other));
        Self {
            model: model.cloned(),
            session: result.session.clone(),
            outcome: Outcome::of(difference.as_ref()),
            opponent,
            difference,
        }
    }

    /// The difference as text, with the opponent's name where asked for: "+0.021 [0.010, 0.030] vs ridge".
    pub fn evidence(&self, name_opponent: bool) -> String {
        let Some(difference) = self.difference.as_ref().filter(|estimate| estimate.value.is_finite()) else {
            return String::new();
        };
        let numbers = format!(
            "{} {}",
            numbers::signed(difference.value),
            numbers::interval(difference.low, difference.high)
        );
        match &self.opponent {
            Some(opponent) if name_opponent => format!("{} vs {}", numbers.trim_end(), opponent.label()),
            _ => numbers.trim_end().to_owned(),
        }
    }
}

/// All questions on one task, over all evaluated sessions.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskVerdict {
    /// The task.
    pub task: Task,
    /// Against the best baseline of each session.
    pub baseline: Vec<SessionVerdict>,
    /// The pretrained model as a whole, network and stack, against the network from scratch pooled with the session's own
    /// linear predictor; empty without a stack or a control.
    pub whole: Vec<SessionVerdict>,
    /// The pretrained network against the same network from scratch, pooled alike.
    pub network: Vec<SessionVerdict>,
}

/// A question about a task, with its answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer<'a> {
    /// What is asked.
    pub question: &'static str,
    /// What is compared with what, in a sentence.
    pub meaning: &'static str,
    /// The answer in words.
    pub sentence: String,
    /// The evidence, by session.
    pub sessions: &'a [SessionVerdict],
    /// Whether opponents differ between sessions, so that each has to be named.
    pub names_opponents: bool,
}

impl TaskVerdict {
    /// What is asked and answered, in order: against baselines, and what pretraining was worth.
    pub fn answers(&self) -> Vec<Answer<'_>> {
        let mut answers = vec![Answer {
            question: "Against the best baseline",
            meaning: "The model as it would be used, pooled with the stack (what closed forms learned from the pretraining \
                      sessions) or a linear predictor of the session where it was, against the baseline of the \
                      session that scored highest.",
            sentence: self.baseline_sentence(),
            sessions: &self.baseline,
            names_opponents: true,
        }];
        if !self.whole.is_empty() {
            answers.push(Answer {
                question: "All that was pretrained, against from scratch",
                meaning: "Network and stack together, against the same network trained on the session alone and pooled \
                          with a linear predictor of the session.",
                sentence: self.whole_sentence(),
                sessions: &self.whole,
                names_opponents: false,
            });
        }
        answers.push(Answer {
            question: "The network alone, pretrained against from scratch",
            meaning: "The two networks, both pooled with that linear predictor or neither.",
            sentence: self.network_sentence(),
            sessions: &self.network,
            names_opponents: false,
        });
        answers
    }

    /// "Fine-tuned + linear beats the best baseline on A and B." and so on.
    pub fn baseline_sentence(&self) -> String {
        let model = self.baseline.iter().find_map(|verdict| verdict.model.as_ref());
        let without_baseline = self.baseline.iter().all(|verdict| verdict.opponent.is_none());
        let Some(model) = model else { return "No model was scored.".to_owned() };
        let subject = match model {
            // A name that somebody gave: its case is theirs.
            Predictor::Other { name, .. } => name.clone(),
            known => capitalized(known.label()),
        };
        sentence(&subject, &self.baseline, |outcome| match outcome {
            Outcome::Better => "beats the best baseline",
            Outcome::Worse => "is worse than the best baseline",
            Outcome::Undecided => "cannot be told apart from the best baseline (interval includes zero)",
            Outcome::Equal => "predicts what the best baseline does",
            Outcome::NotCompared if without_baseline => "was not compared, since no baseline was scored,",
            Outcome::NotCompared => "has no paired comparison with a baseline",
        })
    }

    /// "Network and stack are ahead of training from scratch on A and B." and so on; empty where that was not asked.
    pub fn whole_sentence(&self) -> String {
        sentence("Network and stack", &self.whole, |outcome| match outcome {
            Outcome::Better => "are ahead of training from scratch",
            Outcome::Worse => "are behind training from scratch",
            Outcome::Undecided => "cannot be told apart from training from scratch (interval includes zero)",
            Outcome::Equal => "predict what training from scratch does",
            Outcome::NotCompared => "were not compared with training from scratch",
        })
    }

    /// "Pretraining the network helped on A and B." and so on.
    pub fn network_sentence(&self) -> String {
        sentence("Pretraining the network", &self.network, |outcome| match outcome {
            Outcome::Better => "helped",
            Outcome::Worse => "did not help (from scratch is better)",
            Outcome::Undecided => "made no difference that can be told apart (interval includes zero)",
            Outcome::Equal => "made no difference: both predict the same",
            Outcome::NotCompared => "was not compared with training from scratch",
        })
    }
}

/// The fine-tuned model and the one without pretraining that it is compared with. Both are pooled with the session's own
/// linear predictor or neither is, so that the difference is what pretraining gave the network; a stack would not be like
/// for like.
fn pretraining_pair(result: &TaskResult) -> (Predictor, Predictor) {
    let pools = (Predictor::FineTunedWithLinear, Predictor::FromScratchWithLinear);
    let is_there = |wanted: &Predictor| result.predictors.iter().any(|row| row.predictor == *wanted);
    if is_there(&pools.0) && is_there(&pools.1) {
        pools
    } else {
        (Predictor::FineTuned, Predictor::FromScratch)
    }
}

/// The pretrained model with its stack against the control with what a session alone can give; `None` without them.
fn whole(result: &TaskResult) -> Option<SessionVerdict> {
    let (model, control) = (Predictor::FineTunedWithStack, Predictor::FromScratchWithLinear);
    let is_there = |wanted: &Predictor| result.predictors.iter().any(|row| row.predictor == *wanted);
    (is_there(&model) && is_there(&control)).then(|| SessionVerdict::new(result, Some(&model), Some(control)))
}

/// The verdicts of a run, task by task, computed from its paired differences.
pub fn verdicts(report: &RunReport) -> Vec<TaskVerdict> {
    Task::ALL
        .into_iter()
        .filter_map(|task| {
            let results: Vec<&TaskResult> =
                report.tasks.iter().filter(|result| result.task == task).collect();
            (!results.is_empty()).then(|| TaskVerdict {
                task,
                baseline: results
                    .iter()
                    .map(|result| {
                        let best = result.best_baseline().map(|row| row.predictor.clone());
                        SessionVerdict::new(result, result.headline(), best)
                    })
                    .collect(),
                whole: results.iter().filter_map(|result| whole(result)).collect(),
                network: results
                    .iter()
                    .map(|result| {
                        let (model, control) = pretraining_pair(result);
                        SessionVerdict::new(result, Some(&model), Some(control))
                    })
                    .collect(),
            })
        })
        .collect()
}

/// One sentence that begins with `subject` and groups sessions by outcome; empty without sessions.
fn sentence(subject: &str, verdicts: &[SessionVerdict], phrase: impl Fn(Outcome) -> &'static str) -> String {
    let order = [Outcome::Better, Outcome::Undecided, Outcome::Equal, Outcome::Worse, Outcome::NotCompared];
    let parts: Vec<String> = order
        .into_iter()
        .filter_map(|outcome| {
            let sessions: Vec<&str> = verdicts
                .iter()
                .filter(|verdict| verdict.outcome == outcome)
                .map(|verdict| &*verdict.session)
                .collect();
            if sessions.is_empty() {
                return None;
            }
            let place = match (sessions.len() == verdicts.len(), sessions.len()) {
                (true, 1) => format!("on {}", sessions[0]),
                (true, 2) => "on both sessions".to_owned(),
                (true, n) => format!("on all {n} sessions"),
                (false, _) => format!("on {}", numbers::listed(&sessions)),
            };
            Some(format!("{} {place}", phrase(outcome)))
        })
        .collect();
    if parts.is_empty() { String::new() } else { format!("{subject} {}.", parts.join("; ")) }
}

fn capitalized(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(session: &str, low: f64, high: f64) -> SessionVerdict {
        let difference = Estimate::new(f64::midpoint(low, high), low, high);
        SessionVerdict {
            session: session.to_owned(),
            model: Some(Predictor::FineTunedWithLinear),
            opponent: Some(Predictor::Ridge),
            outcome: Outcome::of(Some(&difference)),
            difference: Some(difference),
        }
    }

    #[test]
    fn outcome_follows_the_interval() {
        for (low, high, expected) in [
            (0.01, 0.02, Outcome::Better),
            (-0.02, -0.01, Outcome::Worse),
            (-0.01, 0.02, Outcome::Undecided),
            (0.0, 0.02, Outcome::Undecided),
            (0.0, 0.0, Outcome::Equal),
            (f64::NAN, 0.02, Outcome::NotCompared),
        ] {
            assert_eq!(Outcome::of(Some(&Estimate::new(0.01, low, high))), expected, "[{low}, {high}]");
        }
        assert_eq!(Outcome::of(None), Outcome::NotCompared);
    }

    #[test]
    fn sentences_group_sessions_by_outcome() {
        let task = TaskVerdict {
            task: Task::ForwardPrediction,
            baseline: vec![verdict("A", 0.01, 0.03), verdict("B", -0.01, 0.03)],
            whole: vec![verdict("A", 0.01, 0.03), verdict("B", 0.01, 0.03)],
            network: vec![verdict("A", 0.0, 0.0), verdict("B", -0.03, -0.01)],
        };
        assert_eq!(
            task.baseline_sentence(),
            "Fine-tuned + linear beats the best baseline on A; cannot be told apart from the best baseline (interval includes zero) on B."
        );
        assert_eq!(
            task.whole_sentence(),
            "Network and stack are ahead of training from scratch on both sessions."
        );
        assert_eq!(
            task.network_sentence(),
            "Pretraining the network made no difference: both predict the same on A; did not help (from scratch is better) on B."
        );
        assert_eq!(task.answers().len(), 3);
        assert_eq!(TaskVerdict { whole: Vec::new(), ..task.clone() }.answers().len(), 2);
        assert_eq!(task.baseline[0].evidence(true), "+0.020 [0.010, 0.030] vs ridge");
    }

    #[test]
    fn names_of_own_models_keep_their_case() {
        let own = Predictor::Other { name: "smoothed_linear+linear".to_owned(), baseline: false };
        let judged = SessionVerdict { model: Some(own), ..verdict("A", 0.01, 0.03) };
        let task = TaskVerdict {
            task: Task::ForwardPrediction,
            baseline: vec![judged],
            whole: Vec::new(),
            network: Vec::new(),
        };
        assert_eq!(task.baseline_sentence(), "smoothed_linear+linear beats the best baseline on A.");
    }
}
