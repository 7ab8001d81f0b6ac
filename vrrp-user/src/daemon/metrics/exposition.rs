//! OpenMetrics text (<https://github.com/prometheus/OpenMetrics>), family by family.
//!
//! Enters: families with their rows, in the order in which they are to stand. Leaves: the text, up to its end mark.
//! Absent: units, exemplars, and what the rows mean.

use std::fmt::{self, Write};

pub(super) type Labels<'a> = Vec<(&'static str, &'a str)>;

/// The text as far as it is written.
#[derive(Debug, Default)]
pub(super) struct Exposition(String);

/// What the rows of a family are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Gauge,
    Counter,
    Info,
    Histogram,
}

/// A number of a row.
pub(super) trait Sample {
    fn write(&self, out: &mut String) -> fmt::Result;
}

impl Sample for u64 {
    fn write(&self, out: &mut String) -> fmt::Result {
        write!(out, "{self}")
    }
}

/// Always with a fraction or an exponent, which marks a float.
impl Sample for f64 {
    fn write(&self, out: &mut String) -> fmt::Result {
        match self.is_infinite() {
            true => out.write_str(if *self > 0.0 { "+Inf" } else { "-Inf" }),
            false => write!(out, "{self:?}"),
        }
    }
}

impl Exposition {
    /// Begins a family.
    pub(super) fn family<'a>(
        &'a mut self,
        name: &'a str,
        help: &str,
        kind: Kind,
    ) -> Result<Family<'a>, fmt::Error> {
        let out = &mut self.0;
        write!(out, "# HELP {name} ")?;
        escape(out, help)?;
        let kind = match kind {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
            Kind::Info => "info",
            Kind::Histogram => "histogram",
        };
        writeln!(out, "\n# TYPE {name} {kind}")?;
        Ok(Family { out, name })
    }

    /// The whole text.
    pub(super) fn finish(mut self) -> String {
        self.0.push_str("# EOF\n");
        self.0
    }
}

/// A family whose rows may follow.
#[derive(Debug)]
pub(super) struct Family<'a> {
    out: &'a mut String,
    name: &'a str,
}

impl Family<'_> {
    pub(super) fn gauge(&mut self, labels: &Labels<'_>, value: f64) -> fmt::Result {
        self.row("", labels, &value)
    }

    pub(super) fn counter(&mut self, labels: &Labels<'_>, value: &impl Sample) -> fmt::Result {
        self.row("_total", labels, value)
    }

    pub(super) fn info(&mut self, labels: &Labels<'_>) -> fmt::Result {
        self.row("_info", labels, &1_u64)
    }

    /// Buckets by upper bound, each with its own count; the last bound is infinite.
    pub(super) fn histogram(&mut self, sum: f64, buckets: &[(f64, u64)]) -> fmt::Result {
        self.row("_sum", &vec![], &sum)?;
        self.row("_count", &vec![], &buckets.iter().map(|(_, count)| count).sum::<u64>())?;
        let mut below = 0_u64;
        for (bound, count) in buckets {
            below = below.saturating_add(*count);
            let mut le = String::new();
            bound.write(&mut le)?;
            self.row("_bucket", &vec![("le", &le)], &below)?;
        }
        Ok(())
    }

    fn row(&mut self, suffix: &str, labels: &Labels<'_>, value: &impl Sample) -> fmt::Result {
        let out = &mut *self.out;
        write!(out, "{}{suffix}", self.name)?;
        let mut before = '{';
        for (name, value) in labels {
            write!(out, "{before}{name}=\"")?;
            escape(out, value)?;
            out.push('"');
            before = ',';
        }
        if !labels.is_empty() {
            out.push('}');
        }
        out.push(' ');
        value.write(out)?;
        out.write_char('\n')
    }
}

fn escape(out: &mut String, text: &str) -> fmt::Result {
    for letter in text.chars() {
        match letter {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            letter => out.write_char(letter)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_rows() {
        let mut out = Exposition::default();
        let mut family = out.family("a", "Says \"x\".", Kind::Gauge).unwrap();
        family.gauge(&vec![], 1.0).unwrap();
        family.gauge(&vec![("of", "a\"b\\c\nd"), ("to", "é")], f64::INFINITY).unwrap();
        let mut family = out.family("b", "B", Kind::Counter).unwrap();
        family.counter(&vec![("x", "1")], &7_u64).unwrap();
        family.counter(&vec![], &0.25).unwrap();
        out.family("c", "C", Kind::Info).unwrap().info(&vec![("v", "1")]).unwrap();
        let buckets = [(0.5, 2), (f64::INFINITY, 3)];
        out.family("d", "D", Kind::Histogram).unwrap().histogram(1.5, &buckets).unwrap();
        let expected = "# HELP a Says \\\"x\\\".\n# TYPE a gauge\na 1.0\na{of=\"a\\\"b\\\\c\\nd\",to=\"é\"} +Inf\n\
                        # HELP b B\n# TYPE b counter\nb_total{x=\"1\"} 7\nb_total 0.25\n\
                        # HELP c C\n# TYPE c info\nc_info{v=\"1\"} 1\n\
                        # HELP d D\n# TYPE d histogram\nd_sum 1.5\nd_count 5\nd_bucket{le=\"0.5\"} 2\n\
                        d_bucket{le=\"+Inf\"} 5\n# EOF\n";
        assert_eq!(out.finish(), expected);
    }
}
