//! Features of hidden units: what closed forms say, and how far they can be trusted.

use ndarray::{Array3, ArrayView3, Axis};

use super::population::Neighbors;
use super::{Evidence, FeaturePart, StackFeatures, constant, times};
use crate::MetricError;
use crate::baselines::counts::check_counts;
use crate::baselines::{FactorDesign, FactorGrid, Query, RateLink, WienerDesign, WienerGrid};

/// Relative penalties of the two Wiener filters: a bold and a cautious one.
const PENALTIES: [f64; 2] = [10.0, 100.0];
/// No closed form may say less than this share of the mean rate.
const FLOOR: f64 = 0.05;
/// Weight of each of factors and cautious filter in their average.
const HALF: f64 = 0.5;

/// Closed forms fitted to the calibration trials of a session, ready for any [`Query`].
#[derive(Clone, Debug)]
pub struct HiddenDesign {
    calibration: Array3<f64>,
    regions: Vec<usize>,
    factors: FactorDesign,
    filters: [WienerDesign; 2],
}

impl HiddenDesign {
    /// Fits temporal factors and two Wiener filters to all `calibration` counts (`[B, T, N]`, spikes/bin); `regions`
    /// names the region of every unit by a number. Nothing is chosen, so no trial has to be kept back.
    ///
    /// Fails on counts that are empty, negative or not finite, or without a spike, and if there is not one region per
    /// unit.
    pub fn new(calibration: &ArrayView3<f64>, regions: &[usize]) -> Result<Self, MetricError> {
        check_counts(calibration, "calibration counts")?;
        if regions.len() != calibration.len_of(Axis(2)) {
            let (expected, got) = (vec![calibration.len_of(Axis(2))], vec![regions.len()]);
            return Err(MetricError::ShapeMismatch { what: "regions of units", expected, got });
        }
        let links = vec![RateLink::Floor(FLOOR)];
        let filter = |penalty: f64| {
            let grid = WienerGrid { penalties: vec![penalty], links: links.clone(), ..WienerGrid::default() };
            WienerDesign::new(calibration, calibration, &grid)
        };
        let filters = [filter(PENALTIES[0])?, filter(PENALTIES[1])?];
        let grid = FactorGrid { links: links.clone(), ..FactorGrid::default() };
        Ok(Self {
            factors: FactorDesign::new(calibration, calibration, &grid)?,
            filters,
            calibration: calibration.to_owned(),
            regions: regions.to_vec(),
        })
    }

    /// Features `[B, T, targets]` of the query's targets in `counts` (`[B, T, N]`), of which only the visible units are
    /// read.
    ///
    /// Fails on an invalid query, on another number of bins or units than in the calibration trials, and on invalid
    /// counts of visible units.
    pub fn features(&self, counts: &ArrayView3<f64>, query: &Query) -> Result<StackFeatures, MetricError> {
        query.validate(self.regions.len())?;
        let shape = (counts.len_of(Axis(0)), counts.len_of(Axis(1)));
        let evidence = self.evidence(&query.targets);
        let means: Vec<f64> = evidence.iter().map(|e| e.mean).collect();
        let trust: Vec<f64> = evidence.iter().map(|e| e.trust()).collect();
        let (sway, gain) = self.reliability(query, &evidence)?;
        let factors = log_ratios(&self.factor_rates(counts, query)?, &means);
        let bold = log_ratios(&self.filter_rates(&self.filters[0], counts, query)?, &means);
        let cautious = log_ratios(&self.filter_rates(&self.filters[1], counts, query)?, &means);
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
            calibration: &self.calibration.view(),
            regions: &self.regions,
            visible: &query.visible,
            targets: &query.targets,
        };
        let around = neighbors.features(counts)?;
        let log_means = means.iter().map(|mean| mean.ln()).collect();
        let start = Some(experts[3].0.clone());
        let mut features = StackFeatures { log_means, start, columns: Vec::new(), parts: Vec::new() };
        for i in 0..3 {
            let values: Vec<f64> = evidence.iter().map(|e| e.columns()[i]).collect();
            features.push(constant(shape, &values), &[FeaturePart::Evidence]);
        }
        for values in [&sway, &gain] {
            features.push(constant(shape, values), &[FeaturePart::Reliability]);
        }
        for (expert, made_of) in &experts {
            let with = |other: FeaturePart| [made_of, [other, FeaturePart::Products].as_slice()].concat();
            features.push(times(expert, &trust), &with(FeaturePart::Evidence));
            features.push(times(expert, &sway), &with(FeaturePart::Reliability));
            features.push(times(expert, &gain), &with(FeaturePart::Reliability));
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

    /// What a closed form that finds no spike of the targets in the calibration trials says: their means.
    fn or_means(
        &self,
        predicted: Result<Array3<f64>, MetricError>,
        counts: &ArrayView3<f64>,
        query: &Query,
    ) -> Result<Array3<f64>, MetricError> {
        match predicted {
            Err(MetricError::NoSpikes { .. }) => {
                let means: Vec<f64> = self.evidence(&query.targets).iter().map(|e| e.mean).collect();
                Ok(constant((counts.len_of(Axis(0)), counts.len_of(Axis(1))), &means))
            }
            other => other,
        }
    }

    fn factor_rates(&self, counts: &ArrayView3<f64>, query: &Query) -> Result<Array3<f64>, MetricError> {
        self.or_means(self.factors.fit(query).and_then(|fit| fit.predict(counts)), counts, query)
    }

    fn filter_rates(
        &self,
        filter: &WienerDesign,
        counts: &ArrayView3<f64>,
        query: &Query,
    ) -> Result<Array3<f64>, MetricError> {
        self.or_means(filter.fit(query).and_then(|fit| fit.predict(counts)), counts, query)
    }

    fn evidence(&self, targets: &[usize]) -> Vec<Evidence> {
        let n_bins = (self.calibration.len_of(Axis(0)) * self.calibration.len_of(Axis(1))) as f64;
        targets
            .iter()
            .map(|&u| Evidence::new(self.calibration.index_axis(Axis(2), u).sum(), n_bins))
            .collect()
    }

    /// Per target: the size of what the factors say in the calibration trials, and how much likelier they make them, in
    /// nats/spike. Loadings were fitted to those trials, so both are too good; the stack learns by how much.
    fn reliability(&self, query: &Query, evidence: &[Evidence]) -> Result<(Vec<f64>, Vec<f64>), MetricError> {
        let rates = self.factor_rates(&self.calibration.view(), query)?;
        let (mut sway, mut gain) = (Vec::new(), Vec::new());
        for ((rates, &unit), e) in rates.axis_iter(Axis(2)).zip(&query.targets).zip(evidence) {
            let counts = self.calibration.index_axis(Axis(2), unit);
            let n = rates.len() as f64;
            let variance = rates.iter().map(|rate| (rate - e.mean).powi(2)).sum::<f64>() / n;
            sway.push((variance.sqrt() / e.mean).ln_1p().min(3.0));
            let nats: f64 =
                rates.iter().zip(counts.iter()).map(|(r, y)| y * (r / e.mean).ln() - r + e.mean).sum();
            gain.push((nats / (e.spikes + 5.0)).clamp(-1.0, 2.0));
        }
        Ok((sway, gain))
    }
}

/// Log of rates over the targets' means.
fn log_ratios(rates: &Array3<f64>, means: &[f64]) -> Array3<f64> {
    Array3::from_shape_fn(rates.dim(), |at| (rates[at].max(FLOOR * means[at.2]) / means[at.2]).ln())
}
