//! Texts within HTML.

use std::fmt::{self, Display, Write};

use crate::daemon::wall::shown_of;

/// A time, or nothing.
pub(super) fn since(time: Option<&str>) -> String {
    time.map(self::time).unwrap_or_default()
}

/// A time of the status: for people the local one of this node, and as it is for programs.
pub(super) fn time(time: &str) -> String {
    let (at, shown) = (Escaped(time), shown_of(time));
    format!("<time datetime=\"{at}\">{}</time>", Escaped(&shown))
}

/// Text within HTML, also within quoted attributes.
pub(super) struct Escaped<'a>(pub(super) &'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|character| match character {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            other => f.write_char(other),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_no_markup() {
        let text = Escaped("<script>'x' & \"y\"</script>").to_string();
        assert_eq!(text, "&lt;script&gt;&#39;x&#39; &amp; &quot;y&quot;&lt;/script&gt;");
    }
}
