//! The attribute `needs` of tests; see `vrrp_tests::needs`.

use proc_macro::{Delimiter, Group, TokenStream, TokenTree};

/// Runs a test only where all of these requirements are met, texts that `vrrp_tests::missing` knows. Elsewhere it is
/// reported as skipped, with the first reason.
#[proc_macro_attribute]
pub fn needs(needs: TokenStream, test: TokenStream) -> TokenStream {
    let check = format!("if !::vrrp_tests::met(&[{needs}]) {{ return ::vrrp_tests::Skipped::skipped(); }}");
    let mut tokens: Vec<TokenTree> = test.into_iter().collect();
    let (Some(TokenTree::Group(body)), Ok(check)) = (tokens.pop(), check.parse::<TokenStream>()) else {
        return error();
    };
    if body.delimiter() != Delimiter::Brace {
        return error();
    }
    let mut checked = Group::new(Delimiter::Brace, check.into_iter().chain(body.stream()).collect());
    // Errors in the body keep their place.
    checked.set_span(body.span());
    tokens.push(TokenTree::Group(checked));
    tokens.into_iter().collect()
}

fn error() -> TokenStream {
    "compile_error!(\"needs(\\\"root\\\", …) stands on a function\");".parse().unwrap_or_default()
}
