//! Rules about Rust code, found by its syntax, so that strings and comments do not matter.
//!
//! Code under `#[test]` and `#[cfg(test)]` is left out where a rule is for products only.

use std::collections::BTreeSet;

use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};

use crate::source::{Finding, Realm, Source, is_for_tests};

/// Lines of the longest function.
const FUNCTION_LINES_MAX: usize = 70;

/// Rule 3.
pub(crate) fn short_functions(source: &Source) -> Vec<Finding> {
    let mut functions = Functions::default();
    functions.run(source);
    let long = functions.found.into_iter().filter_map(|function| {
        let lines = function.last - function.first + 1;
        let what = format!("`{}` has {lines} lines", function.name);
        (lines > FUNCTION_LINES_MAX).then(|| Finding::at(function.first, what))
    });
    long.collect()
}

/// Rule 5, of functions that anybody else can call.
pub(crate) fn no_boolean_parameters(source: &Source) -> Vec<Finding> {
    if source.realm != Realm::Product {
        return Vec::new();
    }
    let mut functions = Functions::default();
    functions.run(source);
    let found = functions
        .found
        .into_iter()
        .filter(|function| !function.is_private);
    let found = found.flat_map(|function| {
        let name = function.name;
        let at = function.first;
        let what = move |parameter| {
            Finding::at(
                at,
                format!("`{name}` takes `{parameter}: bool`; say it with an enum"),
            )
        };
        function.booleans.into_iter().map(what)
    });
    found.collect()
}

/// Rule 2: a file does not begin with a helper of what follows.
pub(crate) fn story_first(source: &Source) -> Vec<Finding> {
    if source.realm != Realm::Product {
        return Vec::new();
    }
    let items = source.syntax().into_iter().flat_map(|syntax| &syntax.items);
    let mut functions = items.filter_map(|item| match item {
        syn::Item::Fn(function) if function.sig.ident != "main" => Some(function),
        _ => None,
    });
    let is_private = |function: &&syn::ItemFn| matches!(function.vis, syn::Visibility::Inherited);
    let Some(first) = functions.next().filter(is_private) else {
        return Vec::new();
    };
    let told = functions.find(|function| !is_private(function));
    let found = told.map(|told| {
        let (helper, story) = (&first.sig.ident, &told.sig.ident);
        let what = format!("the private `{helper}` stands above the first public `{story}`");
        Finding::at(line(first.sig.fn_token.span), what)
    });
    found.into_iter().collect()
}

/// Rule 8: nothing that may panic without an invariant that says why it cannot.
pub(crate) fn stated_invariants(source: &Source) -> Vec<Finding> {
    struct Calls(Vec<Finding>);

    impl<'ast> Visit<'ast> for Calls {
        fn visit_item(&mut self, item: &'ast syn::Item) {
            if !is_test_item(item) {
                visit::visit_item(self, item);
            }
        }

        fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
            let at = line(call.method.span());
            match call.method.to_string().as_str() {
                "unwrap" | "unwrap_err" if call.args.is_empty() => {
                    self.0.push(Finding::at(
                        at,
                        "`unwrap`; return the error, or state the invariant",
                    ));
                }
                "expect" | "expect_err" if !states_invariant(call) => {
                    self.0
                        .push(Finding::at(at, "`expect` whose text is no `invariant: …`"));
                }
                _ => {}
            }
            visit::visit_expr_method_call(self, call);
        }
    }

    if source.realm != Realm::Product {
        return Vec::new();
    }
    let mut calls = Calls(Vec::new());
    visit_source(&mut calls, source);
    calls.0
}

fn states_invariant(call: &syn::ExprMethodCall) -> bool {
    match call.args.first() {
        Some(syn::Expr::Lit(literal)) => match &literal.lit {
            syn::Lit::Str(text) => text.value().starts_with("invariant: "),
            _ => true,
        },
        // A parser's `expect(token)` is something else.
        Some(_) | None => !call.args.is_empty(),
    }
}

/// Rule 14: a derive answers every mistake with a compile error of its own.
pub(crate) fn macros_never_panic(source: &Source) -> Vec<Finding> {
    const PANICS: [&str; 8] = [
        "panic",
        "unreachable",
        "unimplemented",
        "todo",
        "assert",
        "assert_eq",
        "assert_ne",
        "debug_assert",
    ];
    if source.realm != Realm::Product || !source.is_in(&["dispatcher-macros/src/"]) {
        return Vec::new();
    }
    let mut found = stated_invariants(source);
    for (at, name, _) in macros(source) {
        if PANICS.contains(&name.as_str()) {
            found.push(Finding::at(at, format!("`{name}!` in a macro")));
        }
    }
    found
}

/// Rule 10.
pub(crate) fn no_allow(source: &Source) -> Vec<Finding> {
    struct Attributes(Vec<Finding>);

    impl<'ast> Visit<'ast> for Attributes {
        fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
            let at = line(attribute.span());
            if attribute.path().is_ident("allow") {
                let what = "`#[allow]`; write `#[expect(lint, reason = \"…\")]`";
                self.0.push(Finding::at(at, what));
            }
            if let syn::Meta::List(list) = &attribute.meta
                && attribute.path().is_ident("expect")
                && !list.tokens.to_string().contains("reason =")
            {
                self.0.push(Finding::at(at, "`#[expect]` without a reason"));
            }
        }
    }

    if source.realm == Realm::Case {
        return Vec::new();
    }
    let mut attributes = Attributes(Vec::new());
    visit_source(&mut attributes, source);
    attributes.0
}

/// Design §2: `unsafe` in named places only.
pub(crate) fn unsafe_in_its_place(source: &Source) -> Vec<Finding> {
    const PLACES: [&str; 2] = [
        "dispatcher-runner/src/process/",
        // The bare fork that the benchmark compares with.
        "dispatcher-runner/src/bin/dispatcher-runner/bench/process/",
    ];

    struct Blocks<'s>(&'s Source, Vec<Finding>);

    impl Blocks<'_> {
        fn met(&mut self, span: proc_macro2::Span, what: &str) {
            let at = line(span);
            if self.0.realm == Realm::Product && !self.0.is_in(&PLACES) {
                self.1
                    .push(Finding::at(at, format!("{what} outside of `process/`")));
            }
            if !has_safety_comment(self.0, at) {
                self.1.push(Finding::at(
                    at,
                    format!("{what} without a `// SAFETY:` above it"),
                ));
            }
        }
    }

    impl<'ast> Visit<'ast> for Blocks<'_> {
        fn visit_expr_unsafe(&mut self, block: &'ast syn::ExprUnsafe) {
            self.met(block.unsafe_token.span, "an `unsafe` block");
            visit::visit_expr_unsafe(self, block);
        }

        fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
            if let Some(token) = &item.unsafety {
                self.met(token.span, "an `unsafe impl`");
            }
            visit::visit_item_impl(self, item);
        }
    }

    if source.realm == Realm::Case {
        return Vec::new();
    }
    let mut blocks = Blocks(source, Vec::new());
    visit_source(&mut blocks, source);
    blocks.1
}

/// The comment stands above the statement that the block belongs to.
fn has_safety_comment(source: &Source, at: usize) -> bool {
    const REACH: usize = 8;
    let lines: Vec<&str> = source.text.lines().take(at).collect();
    let above = lines.iter().rev().take(REACH);
    let statement = above.take_while(|line| !line.trim().is_empty());
    statement
        .into_iter()
        .any(|line| line.contains("// SAFETY: "))
}

/// Rule 8: texts of errors begin in lower case and carry no full stop; what is in `source()` is
/// not in the text as well.
pub(crate) fn error_texts(source: &Source) -> Vec<Finding> {
    struct Errors(Vec<Finding>);

    impl Errors {
        fn meet(&mut self, attributes: &[syn::Attribute], fields: &syn::Fields) {
            for attribute in attributes {
                if !attribute.path().is_ident("error") {
                    continue;
                }
                let Ok(text) = attribute.parse_args_with(|input: syn::parse::ParseStream<'_>| {
                    let text = input.parse::<syn::LitStr>()?;
                    let _: proc_macro2::TokenStream = input.parse()?;
                    Ok(text)
                }) else {
                    continue;
                };
                let (at, text) = (line(text.span()), text.value());
                let first = text.chars().next().unwrap_or(' ');
                // A name of the language may come first.
                let word = text.split(' ').next().unwrap_or_default();
                let is_word = word.chars().skip(1).all(|letter| letter.is_lowercase());
                if first.is_uppercase() && is_word {
                    self.0
                        .push(Finding::at(at, format!("{text:?} begins with a capital")));
                }
                if text.ends_with('.') {
                    self.0
                        .push(Finding::at(at, format!("{text:?} ends with a full stop")));
                }
                for name in sources(fields) {
                    if text.contains(&format!("{{{name}}}")) || text.contains(&format!("{{{name}:"))
                    {
                        let what = format!("{text:?} repeats its source `{name}`");
                        self.0.push(Finding::at(at, what));
                    }
                }
            }
        }
    }

    impl<'ast> Visit<'ast> for Errors {
        fn visit_variant(&mut self, variant: &'ast syn::Variant) {
            self.meet(&variant.attrs, &variant.fields);
        }

        fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
            self.meet(&item.attrs, &item.fields);
        }
    }

    if source.realm == Realm::Case {
        return Vec::new();
    }
    let mut errors = Errors(Vec::new());
    visit_source(&mut errors, source);
    errors.0
}

/// Names of the fields that `thiserror` takes for the source.
fn sources(fields: &syn::Fields) -> Vec<String> {
    let named = fields.iter().enumerate().filter_map(|(at, field)| {
        let is_source = field.attrs.iter().any(|attribute| {
            attribute.path().is_ident("source") || attribute.path().is_ident("from")
        });
        match &field.ident {
            Some(name) if is_source || name == "source" => Some(name.to_string()),
            None if is_source => Some(at.to_string()),
            Some(_) | None => None,
        }
    });
    named.collect()
}

/// Rule 13: tests wait for something, never for a time.
pub(crate) fn no_sleep_in_tests(source: &Source) -> Vec<Finding> {
    /// The helpers that poll until a deadline.
    const HELPERS: [&str; 2] = ["tests/src/lib.rs", "examples/tests/examples/support.rs"];

    struct Calls {
        in_test: bool,
        found: Vec<Finding>,
    }

    impl<'ast> Visit<'ast> for Calls {
        fn visit_item(&mut self, item: &'ast syn::Item) {
            let outside = self.in_test;
            self.in_test |= is_test_item(item);
            visit::visit_item(self, item);
            self.in_test = outside;
        }

        fn visit_path(&mut self, path: &'ast syn::Path) {
            let last = path
                .segments
                .last()
                .map(|segment| segment.ident.to_string());
            let is_sleep = matches!(last.as_deref(), Some("sleep" | "sleep_ms" | "nanosleep"));
            if self.in_test && is_sleep {
                let what = "`sleep` in a test; wait with `dispatcher_tests::eventually`";
                self.found.push(Finding::at(line(path.span()), what));
            }
            visit::visit_path(self, path);
        }
    }

    if source.is_in(&HELPERS) || source.realm == Realm::Case {
        return Vec::new();
    }
    let is_fixture = source.is_in(&["tests/src/bin/"]);
    let mut calls = Calls {
        in_test: source.realm == Realm::Test || is_fixture,
        found: Vec::new(),
    };
    visit_source(&mut calls, source);
    calls.found
}

/// Enums of the workspace with their variants, for [`exhaustive_matches`].
pub(crate) fn own_variants(sources: &[Source]) -> BTreeSet<(String, String)> {
    struct Enums(BTreeSet<(String, String)>);

    impl<'ast> Visit<'ast> for Enums {
        fn visit_item_enum(&mut self, item: &'ast syn::ItemEnum) {
            let is_open = |attribute: &syn::Attribute| attribute.path().is_ident("non_exhaustive");
            if item.attrs.iter().any(is_open) {
                return;
            }
            for variant in &item.variants {
                self.0
                    .insert((item.ident.to_string(), variant.ident.to_string()));
            }
        }
    }

    let mut enums = Enums(BTreeSet::new());
    for source in sources
        .iter()
        .filter(|source| source.realm == Realm::Product)
    {
        visit_source(&mut enums, source);
    }
    enums.0
}

/// Rule 6: a match on our own enums has no `_ =>`.
pub(crate) fn exhaustive_matches(
    source: &Source,
    own: &BTreeSet<(String, String)>,
) -> Vec<Finding> {
    struct Matches<'o>(&'o BTreeSet<(String, String)>, Vec<Finding>);

    impl<'ast> Visit<'ast> for Matches<'_> {
        fn visit_item(&mut self, item: &'ast syn::Item) {
            if !is_test_item(item) {
                visit::visit_item(self, item);
            }
        }

        fn visit_expr_match(&mut self, expression: &'ast syn::ExprMatch) {
            let own = expression
                .arms
                .iter()
                .find_map(|arm| top_path(&arm.pat, self.0));
            let wild = expression
                .arms
                .iter()
                .find(|arm| matches!(arm.pat, syn::Pat::Wild(_)));
            if let (Some(name), Some(wild)) = (own, wild) {
                let what = format!("`_ =>` in a match on our own `{name}`");
                self.1.push(Finding::at(line(wild.pat.span()), what));
            }
            visit::visit_expr_match(self, expression);
        }
    }

    if source.realm != Realm::Product {
        return Vec::new();
    }
    let mut matches = Matches(own, Vec::new());
    visit_source(&mut matches, source);
    matches.1
}

/// The enum of ours whose variant a pattern names at its top.
fn top_path(pattern: &syn::Pat, own: &BTreeSet<(String, String)>) -> Option<String> {
    let of = |path: &syn::Path| {
        let mut names = path
            .segments
            .iter()
            .rev()
            .map(|segment| segment.ident.to_string());
        let (variant, name) = (names.next()?, names.next()?);
        own.contains(&(name.clone(), variant)).then_some(name)
    };
    match pattern {
        syn::Pat::Path(path) => of(&path.path),
        syn::Pat::TupleStruct(tuple) => of(&tuple.path),
        syn::Pat::Struct(fields) => of(&fields.path),
        syn::Pat::Or(either) => either.cases.iter().find_map(|case| top_path(case, own)),
        syn::Pat::Guard(guarded) => top_path(&guarded.pat, own),
        syn::Pat::Ident(binding) => {
            let (_, inner) = binding.subpat.as_ref()?;
            top_path(inner, own)
        }
        _ => None,
    }
}

/// A function as it stands in a file.
struct Function {
    name: String,
    first: usize,
    last: usize,
    is_private: bool,
    booleans: Vec<String>,
}

#[derive(Default)]
struct Functions {
    found: Vec<Function>,
}

impl Functions {
    fn run(&mut self, source: &Source) {
        if source.realm != Realm::Case {
            visit_source(self, source);
        }
    }

    fn add(&mut self, signature: &syn::Signature, is_private: bool, last: usize) {
        let booleans = signature.inputs.iter().filter_map(|input| match input {
            syn::FnArg::Typed(typed) => match &*typed.ty {
                syn::Type::Path(path) if path.path.is_ident("bool") => {
                    let text = match &*typed.pat {
                        syn::Pat::Ident(name) => name.ident.to_string(),
                        _ => "_".to_owned(),
                    };
                    Some(text)
                }
                _ => None,
            },
            syn::FnArg::Receiver(_) => None,
        });
        self.found.push(Function {
            name: signature.ident.to_string(),
            first: line(signature.fn_token.span),
            last,
            is_private,
            booleans: booleans.collect(),
        });
    }
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        let is_private = matches!(function.vis, syn::Visibility::Inherited);
        let last = function.block.brace_token.span.close().start().line;
        self.add(&function.sig, is_private, last);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        let is_private = matches!(function.vis, syn::Visibility::Inherited);
        let last = function.block.brace_token.span.close().start().line;
        self.add(&function.sig, is_private, last);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        let first = line(function.sig.fn_token.span);
        let block = function.default.as_ref();
        let last = block.map_or(first, |block| block.brace_token.span.close().start().line);
        self.add(&function.sig, false, last);
        visit::visit_trait_item_fn(self, function);
    }
}

/// Calls of macros outside of tests: line, name, text.
fn macros(source: &Source) -> Vec<(usize, String, String)> {
    struct Macros(Vec<(usize, String, String)>);

    impl<'ast> Visit<'ast> for Macros {
        fn visit_item(&mut self, item: &'ast syn::Item) {
            if !is_test_item(item) {
                visit::visit_item(self, item);
            }
        }

        fn visit_macro(&mut self, call: &'ast syn::Macro) {
            if let Some(name) = call.path.segments.last() {
                let (at, name) = (line(name.ident.span()), name.ident.to_string());
                self.0.push((at, name, call.tokens.to_string()));
            }
        }
    }

    let mut macros = Macros(Vec::new());
    visit_source(&mut macros, source);
    macros.0
}

fn visit_source<'ast>(visitor: &mut impl Visit<'ast>, source: &'ast Source) {
    if let Some(syntax) = source.syntax() {
        visitor.visit_file(syntax);
    }
}

fn is_test_item(item: &syn::Item) -> bool {
    match item {
        syn::Item::Fn(item) => is_for_tests(&item.attrs),
        syn::Item::Mod(item) => is_for_tests(&item.attrs),
        syn::Item::Impl(item) => is_for_tests(&item.attrs),
        syn::Item::Struct(item) => is_for_tests(&item.attrs),
        _ => false,
    }
}

pub(crate) fn line(span: proc_macro2::Span) -> usize {
    span.start().line
}
