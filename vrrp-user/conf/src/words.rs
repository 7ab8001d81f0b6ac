//! Texts of errors for people.

use std::fmt::Display;

/// Before the number in the text of a [`std::io::Error`]; it ends with a bracket.
const NUMBER: &str = " (os error ";

/// A text without the numbers of the system's errors in it, however deep libraries have wrapped them: the words before
/// a number say the same.
pub fn words(text: impl Display) -> String {
    let mut text = text.to_string();
    let mut from = 0;
    while let Some(found) = text.get(from..).and_then(|rest| rest.find(NUMBER)) {
        let at = from + found;
        let number = text.get(at + NUMBER.len()..).unwrap_or_default();
        let digits = number.bytes().take_while(u8::is_ascii_digit).count();
        if number.as_bytes().get(digits) == Some(&b')') {
            text.replace_range(at..=at + NUMBER.len() + digits, "");
        }
        from = at.saturating_add(1).min(text.len());
        while !text.is_char_boundary(from) {
            from += 1;
        }
    }
    text
}

/// A name as one item of a list: in quotes if it has blanks, commas or quotes, as in the file.
pub fn quoted(name: &str) -> String {
    let is_open = |letter: char| letter.is_whitespace() || matches!(letter, ',' | '"' | '\'');
    if name.is_empty() || name.contains(is_open) { format!("{name:?}") } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn errors_of_the_system_have_no_number() {
        let missing = || io::Error::from_raw_os_error(2);
        assert_eq!(words(missing()), "No such file or directory");
        let inner = io::Error::other(format!("a: {}, b: {}; look", missing(), missing()));
        assert_eq!(words(inner), "a: No such file or directory, b: No such file or directory; look");
        for text in ["", "no (os error x)", "cut (os error 2", "ä (os error ö)", "(os error 2)"] {
            assert_eq!(words(text), text);
        }
    }

    #[test]
    fn names_with_blanks_are_one_item_each() {
        let shown = ["VI_1", "VI 1", "a,b", "say \"no\"", ""].map(quoted).join(" ");
        assert_eq!(shown, r#"VI_1 "VI 1" "a,b" "say \"no\"" """#);
    }
}
