//! What the compiler says about every kind of mistake, folder by folder, and what it accepts.
//!
//! `TRYBUILD=overwrite cargo nextest run -p dispatcher-core --test ui` writes the `.stderr` files
//! anew; a person reads each before it is kept.

#[test]
fn messages() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/ui/unknown-option/*.rs");
    cases.compile_fail("tests/ui/bad-value/*.rs");
    cases.compile_fail("tests/ui/duplicate/*.rs");
    cases.compile_fail("tests/ui/conflict/*.rs");
    cases.compile_fail("tests/ui/several-at-once/*.rs");
    cases.compile_fail("tests/ui/schedule/*.rs");
    cases.compile_fail("tests/ui/generics/*.rs");
    cases.compile_fail("tests/ui/shape/*.rs");
    cases.compile_fail("tests/ui/missing-impl/*.rs");
    cases.compile_fail("tests/ui/field/*.rs");
    cases.compile_fail("tests/ui/syntax/*.rs");
    if cfg!(feature = "schema") {
        cases.compile_fail("tests/ui/schema/on/*.rs");
    } else {
        cases.compile_fail("tests/ui/schema/off/*.rs");
    }
    cases.pass("tests/ui/pass/*.rs");
}
