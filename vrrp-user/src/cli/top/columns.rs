//! Texts in columns, and plots of blocks.

use std::collections::VecDeque;

use crate::config::{self, padded, split_at_width};

/// Blocks of eighths.
const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// A text of this width exactly: cut, with a sign that it is, or padded.
pub(super) fn fitted(text: &str, width: usize) -> String {
    if config::width(text) <= width {
        return padded(text, width);
    }
    let Some(room) = width.checked_sub(1) else { return String::new() };
    padded(&format!("{}…", split_at_width(text, room).0), width)
}

/// A block for each of the latest shares of 1, as many as fit; blank where there is none.
pub(super) fn plot(shares: &VecDeque<Option<f64>>, width: usize) -> String {
    let skipped = shares.len().saturating_sub(width);
    let blocks: String = shares.iter().skip(skipped).map(|share| share.map_or(' ', level)).collect();
    format!("{blocks:>width$}")
}

fn level(share: f64) -> char {
    let top = LEVELS.len() - 1;
    let place = LEVELS.iter().enumerate().position(|(place, _)| {
        let bound = f64::from(u8::try_from(place + 1).unwrap_or(u8::MAX)) / 8.0;
        share <= bound
    });
    LEVELS.get(place.unwrap_or(top)).copied().unwrap_or(' ')
}

/// A bar of this share of its width, of blocks and a part of one.
pub(super) fn bar(share: f64, width: usize) -> String {
    let width = f64::from(u16::try_from(width).unwrap_or(u16::MAX));
    let length = (share.clamp(0.0, 1.0) * width).ceil();
    let mut bar = String::new();
    while f64::from(u16::try_from(bar.chars().count()).unwrap_or(u16::MAX)) < length {
        bar.push('█');
    }
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_have_the_width_of_their_column() {
        assert_eq!(fitted("ab", 4), "ab  ");
        assert_eq!(fitted("abcde", 4), "abc…");
        assert_eq!(fitted("abcde", 1), "…");
        assert_eq!(fitted("abcde", 0), "");
        assert_eq!(["数据", "数据库"].map(|text| fitted(text, 5)), ["数据 ", "数据…"]);
        assert_eq!(fitted("数据库", 4), "数… ");
    }

    #[test]
    fn a_plot_ends_with_the_latest() {
        let shares = [None, Some(0.0), Some(0.28), Some(0.99), Some(3.0)].into_iter().collect();
        assert_eq!(plot(&shares, 6), "  ▁▃██");
        assert_eq!(plot(&shares, 2), "██");
    }

    #[test]
    fn a_bar_of_anything_is_seen() {
        assert_eq!(bar(0.001, 10), "█");
        assert_eq!(bar(0.5, 10), "█████");
        assert_eq!(bar(2.0, 3), "███");
        assert_eq!(bar(0.0, 3), "");
    }
}
