//! The encoding that is signed, and what is no envelope.

use super::*;

#[test]
fn the_encoding_that_is_signed_is_the_one_of_the_specification() {
    // The example of the specification's protocol page.
    let encoded = pre_authentication_encoding("http://example.com/HelloWorld", b"hello world");
    assert_eq!(encoded, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
}

#[test]
fn what_is_no_envelope_is_refused() {
    let good = br#"{"payloadType":"t","payload":"","signatures":[{"keyid":"","sig":"","x5c":["",""]}]}"#;
    let with = |text: &[u8]| Envelope::read(text).map(drop);
    assert!(with(&[&good[..], b"\n"].concat()).is_ok());
    assert!(matches!(with(good), Err(EnvelopeError::OtherForm)), "without its line end");
    for text in [
        &b""[..],
        b"{}",
        b"[]",
        b"\xff",
        br#"{"payloadType":"t","payload":"","signatures":[]}"#,
        br#"{"payloadType":"t","payload":"","signatures":[],"more":1}"#,
    ] {
        assert!(matches!(with(text), Err(EnvelopeError::NotAnEnvelope(_))), "{text:?}");
    }
    assert!(matches!(with(&vec![b' '; ENVELOPE_BYTES_MAX + 1]), Err(EnvelopeError::TooLarge)));
    let text = |good: &[u8]| String::from_utf8(good.to_vec()).unwrap() + "\n";
    let one = text(good).replace(r#"["",""]"#, r#"[""]"#);
    assert!(matches!(with(one.as_bytes()), Err(EnvelopeError::Chain)));
    let many = text(good).replace(r#"["",""]"#, r#"["","","","","","","","",""]"#);
    assert!(matches!(with(many.as_bytes()), Err(EnvelopeError::Chain)));
    let loose = text(good).replace(r#""payload":"""#, r#""payload":"QQ""#);
    assert!(matches!(with(loose.as_bytes()), Err(EnvelopeError::OtherForm)));
}
