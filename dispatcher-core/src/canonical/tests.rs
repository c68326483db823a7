//! What is the same, what is not, and what has no canonical form.

use super::*;

#[test]
fn canonical_texts() {
    for (payload, expected) in [
        ("null", "null"),
        (" true ", "true"),
        ("false", "false"),
        ("{}", "{}"),
        (" { } ", "{}"),
        ("[ ]", "[]"),
        ("[1 , 2,\n3]", "[1,2,3]"),
        (r#"{"b":1,"a":2}"#, r#"{"a":2,"b":1}"#),
        (r#"{"a":1,"a":2}"#, r#"{"a":2}"#),
        (
            r#"{"a":{"z":[{}],"y":null}}"#,
            r#"{"a":{"y":null,"z":[{}]}}"#,
        ),
        (r#""\u00e9\/\t\u0001\n""#, "\"é/\\u0009\\u0001\\n\""),
        (r#""\ud83d\ude00""#, "\"😀\""),
        (r#""a\"b\\""#, r#""a\"b\\""#),
        (r#"{"\u0061":1}"#, r#"{"a":1}"#),
        (r#""{\"a\": 1}""#, r#""{\"a\": 1}""#),
        (r#"{"é":1,"z":2,"a ":3}"#, r#"{"a ":3,"z":2,"é":1}"#),
    ] {
        assert_eq!(canonical(payload).as_deref(), Ok(expected), "{payload}");
        assert_eq!(
            canonical(expected).as_deref(),
            Ok(expected),
            "canonical twice"
        );
    }
}

#[test]
fn numbers_that_are_the_same() {
    for (spellings, expected) in [
        (
            &[
                "0",
                "-0",
                "0.0",
                "0e5",
                "0E-5",
                "-0.00e99999999999999999999",
            ][..],
            "0",
        ),
        (&["1", "1.0", "1e0", "10e-1", "0.1e1", "1.000e+0"], "1"),
        (&["-1", "-1.0", "-10E-1"], "-1"),
        (&["100", "1e2", "1.00E+2", "10000e-2"], "100"),
        (&["0.5", "5e-1", "0.50", "50e-2"], "0.5"),
        (&["12.34", "1234e-2", "0.1234e2"], "12.34"),
        (&["0.001", "1e-3"], "0.001"),
        (&["1e20"], "100000000000000000000"),
        (&["1e21", "10e20"], "1e21"),
        (&["1e-21", "0.1e-20"], "0.000000000000000000001"),
        (&["1e-22"], "1e-22"),
        (&["18446744073709551616"], "18446744073709551616"),
        (&["18446744073709551617"], "18446744073709551617"),
        (&["0.1000000000000000055"], "0.1000000000000000055"),
    ] {
        for spelling in spellings {
            assert_eq!(canonical(spelling).as_deref(), Ok(expected), "{spelling}");
        }
        assert_eq!(
            canonical(expected).as_deref(),
            Ok(expected),
            "canonical twice"
        );
    }
}

#[test]
fn absurd_exponents_stay_apart() {
    let huge = |sign: &str| format!("1e{sign}99999999999999999999");
    let texts: Vec<_> = ["", "-"].map(|sign| canonical(&huge(sign)).unwrap()).into();
    assert_ne!(texts[0], texts[1]);
    assert!(canonical(&format!("1e-{}", i64::MAX)).is_ok());
    assert!(canonical(&format!("0.1e{}", i64::MIN)).is_ok());
}

#[test]
fn what_differs_has_another_identity() {
    let payloads = [
        "null",
        "0",
        "1",
        "-1",
        "\"1\"",
        "[1]",
        "[1,2]",
        "[2,1]",
        "[[1],2]",
        "[[1,2]]",
        "{}",
        "[]",
        "\"\"",
        r#"{"a":1}"#,
        r#"{"a":"1"}"#,
        r#"{"a":null}"#,
        r#"{"A":1}"#,
        r#"{"a":1,"b":2}"#,
        r#"{"a":2,"b":1}"#,
        r#"{"a":{"b":1}}"#,
        r#"{"a":"\",\"b\":\""}"#,
        r#"{"a":"","b":""}"#,
        "9007199254740992",
        "9007199254740993",
        "18446744073709551616",
        "18446744073709551617",
        "0.1",
        "0.10000000000000001",
        "1e400",
        "1e401",
        "\"é\"",
        "\"e\u{301}\"",
        "\"a\"",
        "\"a \"",
        "true",
        "\"true\"",
    ];
    let mut identities: Vec<_> = payloads.map(|payload| identity(payload).unwrap()).into();
    assert!(identities.iter().all(|identity| identity.len() == 32));
    identities.sort();
    identities.dedup();
    assert_eq!(identities.len(), payloads.len());
}

/// Stored rows hold these; a change makes waiting jobs forget their duplicates.
#[test]
fn identities_do_not_change_between_versions() {
    assert_eq!(identity("{}").unwrap(), "f7ee48f8f9cb635bf4fb8572ce3f67ff");
    assert_eq!(
        identity(r#"{"domain":"a.example"}"#).unwrap(),
        "acef3de16b01f6a95c84a9ef46cb4172"
    );
}

#[test]
fn what_is_no_json_is_refused() {
    for payload in [
        "",
        " ",
        "{",
        "}",
        "[1,]",
        "{\"a\":1,}",
        "{a:1}",
        "nul",
        "01",
        "+1",
        ".5",
        "1.",
        "1e",
        "\"",
        "\"\\x\"",
        "\"\\ud800\"",
        "\"\\udc00\\ud800\"",
        "\"\n\"",
        "1 2",
        "[1]]",
        "NaN",
        "'a'",
        "\u{feff}1",
        "\u{a0}1",
    ] {
        let error = canonical(payload).unwrap_err();
        assert!(
            matches!(error, CanonicalError::Syntax { .. }),
            "{payload:?}: {error}"
        );
    }
}

#[test]
fn depth_is_bounded_and_the_same_as_the_decoders() {
    for depth in [1, 126, 127, 128, 129, 1_000_000] {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let inner = if open == "[" { "" } else { "1" };
            let payload = [&open.repeat(depth), inner, &close.repeat(depth)].concat();
            let decoded = serde_json::from_str::<serde_json::Value>(&payload).is_ok();
            assert_eq!(canonical(&payload).is_ok(), decoded, "{depth} {open}");
        }
    }
    assert_eq!(canonical(&"[".repeat(200)), canonical(&"[".repeat(200)));
}

#[test]
fn agrees_with_serde_json_on_random_values() {
    let mut state = 1_u64;
    let mut next = move |end: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) % end
    };
    fn any(next: &mut dyn FnMut(u64) -> u64, depth: u32) -> serde_json::Value {
        match next(if depth == 0 { 4 } else { 6 }) {
            0 => serde_json::Value::Null,
            1 => (next(2) == 0).into(),
            2 => (i64::try_from(next(1 << 40)).unwrap() - (1 << 39)).into(),
            3 => ["", "é\n\"", "\\u0041", "{}[],:", "\u{1f}"][usize::try_from(next(5)).unwrap()]
                .into(),
            4 => (0..next(5)).map(|_| any(next, depth - 1)).collect(),
            _ => (0..next(5))
                .map(|_| {
                    (
                        ["b", "a", "\"", "é", ""][usize::try_from(next(5)).unwrap()].to_owned(),
                        any(next, depth - 1),
                    )
                })
                .collect::<serde_json::Map<_, _>>()
                .into(),
        }
    }
    for _ in 0..2_000 {
        let value = any(&mut next, 4);
        let compact = canonical(&value.to_string()).unwrap();
        let pretty = canonical(&serde_json::to_string_pretty(&value).unwrap()).unwrap();
        assert_eq!(compact, pretty);
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&compact).unwrap(),
            value
        );
    }
}
