//! Reasons of orders.

/// Longest reason in characters.
const REASON_MAX: usize = 200;

/// Checks a reason: it is shown on terminals and in logs.
pub(super) fn check_reason(reason: &str) -> Result<(), String> {
    if reason.chars().any(char::is_control) {
        return Err("the reason has control characters; write it as one line of text".to_owned());
    }
    if reason.chars().count() > REASON_MAX {
        return Err(format!("the reason is longer than {REASON_MAX} characters"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_line() {
        assert!(check_reason("new kernel – ticket 4711").is_ok());
        assert!(check_reason("a\nb").is_err() && check_reason("\x1b[2J").is_err());
        assert!(check_reason(&"x".repeat(201)).is_err());
    }
}
