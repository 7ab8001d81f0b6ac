//! All of one instance, as `vrrpx status NAME` prints it, and its gaps as bars.

use ratatui::Frame;
use ratatui::text::Line;

use super::board::Board;
use super::columns::bar;
use super::screen::{Pen, foot, presence};
use crate::config::folded;
use crate::daemon::status::{Gaps, Peer, Status, View, WIDTH, detailed, overview, span};

/// Columns of the bound of a bar, and of its count.
const BOUND: usize = 14;

/// Draws from this line on, and returns the line that is the first one.
pub(super) fn draw(board: &Board, frame: &mut Frame<'_>, from: usize) -> usize {
    let area = frame.area();
    let shown = board.shown();
    let name = shown.get(board.selected(&shown)).map(|it| it.name.clone());
    let of = board.status.clone().zip(name).map(|(status, name)| status.of(&name));
    let width = usize::from(area.width);
    let lines = of.map(|status| lines(&status, width)).unwrap_or_default();
    let mut pen = Pen::new(board, frame.buffer_mut(), area);
    presence(&mut pen, board);
    let height = usize::from(area.height.saturating_sub(1)).saturating_sub(pen.used());
    let from = from.min(lines.len().saturating_sub(height));
    for line in lines.into_iter().skip(from).take(height) {
        pen.line(Line::raw(line));
    }
    foot(&mut pen, "j k scroll  Enter or q back  ^C quit");
    from
}

fn lines(status: &Status, width: usize) -> Vec<String> {
    let view = View { all: true, width: width.min(WIDTH), ..View::default() };
    let text = format!("{}\n{}", overview(status, view), detailed(status, width.min(WIDTH)));
    let mut lines: Vec<String> = folded(width, &text).lines().map(str::to_owned).collect();
    for instance in &status.instances {
        for peer in instance.peers.iter().filter(|peer| !peer.gaps.is_empty()) {
            lines.push(String::new());
            let allowed = instance.allowed_seconds().map(span);
            let allowed = allowed.map_or(String::new(), |allowed| format!("; {allowed} is allowed"));
            lines.push(format!(
                "GAPS of {}, the longest {}{allowed}",
                peer.address,
                span(peer.gap_max_seconds)
            ));
            lines.extend(bars(peer, width));
        }
    }
    lines
}

/// A line for each bucket, with a bar as long as its share of the largest one.
fn bars(peer: &Peer, width: usize) -> Vec<String> {
    let most = peer.gaps.iter().map(|it| it.count).max().unwrap_or(1).max(1);
    let room = width.saturating_sub(2 * BOUND + 2);
    let line = |it: &Gaps| {
        let bound =
            it.below_seconds.map_or_else(|| "longer".to_owned(), |below| format!("< {}", span(below)));
        let count = it.count;
        let bar = bar(f64::from(count) / f64::from(most), room);
        format!("{bound:>BOUND$} {count:>BOUND$} {bar}").trim_end().to_owned()
    };
    peer.gaps.iter().map(line).collect()
}
