//! Quantiles and medians.

use std::fmt;

/// Values that are sorted once, when all are in.
#[derive(Debug, Default)]
pub struct Quantiles(Vec<i64>);

impl Quantiles {
    /// Of these.
    pub fn new(mut values: Vec<i64>) -> Self {
        values.sort_unstable();
        Self(values)
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The value that a share `q` (0 to 1) of all do not exceed, in thousandths: ns to us, us to ms.
    pub fn at(&self, q: f64) -> f64 {
        let rank = (self.0.len() as f64 * q).ceil() as usize;
        self.0
            .get(rank.clamp(1, self.0.len().max(1)) - 1)
            .map_or(f64::NAN, |v| *v as f64 / 1000.0)
    }
}

/// A few values, told as their median and their range.
#[derive(Debug)]
pub struct Spread(pub Vec<f64>);

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(0);
        let mut values = self.0.clone();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        match values[..] {
            [] => f.write_str("-"),
            [one] => write!(f, "{one:.digits$}"),
            [least, .., most] => {
                let median = if values.len().is_multiple_of(2) {
                    f64::midpoint(values[middle - 1], values[middle])
                } else {
                    values[middle]
                };
                write!(f, "{median:.digits$} ({least:.digits$} to {most:.digits$})")
            }
        }
    }
}
