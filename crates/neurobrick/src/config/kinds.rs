//! Which table a file of `pretrain`, `finetune` or `import` belongs to.

use std::path::Path;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{
    FinetuneConfig, FinetuneDecoderConfig, FinetuneNedsConfig, ImportConfig, ImportDecoderConfig,
    ImportNedsConfig, PretrainConfig, PretrainDecoderConfig, PretrainNedsConfig, load,
};
use crate::PipelineError;

/// A file of `pretrain`.
#[derive(Clone, Debug, PartialEq)]
pub enum Pretraining {
    /// A model of activity.
    Activity(Box<PretrainConfig>),
    /// A decoder of behavior.
    Decoder(Box<PretrainDecoderConfig>),
    /// A model that predicts spikes and behavior from each other.
    Neds(Box<PretrainNedsConfig>),
}

impl Pretraining {
    /// Reads a file of `pretrain`: one with `modalities` or of the kind `neds` trains NEDS; one that names `behaviors`, or the kind
    /// of a decoder, trains a decoder.
    ///
    /// # Errors
    /// As [`load`].
    pub fn load(path: &Path) -> Result<Self, PipelineError> {
        Ok(match kind_of(path)? {
            Kind::Activity => Self::Activity(Box::new(load(path)?)),
            Kind::Decoder => Self::Decoder(Box::new(load(path)?)),
            Kind::Neds => Self::Neds(Box::new(load(path)?)),
        })
    }
}

/// A file of `finetune`.
#[derive(Clone, Debug, PartialEq)]
pub enum Finetuning {
    /// A model of activity.
    Activity(Box<FinetuneConfig>),
    /// A decoder of behavior.
    Decoder(Box<FinetuneDecoderConfig>),
    /// A model that predicts spikes and behavior from each other.
    Neds(Box<FinetuneNedsConfig>),
}

impl Finetuning {
    /// Reads a file of `finetune`: one with `modalities` or of the kind `neds` trains NEDS; one that names `behaviors`, or the kind
    /// of a decoder, trains a decoder.
    ///
    /// # Errors
    /// As [`load`].
    pub fn load(path: &Path) -> Result<Self, PipelineError> {
        Ok(match kind_of(path)? {
            Kind::Activity => Self::Activity(Box::new(load(path)?)),
            Kind::Decoder => Self::Decoder(Box::new(load(path)?)),
            Kind::Neds => Self::Neds(Box::new(load(path)?)),
        })
    }
}

/// A file of `import`.
#[derive(Clone, Debug, PartialEq)]
pub enum Importing {
    /// A model of activity.
    Activity(Box<ImportConfig>),
    /// A decoder of behavior.
    Decoder(Box<ImportDecoderConfig>),
    /// A model that predicts spikes and behavior from each other.
    Neds(Box<ImportNedsConfig>),
}

impl Importing {
    /// Reads a file of `import`, whose kind is told as that of a file of `pretrain`.
    ///
    /// # Errors
    /// As [`load`].
    pub fn load(path: &Path) -> Result<Self, PipelineError> {
        Ok(match kind_of(path)? {
            Kind::Activity => Self::Activity(Box::new(load(path)?)),
            Kind::Decoder => Self::Decoder(Box::new(load(path)?)),
            Kind::Neds => Self::Neds(Box::new(load(path)?)),
        })
    }
}

/// What a file trains.
enum Kind {
    Activity,
    Decoder,
    Neds,
}

/// As much of a file as tells what it trains; what else it holds is checked by the table that it belongs to.
#[derive(Deserialize)]
struct Sketch {
    behaviors: Option<IgnoredAny>,
    modalities: Option<IgnoredAny>,
    model: Option<KindSketch>,
    start: Option<StartSketch>,
}

#[derive(Deserialize)]
struct StartSketch {
    scratch: Option<KindSketch>,
}

#[derive(Deserialize)]
struct KindSketch {
    kind: Option<String>,
}

fn kind_of(path: &Path) -> Result<Kind, PipelineError> {
    let Sketch { behaviors, modalities, model, start } = load(path)?;
    let kinds = [model, start.and_then(|start| start.scratch)].into_iter().flatten();
    let kinds: Vec<String> = kinds.filter_map(|sketch| sketch.kind).collect();
    let is_kind = |wanted: &str| kinds.iter().any(|kind| kind == wanted);
    Ok(if modalities.is_some() || is_kind("neds") {
        Kind::Neds
    } else if behaviors.is_some() || is_kind("poyo") {
        Kind::Decoder
    } else {
        Kind::Activity
    })
}
