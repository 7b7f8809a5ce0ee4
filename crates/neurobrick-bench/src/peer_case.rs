//! What is measured against peers: NDT-1-stitch at several sizes, or any model at one.

use std::path::{Path, PathBuf};

use crate::{
    BenchCase, BenchError, LEARNING_RATE, MAX_GRAD_NORM, Material, ModelCase, ModelMaterial, Request, Work,
    work_flops,
};

/// A case that peers can measure too.
#[derive(Clone, Debug, PartialEq)]
pub enum PeerCase {
    /// NDT-1-stitch, whose operations are counted and whose single trials are timed.
    Stitch(BenchCase),
    /// Any other model.
    Model(ModelCase),
}

impl PeerCase {
    /// NDT-1-stitch at several sizes.
    pub fn stitch() -> Vec<Self> {
        BenchCase::all().into_iter().map(Self::Stitch).collect()
    }

    /// Every model that has a twin, at its size for CPUs.
    ///
    /// # Errors
    /// If a configuration lacks its model.
    pub fn models() -> Result<Vec<Self>, BenchError> {
        Ok(ModelCase::all()?.into_iter().map(Self::Model).collect())
    }

    /// Short name.
    pub fn name(&self) -> &str {
        match self {
            Self::Stitch(case) => &case.name,
            Self::Model(case) => &case.name,
        }
    }

    /// Sizes in words.
    pub fn describe(&self) -> String {
        match self {
            Self::Stitch(case) => case.describe(),
            Self::Model(case) => case.describe(),
        }
    }

    /// Kinds of work that are timed, training first.
    pub fn works(&self) -> &'static [Work] {
        match self {
            Self::Stitch(_) => &Work::ALL,
            Self::Model(_) => &ModelCase::WORKS,
        }
    }

    /// Operations of the matrix products of `work`, where they are counted; without them the peak of products is not measured
    /// either.
    pub fn flops(&self, work: Work) -> Option<f64> {
        match self {
            Self::Stitch(case) => Some(work_flops(case, work)),
            Self::Model(_) => None,
        }
    }

    /// Draws weights and batch by `seed` and writes what sides read.
    ///
    /// # Errors
    /// If the model is invalid or the file cannot be written.
    pub fn prepare(&self, seed: u64, path: &Path) -> Result<(), BenchError> {
        match self {
            Self::Stitch(case) => Material::draw(case, seed)?.write(path),
            Self::Model(case) => ModelMaterial::draw(case, seed)?.write(case, path),
        }
    }

    /// The request that opens it on a side.
    pub fn open(&self, seed: u64, material: PathBuf, n_threads: usize, compiled: bool) -> Request {
        let (learning_rate, max_grad_norm) = (LEARNING_RATE, MAX_GRAD_NORM);
        match self.clone() {
            Self::Stitch(case) => {
                Request::Open { case, material, n_threads, learning_rate, max_grad_norm, compiled }
            }
            Self::Model(case) => {
                Request::OpenModel { case, seed, material, n_threads, learning_rate, max_grad_norm, compiled }
            }
        }
    }
}
