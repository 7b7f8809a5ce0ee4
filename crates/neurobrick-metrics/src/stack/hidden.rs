//! Features of hidden units: what closed forms say, and how far they can be trusted.

use std::sync::Arc;

use ndarray::{Array3, ArrayView3, Axis, s};

use super::population::Neighbors;
use super::{Evidence, FeaturePart, StackFeatures, constant, times};
use crate::MetricError;
use crate::baselines::counts::check_counts;
use crate::baselines::{
    FactorAnalysis, FactorChoice, FactorDesign, FactorGrid, Query, RateLink, VisibleWiener, WienerChoice,
    WienerDesign, WienerGrid,
};
use crate::factor_analysis::InFrequencies;

/// Relative penalties of the two Wiener filters: a bold and a cautious one.
const PENALTIES: [f64; 2] = [10.0, 100.0];
/// No closed form may say less than this share of the mean rate.
const FLOOR: f64 = 0.05;
/// Weight of each of factors and cautious filter in their average.
const HALF: f64 = 0.5;

/// Closed forms fitted to the calibration trials of a session, ready for any [`Query`].
#[derive(Clone, Debug)]
pub struct HiddenDesign {
    known: Arc<Known>,
    factors: Arc<FactorDesign>,
    filter: Arc<WienerDesign>,
}

/// What is known of a session.
#[derive(Debug)]
struct Known {
    calibration: Array3<f64>,
    regions: Vec<usize>,
}

/// Closed forms for one query.
#[derive(Clone, Debug)]
pub struct HiddenPredictor {
    known: Arc<Known>,
    query: Query,
    evidence: Vec<Evidence>,
    factors: FactorAnalysis,
    /// The bold and the cautious one.
    filters: [VisibleWiener; 2],
    /// How far and how well the factors followed each target in the calibration trials.
    reliability: [Vec<f64>; 2],
}

impl HiddenDesign {
    /// Fits temporal factors and Wiener filters to all `calibration` counts (`[B, T, N]`, spikes/bin); `regions`
    /// names the region of every unit by a number. Nothing is chosen, so no trial has to be kept back.
    ///
    /// Fails on counts that are empty, negative or not finite, or without a spike, and if there is not one region per
    /// unit.
    pub fn new(calibration: &ArrayView3<f64>, regions: &[usize]) -> Result<Self, MetricError> {
        check_counts(calibration, "calibration counts")?;
        // Trials to choose by, which the designs ask for and are never used.
        let unused = calibration.slice(s![..1, .., ..]);
        let factors = FactorDesign::new(calibration, &unused, &FactorGrid::default())?;
        let filter = WienerDesign::new(calibration, &unused, &WienerGrid::default())?;
        Self::from_designs(calibration.to_owned(), regions, Arc::new(factors), Arc::new(filter))
    }

    /// The same from designs that were fitted to the same counts and are shared with others.
    ///
    /// Fails on invalid counts, if there is not one region per unit, if a design is of another number of units, and if it
    /// has other settings than the default ones, which stacks learn from.
    pub fn from_designs(
        calibration: Array3<f64>,
        regions: &[usize],
        factors: Arc<FactorDesign>,
        filter: Arc<WienerDesign>,
    ) -> Result<Self, MetricError> {
        check_counts(&calibration.view(), "calibration counts")?;
        let n_units = calibration.len_of(Axis(2));
        let same = |what, got: usize| {
            let error = MetricError::ShapeMismatch { what, expected: vec![n_units], got: vec![got] };
            if got == n_units { Ok(()) } else { Err(error) }
        };
        same("regions of units", regions.len())?;
        same("units of the factors", factors.n_units())?;
        same("units of the filter", filter.n_units())?;
        let (usual_factors, usual_filter) = (FactorGrid::default(), WienerGrid::default());
        if factors.grid().models.first() != usual_factors.models.first()
            || filter.grid().sigmas_bins != usual_filter.sigmas_bins
        {
            return Err(MetricError::NotPaired { what: "settings of the designs and of stacks" });
        }
        let known = Known { calibration, regions: regions.to_vec() };
        Ok(Self { known: Arc::new(known), factors, filter })
    }

    /// Closed forms for every query, which share what their systems have in common.
    ///
    /// Fails on an invalid query.
    pub fn fit(&self, queries: &[Query]) -> Result<Vec<HiddenPredictor>, MetricError> {
        let [bold, cautious] = PENALTIES.map(|penalty| {
            let link = RateLink::Floor(FLOOR);
            let choice = WienerChoice { penalty, alpha: 0.0, link, valid_bits_per_spike: f64::NAN };
            let asked: Vec<_> = queries.iter().map(|query| (query, choice)).collect();
            self.filter.fit_many_with(&asked)
        });
        let filters = bold?.into_iter().zip(cautious?);
        let model = self.factors.models().first().ok_or(MetricError::Empty { what: "models" })?;
        let all: Vec<usize> = (0..self.known.regions.len()).collect();
        let known = model.in_frequencies(&self.known.calibration.view(), &all)?;
        queries.iter().zip(filters).map(|(query, (b, c))| self.predictor(query, [b, c], &known)).collect()
    }

    fn predictor(
        &self,
        query: &Query,
        filters: [VisibleWiener; 2],
        known: &InFrequencies,
    ) -> Result<HiddenPredictor, MetricError> {
        query.validate(self.known.regions.len())?;
        let model = self.factors.grid().models.first().copied();
        let choice = FactorChoice {
            model: model.ok_or(MetricError::Empty { what: "models" })?,
            link: RateLink::Floor(FLOOR),
            valid_bits_per_spike: f64::NAN,
        };
        let calibration = &self.known.calibration;
        let n_bins = (calibration.len_of(Axis(0)) * calibration.len_of(Axis(1))) as f64;
        let spikes = |unit| calibration.index_axis(Axis(2), unit).sum();
        let mut predictor = HiddenPredictor {
            known: Arc::clone(&self.known),
            query: query.clone(),
            evidence: query.targets.iter().map(|&unit| Evidence::new(spikes(unit), n_bins)).collect(),
            factors: self.factors.fit_with(query, &choice)?,
            filters,
            reliability: [Vec::new(), Vec::new()],
        };
        predictor.reliability = predictor.reliability(known)?;
        Ok(predictor)
    }

    /// [`HiddenPredictor::features`] of a single query.
    ///
    /// Fails on an invalid query, and as that does.
    pub fn features(&self, counts: &ArrayView3<f64>, query: &Query) -> Result<StackFeatures, MetricError> {
        let fitted = self.fit(std::slice::from_ref(query))?.pop();
        fitted.ok_or(MetricError::Empty { what: "queries" })?.features(counts)
    }
}

impl HiddenPredictor {
    /// What it was fitted for.
    pub fn query(&self) -> &Query {
        &self.query
    }

    /// Features `[B, T, targets]` of the query's targets in `counts` (`[B, T, N]`), of which only the visible units are
    /// read.
    ///
    /// Fails on another number of bins or units than in the calibration trials, and on invalid counts of visible units.
    pub fn features(&self, counts: &ArrayView3<f64>) -> Result<StackFeatures, MetricError> {
        let shape = (counts.len_of(Axis(0)), counts.len_of(Axis(1)));
        let means: Vec<f64> = self.evidence.iter().map(|e| e.mean).collect();
        let trust: Vec<f64> = self.evidence.iter().map(|e| e.trust()).collect();
        let [sway, gain] = &self.reliability;
        // Both filters are of one design and hear the same features.
        let heard = self.filters[0].features(counts)?;
        let filter = |i: usize| {
            self.or_means(counts, || Ok(self.filters[i].rates(heard.as_ref(), counts.len_of(Axis(1)))))
        };
        let factors = log_ratios(&self.or_means(counts, || self.factors.predict(counts))?, &means);
        let bold = log_ratios(&filter(0)?, &means);
        let cautious = log_ratios(&filter(1)?, &means);
        let average = Array3::from_shape_fn(factors.dim(), |at| {
            let sum = 1.0 + HALF * factors[at].exp_m1() + HALF * cautious[at].exp_m1();
            sum.max(FLOOR).ln()
        });
        let experts: [(Array3<f64>, &[FeaturePart]); 4] = [
            (factors, &[FeaturePart::Factors]),
            (bold, &[FeaturePart::Filters]),
            (cautious, &[FeaturePart::Filters]),
            (average, &[FeaturePart::Factors, FeaturePart::Filters]),
        ];
        let neighbors = Neighbors {
            calibration: &self.known.calibration.view(),
            regions: &self.known.regions,
            visible: &self.query.visible,
            targets: &self.query.targets,
        };
        let around = neighbors.features(counts)?;
        let log_means = means.iter().map(|mean| mean.ln()).collect();
        let start = Some(experts[3].0.clone());
        let mut features = StackFeatures { log_means, start, columns: Vec::new(), parts: Vec::new() };
        for i in 0..3 {
            let values: Vec<f64> = self.evidence.iter().map(|e| e.columns()[i]).collect();
            features.push(constant(shape, &values), &[FeaturePart::Evidence]);
        }
        for values in [sway, gain] {
            features.push(constant(shape, values), &[FeaturePart::Reliability]);
        }
        for (expert, made_of) in &experts {
            let with = |other: FeaturePart| [made_of, [other, FeaturePart::Products].as_slice()].concat();
            features.push(times(expert, &trust), &with(FeaturePart::Evidence));
            features.push(times(expert, sway), &with(FeaturePart::Reliability));
            features.push(times(expert, gain), &with(FeaturePart::Reliability));
            features.push(expert * expert, &with(FeaturePart::Products));
            features.push(expert.clone(), made_of);
        }
        for (column, part) in around {
            let made_of = [part, FeaturePart::Population];
            features.push(
                times(&column, &trust),
                &[&made_of[..], &[FeaturePart::Evidence, FeaturePart::Products]].concat(),
            );
            features.push(column, &made_of);
        }
        Ok(features)
    }

    /// What a closed form says, or the means of targets none of which has a spike in the calibration trials: there is
    /// nothing they could follow.
    fn or_means(
        &self,
        counts: &ArrayView3<f64>,
        predict: impl FnOnce() -> Result<Array3<f64>, MetricError>,
    ) -> Result<Array3<f64>, MetricError> {
        if self.evidence.iter().any(|e| e.spikes > 0.0) {
            return predict();
        }
        let means: Vec<f64> = self.evidence.iter().map(|e| e.mean).collect();
        Ok(constant((counts.len_of(Axis(0)), counts.len_of(Axis(1))), &means))
    }

    /// Per target: the size of what the factors say in the calibration trials, and how much likelier they make them, in
    /// nats/spike. Loadings were fitted to those trials, so both are too good; the stack learns by how much.
    fn reliability(&self, known: &InFrequencies) -> Result<[Vec<f64>; 2], MetricError> {
        let calibration = &self.known.calibration;
        let n_bins = calibration.len_of(Axis(1));
        let rates = self.or_means(&calibration.view(), || self.factors.predict_in(known, n_bins))?;
        let (mut sway, mut gain) = (Vec::new(), Vec::new());
        for ((rates, &unit), e) in rates.axis_iter(Axis(2)).zip(&self.query.targets).zip(&self.evidence) {
            let counts = calibration.index_axis(Axis(2), unit);
            let n = rates.len() as f64;
            let variance = rates.iter().map(|rate| (rate - e.mean).powi(2)).sum::<f64>() / n;
            sway.push((variance.sqrt() / e.mean).ln_1p().min(3.0));
            let nats: f64 =
                rates.iter().zip(counts.iter()).map(|(r, y)| y * (r / e.mean).ln() - r + e.mean).sum();
            gain.push((nats / (e.spikes + 5.0)).clamp(-1.0, 2.0));
        }
        Ok([sway, gain])
    }
}

/// Log of rates over the targets' means.
fn log_ratios(rates: &Array3<f64>, means: &[f64]) -> Array3<f64> {
    Array3::from_shape_fn(rates.dim(), |at| (rates[at].max(FLOOR * means[at.2]) / means[at.2]).ln())
}
