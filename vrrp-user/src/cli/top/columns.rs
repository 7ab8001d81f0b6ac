//! Texts in columns, and plots of blocks.

use std::collections::VecDeque;

use crate::config::{self, padded, split_at_width};
use crate::daemon::status::Instance;

/// From this width on, events are beside the selected instance, and there is a column of reasons.
pub(super) const WIDE: usize = 150;

pub(super) const STATE: usize = "MASTER".len();
pub(super) const PRIORITY: usize = "PRIO".len();
pub(super) const SINCE: usize = "23h 59m".len();
pub(super) const MASTER: usize = "255.255.255.255".len();
pub(super) const SHARE: usize = "100%".len();
const PLOT_MIN: usize = 10;
const PLOT_MAX: usize = 60;

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

/// A name of this width exactly: cut in its middle, with a sign that it is, or padded. Names of one kind differ at
/// their ends as often as at their beginnings.
pub(super) fn shortened(name: &str, width: usize) -> String {
    if config::width(name) <= width || width < 3 {
        return fitted(name, width);
    }
    let (mut end, mut tail) = (String::new(), 0);
    for letter in name.chars().rev() {
        tail += config::width(letter.encode_utf8(&mut [0; 4]));
        if tail > (width - 1) / 2 {
            break;
        }
        end.insert(0, letter);
    }
    let begin = split_at_width(name, width - 1 - config::width(&end)).0;
    padded(&format!("{begin}…{end}"), width)
}

/// Widths of the columns that depend on the terminal.
pub(super) struct Widths {
    pub(super) name: usize,
    /// Of an address of IPv6, as far as there is room.
    pub(super) master: usize,
    pub(super) plot: usize,
    pub(super) why: usize,
}

impl Widths {
    /// A name comes before the plot, and before what an address of IPv6 has more than one of IPv4.
    pub(super) fn of(shown: &[&Instance], width: usize) -> Self {
        let longest = shown.iter().map(|it| config::width(&it.name)).max().unwrap_or_default();
        let fixed = 1 + STATE + PRIORITY + SINCE + SHARE + 6 * 2;
        let rest = width.saturating_sub(fixed);
        let most = if width < WIDE { rest.saturating_sub(MASTER + PLOT_MIN) } else { width / 3 };
        let name = longest.min(most).max("INSTANCE".len());
        let masters = shown.iter().filter_map(|it| it.heard_master());
        let longest = masters.map(|peer| peer.address.len()).max().unwrap_or_default().max(MASTER);
        let rest = rest.saturating_sub(name);
        let master = longest.min(rest.saturating_sub(PLOT_MIN).max(MASTER));
        let rest = rest.saturating_sub(master);
        if width < WIDE {
            return Self { name, master, plot: rest.clamp(PLOT_MIN, PLOT_MAX), why: 0 };
        }
        let plot = (rest / 2).clamp(PLOT_MIN, PLOT_MAX);
        Self { name, master, plot, why: rest.saturating_sub(plot + 2) }
    }
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
    fn names_are_cut_in_the_middle() {
        assert_eq!(shortened("ab", 4), "ab  ");
        assert_eq!(shortened("abcdefgh", 5), "ab…gh");
        assert_eq!(shortened("abcdefgh", 6), "abc…gh");
        assert_eq!(["abcd", "abcd", "abcd"].map(|it| shortened(it, 2)), ["a…"; 3]);
        assert_eq!(["数据库主机", "数据库主"].map(|name| shortened(name, 6)), ["数…机 ", "数…主 "]);
        assert_eq!(shortened("数据库abc", 7), "数…abc ");
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
