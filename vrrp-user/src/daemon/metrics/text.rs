//! The text format 0.0.4 of Prometheus, made of OpenMetrics text, and which of the two a client takes.
//!
//! They differ in their heads: a counter is called by its samples' name (`…_total`), an info is a gauge `…_info`, and
//! there are neither units nor an end (<https://prometheus.io/docs/instrumenting/exposition_formats/>).

/// What a client is sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Text format 0.0.4.
    Text,
}

impl Format {
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// The text in this format, of OpenMetrics text.
    pub(super) fn of(self, openmetrics: String) -> String {
        match self {
            Self::OpenMetrics => openmetrics,
            Self::Text => of_openmetrics(&openmetrics),
        }
    }

    /// By `Accept` (RFC 9110 §12.5.1): OpenMetrics if it is asked for by name and no less wanted than plain text.
    pub fn accepted(accept: &str) -> Self {
        let mut weights = [0.0_f32, 0.0];
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let place = match parts.next().unwrap_or_default().to_ascii_lowercase().as_str() {
                "application/openmetrics-text" => 0,
                "text/plain" => 1,
                _ => continue,
            };
            let weight = parts.find_map(|it| it.strip_prefix("q="));
            let weight = weight.map_or(1.0, |it| it.parse().unwrap_or(0.0));
            if let Some(known) = weights.get_mut(place) {
                *known = known.max(weight);
            }
        }
        let [openmetrics, text] = weights;
        if openmetrics > 0.0 && openmetrics >= text { Self::OpenMetrics } else { Self::Text }
    }
}

/// The same samples in format 0.0.4.
fn of_openmetrics(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut help = None;
    for line in text.lines() {
        let words = line.strip_prefix("# ").and_then(|head| head.split_once(' '));
        match words {
            Some(("HELP", rest)) => help = rest.split_once(' '),
            Some(("TYPE", rest)) => {
                let Some((name, kind)) = rest.split_once(' ') else { continue };
                let (suffix, kind) = match kind {
                    "counter" => ("_total", "counter"),
                    "info" => ("_info", "gauge"),
                    "stateset" => ("", "gauge"),
                    "unknown" => ("", "untyped"),
                    other => ("", other),
                };
                if let Some((_, text)) = help.take().filter(|(of, _)| *of == name) {
                    // Quotation marks are escaped in OpenMetrics alone.
                    let text = text.replace("\\\"", "\"");
                    out.extend(["# HELP ", name, suffix, " ", &text, "\n"]);
                }
                out.extend(["# TYPE ", name, suffix, " ", kind, "\n"]);
            }
            _ if line.starts_with('#') => {}
            _ => out.extend([line, "\n"]),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_differ_and_samples_do_not() {
        let openmetrics = "# HELP a Says \\\"x\\\".\n# TYPE a counter\na_total{b=\"# c\"} 1\n# HELP d Build.\n\
                           # TYPE d info\nd_info{v=\"1\"} 1\n# HELP e_seconds Age.\n# TYPE e_seconds gauge\n\
                           # UNIT e_seconds seconds\ne_seconds 0.5\n# EOF\n";
        let expected = "# HELP a_total Says \"x\".\n# TYPE a_total counter\na_total{b=\"# c\"} 1\n\
                        # HELP d_info Build.\n# TYPE d_info gauge\nd_info{v=\"1\"} 1\n\
                        # HELP e_seconds Age.\n# TYPE e_seconds gauge\ne_seconds 0.5\n";
        assert_eq!(of_openmetrics(openmetrics), expected);
    }

    #[test]
    fn openmetrics_is_for_those_who_ask_for_it() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.6,application/openmetrics-text;\
                          version=0.0.1;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        let rows = [
            ("", Format::Text),
            ("*/*", Format::Text),
            ("text/html, text/plain;version=0.0.4", Format::Text),
            ("Application/OpenMetrics-Text", Format::OpenMetrics),
            (prometheus, Format::OpenMetrics),
            ("application/openmetrics-text;q=0, */*", Format::Text),
            ("application/openmetrics-text;q=0.2,text/plain;q=0.9", Format::Text),
            ("application/openmetrics-text;q=lots", Format::Text),
        ];
        for (accept, format) in rows {
            assert_eq!(Format::accepted(accept), format, "{accept}");
        }
    }
}
