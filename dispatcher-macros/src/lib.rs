//! `#[derive(Dispatcher)]`: makes a struct a kind of background work and registers it.
//!
//! The way of an invocation is `ast` (what was written) → `attr` (attributes as keys and values) →
//! `check` (what it means) → `expand`, or `fallback` when anything was wrong. Nothing here panics,
//! and every mistake is reported, not only the first.

use proc_macro::TokenStream;

mod ast;
mod attr;
mod check;
mod cron;
mod errors;
mod expand;
mod fallback;
mod read;
mod serde_names;
mod table;
mod text;
mod value;

#[cfg(test)]
#[path = "../../tests/tests/fuzz/driver.rs"]
mod fuzzing;
#[cfg(test)]
mod tests;

/// Registers a struct as a dispatcher; needs `Process`, `Serialize` and `Deserialize` beside it.
///
/// Options stand in `#[dispatcher(...)]` on the struct: `name`, `alias`, `timeout`, `grace`,
/// `max_queue`, `concurrency`, `queue`, `expires`, `schedule`, `timezone`, `missed`, `overlap`,
/// `jitter`, `on_duplicate`, `retries`, `backoff`, `on_lost`, `priority`, `delay`,
/// `required_packages`, `required_commands`, `package_includes`, `isolation`, `memory_limit`,
/// `cpu_limit`, `open_files`, `nice`, `env`, `working_directory`, `leftovers`, `schema`, `crate`.
/// A field may carry `#[dispatcher(secret)]`.
///
/// ```ignore
/// /// Renews one certificate.
/// #[derive(Dispatcher, Serialize, Deserialize)]
/// #[dispatcher(timeout = "5m", retries = 3, backoff = "exponential(1s, 1h)")]
/// struct RenewCertificate {
///     domain: String,
///     #[dispatcher(secret)]
///     token: String,
/// }
/// ```
#[proc_macro_derive(Dispatcher, attributes(dispatcher))]
pub fn derive_dispatcher(input: TokenStream) -> TokenStream {
    derive(input.into()).into()
}

/// The derive on tokens that also exist outside of a compiler, so that tests can look at it.
fn derive(input: proc_macro2::TokenStream) -> proc_macro2::TokenStream {
    let input = match syn::parse2(input) {
        Ok(input) => input,
        Err(error) => return error.to_compile_error(),
    };
    let mut errors = errors::Errors::default();
    let input = ast::read(&input, &mut errors);
    let checked = check::check(&input, &mut errors);
    if errors.is_empty() {
        expand::expand(&input, &checked)
    } else {
        fallback::stub(&input, &checked, &errors)
    }
}
