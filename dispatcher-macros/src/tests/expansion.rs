//! One expansion, kept as a golden file so that a change of the output is seen in review.
//!
//! `UPDATE_GOLDEN=1 cargo nextest run -p dispatcher-macros` writes the file anew.

use std::path::Path;

use quote::quote;

#[test]
fn output_is_the_golden_file() {
    let output = crate::derive(quote! {
        /// Renews one certificate.
        #[derive(Dispatcher)]
        #[dispatcher(name = "certs.renew", alias = "renew", timeout = 0, max_queue = 1)]
        #[dispatcher(schedule = "daily", jitter = "5m", nice = -5, env = ["PATH"], schema)]
        struct RenewCertificate {
            /// Its domain.
            domain: String,
            #[dispatcher(secret)]
            tokens: Vec<(u8, String)>,
        }
    });
    let file = syn::parse2(output).expect("the output is Rust");
    let printed = prettyplease::unparse(&file);
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests/expansion.golden");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&golden, &printed).expect("the golden file can be written");
    }
    let expected = std::fs::read_to_string(&golden).expect("the golden file can be read");
    assert_eq!(printed, expected, "see the head of this file");
}

#[test]
fn rubbish_is_an_error_and_no_panic() {
    for rubbish in [
        quote!(),
        quote!(
            fn f() {}
        ),
        quote!(struct),
        quote!(
            #[dispatcher(= , 5, "x", a::b = 1, timeout == 3, timeout 3, grace =, [])]
            struct S;
        ),
        quote!(
            #[dispatcher = 1]
            #[dispatcher]
            #[dispatcher[x]]
            #[dispatcher{}]
            struct S(u8);
        ),
        quote!(
            #[dispatcher(alias, alias(1), alias = [], schema = 1, crate = 5)]
            enum E {}
        ),
        quote!(
            #[serde(rename = 3, skip = , rename_all)]
            #[doc(hidden)]
            struct S {
                #[serde(=)]
                a: u8,
            }
        ),
    ] {
        let output = crate::derive(rubbish.clone()).to_string();
        assert!(
            output.contains("compile_error") || output.contains("DEFINITION"),
            "{rubbish} became {output}"
        );
    }
}
