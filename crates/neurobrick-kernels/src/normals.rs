//! Normal noise whose values are a pure function of where they are used.

use crate::DropoutStream;

/// 2⁻³².
const UNIT: f64 = 1.0 / 4_294_967_296.0;

impl DropoutStream {
    /// Writes standard normal values from index `start` on, by Box and Muller's transform (1958) of the stream's words:
    /// two words make two values.
    ///
    /// A site draws either dropout factors or noise, since both read the same words. The transform is in double
    /// precision and rounded once.
    ///
    /// ```
    /// use neurobrick_kernels::DropoutStream;
    ///
    /// let stream = DropoutStream::new(1, 500, 3, 12); // seed, step, example, site
    /// let (mut whole, mut part) = ([0.0; 100], [0.0; 30]);
    /// stream.normals_into(0, &mut whole);
    /// stream.normals_into(70, &mut part);
    /// assert_eq!(whole[70..], part);
    /// ```
    ///
    /// # Panics
    /// If the range reaches past index 2³⁴.
    pub fn normals_into(&self, start: usize, out: &mut [f32]) {
        let mut index = start;
        let mut rest = out;
        while !rest.is_empty() {
            let values = normals_of(self.words(index / 4));
            let skip = index % 4;
            let n = (4 - skip).min(rest.len());
            let (now, later) = rest.split_at_mut(n);
            now.copy_from_slice(&values[skip..skip + n]);
            index += n;
            rest = later;
        }
    }
}

/// Four normal values of four words.
fn normals_of(words: [u32; 4]) -> [f32; 4] {
    let pair = |radius: u32, angle: u32| {
        // In (0, 1], so that the logarithm is finite.
        let radius = (-2.0 * ((f64::from(radius) + 1.0) * UNIT).ln()).sqrt();
        let (sine, cosine) = (std::f64::consts::TAU * f64::from(angle) * UNIT).sin_cos();
        #[expect(clippy::cast_possible_truncation, reason = "noise is single precision")]
        [(radius * cosine) as f32, (radius * sine) as f32]
    };
    let ([a, b], [c, d]) = (pair(words[0], words[1]), pair(words[2], words[3]));
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_a_normal_and_streams_differ() {
        let draw = |example| {
            let mut out = vec![0.0f32; 100_000];
            DropoutStream::new(7, 2, example, 5).normals_into(0, &mut out);
            out
        };
        let (a, b) = (draw(0), draw(1));
        let mean = |f: &dyn Fn(usize) -> f64| (0..a.len()).map(f).sum::<f64>() / 1e5;
        // Four standard errors of each mean: 1, √2, √96 and 1 over √1e5.
        assert!(mean(&|i| f64::from(a[i])).abs() < 0.0127);
        assert!((mean(&|i| f64::from(a[i]).powi(2)) - 1.0).abs() < 0.0179);
        assert!((mean(&|i| f64::from(a[i]).powi(4)) - 3.0).abs() < 0.124);
        assert!(mean(&|i| f64::from(a[i]) * f64::from(b[i])).abs() < 0.0127);
        assert!(mean(&|i| f64::from(a[i]) * f64::from(a[(i + 1) % a.len()])).abs() < 0.0127);
    }
}
