//! `#[derive(Dispatcher)]`.
use proc_macro::TokenStream;

/// Stub.
#[proc_macro_derive(Dispatcher, attributes(dispatcher))]
pub fn derive_dispatcher(_input: TokenStream) -> TokenStream {
    TokenStream::new()
}
