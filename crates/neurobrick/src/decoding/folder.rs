//! Which models answer behavior themselves, told by their folders.

use std::path::{Path, PathBuf};

use crate::PipelineError;

/// A kind of model that answers behavior itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BehaviorKind {
    /// POYO, of single spikes.
    Poyo,
    /// NEDS, of counts and behavior.
    Neds,
}

impl BehaviorKind {
    const ALL: [Self; 2] = [Self::Poyo, Self::Neds];

    /// Name as in configuration files.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Poyo => "poyo",
            Self::Neds => "neds",
        }
    }

    /// What a file of `pretrain` has that trains this kind.
    fn made_by(self) -> &'static str {
        match self {
            Self::Poyo => "lists `behaviors`",
            Self::Neds => "has `modalities`",
        }
    }

    /// The kind that a model folder holds. A folder that cannot be read, or holds another model, holds none.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let bytes = std::fs::read(path.join("config.json")).unwrap_or_default();
        let found: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
        let kind = found.pointer("/model/config/model/kind")?.as_str()?;
        Self::ALL.into_iter().find(|known| known.name() == kind)
    }

    /// The kind that a model folder, or the folder of the run that made it, holds.
    pub(crate) fn at(path: &Path) -> Option<Self> {
        let inner = path.join("model");
        Self::of(if inner.is_dir() { &inner } else { path })
    }

    /// The model folder at `path`; the folder of a run stands for the model in it.
    ///
    /// # Errors
    /// If it holds no model of this kind.
    pub(crate) fn folder(self, path: &Path) -> Result<PathBuf, PipelineError> {
        let inner = path.join("model");
        let path = if inner.is_dir() { inner } else { path.to_owned() };
        if Self::of(&path) == Some(self) {
            return Ok(path);
        }
        let message = format!(
            "holds no model of the kind `{}`; name the folder of a run of `pretrain` or `finetune` whose configuration {}",
            self.name(),
            self.made_by()
        );
        Err(PipelineError::BadFile { path, message })
    }
}
