//! The attributes `needs` and `waits` of tests; see `vrrp_tests`.

use proc_macro::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};

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

/// Marks a test that waits for nearly all of its time, and for seconds, with bounds that a busy machine does not reach:
/// the gate runs eight of them at a time. It is the first attribute of the test, whose name ends with `::waits` by it.
#[proc_macro_attribute]
pub fn waits(_: TokenStream, test: TokenStream) -> TokenStream {
    let mut tokens: Vec<TokenTree> = test.into_iter().collect();
    let is_fn = |token: &TokenTree| matches!(token, TokenTree::Ident(word) if word.to_string() == "fn");
    let name = tokens.iter().position(is_fn).and_then(|at| tokens.get_mut(at + 1));
    let Some(name @ TokenTree::Ident(_)) = name else {
        return "compile_error!(\"waits stands on a function\");".parse().unwrap_or_default();
    };
    let test_name = name.clone();
    *name = TokenTree::Ident(Ident::new("waits", name.span()));
    let Ok(mut body) = "use super::*;".parse::<TokenStream>() else { return TokenStream::new() };
    body.extend(tokens);
    let module = TokenTree::Ident(Ident::new("mod", Span::call_site()));
    [module, test_name, TokenTree::Group(Group::new(Delimiter::Brace, body))].into_iter().collect()
}
