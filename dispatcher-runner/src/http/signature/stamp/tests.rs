//! Published vectors, everything that must not pass, and the official library beside ours.

use super::super::*;
use super::*;

const SECRET: &str = "C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const ID: &str = "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk";
const TIME: u64 = 1_649_367_553;
const BODY: &[u8] = br#"{"email":"test@example.com","username":"test_user"}"#;
const SIGNATURE: &str = "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=";

fn secret() -> Secret {
    Secret::parse(SECRET).unwrap()
}

fn holds(id: &str, timestamp: &str, signature: &str, body: &[u8]) -> bool {
    let stamp = Stamp::read(id.as_bytes(), timestamp.as_bytes(), signature.as_bytes());
    stamp.is_some_and(|stamp| stamp.is_signed_with(&secret(), body))
}

#[test]
fn the_published_vectors() {
    assert_eq!(secret().sign(ID, TIME, BODY), SIGNATURE);
    assert!(holds(ID, "1649367553", SIGNATURE, BODY));
    assert_eq!(
        secret().sign("m1", 1_700_000_000, b""),
        "v1,MGGBRRYCSWS5yz066a7mzWvT8XMLun+2EOEEvYFYHLo="
    );
}

#[test]
fn nothing_that_is_signed_can_be_changed() {
    assert!(!holds(
        "msg_27UH4WbU6Z5A5EzD8u03UvzRbpj",
        "1649367553",
        SIGNATURE,
        BODY
    ));
    assert!(!holds(ID, "1649367554", SIGNATURE, BODY));
    for at in 0..BODY.len() {
        let mut body = BODY.to_vec();
        body[at] ^= 1;
        assert!(!holds(ID, "1649367553", SIGNATURE, &body), "byte {at}");
    }
    let other = Secret::parse(&STANDARD.encode([7; 24])).unwrap();
    let stamp = Stamp::read(ID.as_bytes(), b"1649367553", SIGNATURE.as_bytes()).unwrap();
    assert!(!stamp.is_signed_with(&other, BODY));
}

#[test]
fn secrets_come_with_and_without_their_prefix() {
    assert_eq!(Secret::parse(&format!("whsec_{SECRET}")), Ok(secret()));
    let letters = "aB3".repeat(22);
    assert!(
        Secret::parse(&letters[..64]).is_ok(),
        "64 letters are base64"
    );
    assert_eq!(Secret::parse(&letters[..64]).unwrap().0.len(), 48);
    assert!(Secret::parse(&STANDARD.encode([0; 24])).is_ok());
    assert!(Secret::parse(&STANDARD.encode([0; 96])).is_ok());
    assert_eq!(format!("{:?}", secret()), "Secret(***)");
}

#[test]
fn what_is_no_secret_is_refused() {
    for (text, error) in [
        ("", SecretError::Empty),
        ("whsec_", SecretError::Empty),
        ("secret", SecretError::Base64),
        ("a b c d ", SecretError::Base64),
        (&"a".repeat(63), SecretError::Base64),
        (&STANDARD.encode([0; 23]), SecretError::Length { bytes: 23 }),
        (&STANDARD.encode([0; 97]), SecretError::Length { bytes: 97 }),
    ] {
        assert_eq!(Secret::parse(text), Err(error), "{text:?}");
    }
}

#[test]
fn ids_are_visible_and_short() {
    let long = "x".repeat(128);
    for id in ["m1", "msg_1", "!", "~", &long] {
        assert!(is_id(id.as_bytes()), "{id:?}");
    }
    let longer = "x".repeat(129);
    for id in ["", "a.b", "a,b", "a b", "a\tb", "ä", "\u{7f}", &longer] {
        assert!(!is_id(id.as_bytes()), "{id:?}");
    }
}

#[test]
fn times_are_written_in_one_way() {
    assert_eq!(read_timestamp(b"0"), Some(0));
    assert_eq!(read_timestamp(b"1649367553"), Some(TIME));
    assert_eq!(read_timestamp(b"18446744073709551615"), Some(u64::MAX));
    for text in [
        "",
        "+1649367553",
        "-1",
        "01",
        " 1",
        "1 ",
        "1.0",
        "1e3",
        "0x1",
        "18446744073709551616",
        "\u{661}",
    ] {
        assert_eq!(read_timestamp(text.as_bytes()), None, "{text:?}");
    }
    assert_eq!(read_timestamp(b"\xff"), None);
}

#[test]
fn one_good_signature_among_sixteen_is_enough() {
    let other = "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let others = |count: usize| vec![other; count].join(" ");
    let signed = |text: &str| holds(ID, "1649367553", text, BODY);
    assert!(signed(&format!("{} {SIGNATURE}", others(15))));
    assert!(
        !signed(&format!("{} {SIGNATURE}", others(16))),
        "17 of them"
    );
    assert!(
        !signed(&format!("{}{SIGNATURE}", "v1a,xyz ".repeat(16))),
        "17 of them"
    );
    assert!(signed(&format!("v1a,b3RoZXI= v2,x {SIGNATURE} nonsense")));
    assert!(
        signed(&format!("v1,short v1,???? {SIGNATURE}")),
        "what is none is skipped"
    );
    for text in [
        "",
        " ",
        "v1,",
        "v2,x",
        &SIGNATURE[3..],
        &SIGNATURE.to_uppercase(),
    ] {
        assert!(!signed(text), "{text:?}");
    }
    assert!(
        !signed(SIGNATURE.trim_end_matches('=')),
        "no padding, no signature"
    );
}

#[test]
fn the_window_is_open_on_both_sides() {
    let stamp = Stamp::read(ID.as_bytes(), b"1000", SIGNATURE.as_bytes()).unwrap();
    for (now, fresh) in [
        (699, false),
        (700, true),
        (1000, true),
        (1300, true),
        (1301, false),
    ] {
        assert_eq!(stamp.is_fresh(now, 300), fresh, "{now}");
    }
    let far = Stamp::read(ID.as_bytes(), b"18446744073709551615", SIGNATURE.as_bytes()).unwrap();
    assert!(!far.is_fresh(0, 300));
}

/// The official library for Rust reads no clock of ours, so its checks without a time are used.
#[test]
fn the_official_library_agrees() {
    for length in [32, 64, 128] {
        let text = "Zm9v".repeat(length / 4);
        let official = standardwebhooks::Webhook::new(&text).unwrap();
        let ours = Secret::parse(&text).unwrap();
        let theirs = official.sign("m1", TIME as i64, BODY).unwrap();
        assert_eq!(ours.sign("m1", TIME, BODY), theirs);
    }
}

#[test]
fn no_bytes_make_it_panic() {
    let mut state = 0x1234_5678_u64;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) as u8
    };
    for length in 0..200 {
        let bytes: Vec<u8> = (0..length).map(|_| next()).collect();
        let _ = Stamp::read(&bytes, b"1", b"v1,x");
        let _ = Stamp::read(b"a", &bytes, b"v1,x");
        let _ = Stamp::read(b"a", b"1", &bytes);
        let _ = Secret::parse(&String::from_utf8_lossy(&bytes));
    }
}
