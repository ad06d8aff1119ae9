//! Envelopes: what is refused, and that nothing but a missing `from` is ever changed.

use proptest::prelude::*;
use rstest::rstest;

use super::*;

#[rstest]
#[case::nothing("")]
#[case::spaces("  ")]
#[case::no_json("{")]
#[case::an_array(r#"["register","alice"]"#)]
#[case::a_string(r#""register""#)]
#[case::null("null")]
#[case::two_objects(r#"{"type":"a"}{"type":"b"}"#)]
#[case::a_mark_before_it("\u{feff}{\"type\":\"a\"}")]
#[case::from_twice(r#"{"type":"offer","from":"alice","from":"eve"}"#)]
#[case::from_twice_once_escaped(r#"{"type":"offer","from":"alice","fr\u006fm":"eve"}"#)]
#[case::from_twice_once_null(r#"{"type":"offer","from":null,"from":"eve"}"#)]
fn what_is_not_one_json_object_is_malformed(#[case] text: &str) {
    assert!(matches!(Envelope::parse(text), Err(Mistake::Malformed(_))), "{:?}", Envelope::parse(text));
}

#[rstest]
#[case("{}", Mistake::Missing("type"))]
#[case(r#"{"Type":"offer"}"#, Mistake::Missing("type"))]
#[case(r#"{"type":null}"#, Mistake::NotAString("type"))]
#[case(r#"{"type":5}"#, Mistake::NotAString("type"))]
#[case(r#"{"type":"\ud800"}"#, Mistake::NotAString("type"))]
fn a_type_is_a_string(#[case] text: &str, #[case] mistake: Mistake) {
    assert_eq!(Envelope::parse(text).unwrap_err(), mistake);
}

#[rstest]
#[case(r#"{"type":"register"}"#, Mistake::Missing("clientId"))]
#[case(r#"{"type":"register","clientId":null}"#, Mistake::NotAString("clientId"))]
#[case(r#"{"type":"register","clientId":7}"#, Mistake::NotAString("clientId"))]
#[case(r#"{"type":"register","clientId":["a"]}"#, Mistake::NotAString("clientId"))]
#[case(r#"{"type":"register","clientId":""}"#, Mistake::Empty("clientId"))]
#[case(r#"{"type":"register","clientId":"a\nb"}"#, Mistake::ControlCharacters("clientId"))]
#[case(r#"{"type":"register","clientId":"a\u0000"}"#, Mistake::ControlCharacters("clientId"))]
#[case(r#"{"type":"register","clientId":"a\u0085"}"#, Mistake::ControlCharacters("clientId"))]
fn an_id_is_a_short_string_without_control_characters(#[case] text: &str, #[case] mistake: Mistake) {
    assert_eq!(Envelope::parse(text).unwrap().client_id().unwrap_err(), mistake);
}

#[test]
fn an_id_is_counted_in_bytes() {
    assert!(PeerId::new("clientId", &"ä".repeat(64)).is_ok());
    assert_eq!(PeerId::new("clientId", &"ä".repeat(65)), Err(Mistake::TooLong("clientId")));
    assert!(PeerId::new("clientId", "🦀 with \"quotes\" \\ and spaces").is_ok());
}

#[rstest]
#[case::plain(r#"{"type":"offer","to":"bob","from":"alice","sdp":{"a":1.50}}"#)]
#[case::spaced(" {\t\"from\" : \"alice\" ,\n \"type\":\"x\", \"to\":\"bob\" } ")]
#[case::escaped(r#"{"type":"offer","to":"bob","fr\u006fm":"al\u0069ce"}"#)]
#[case::odd_payload(r#"{"from":"alice","type":"x","to":"b","n":1e999,"h":"\ud800","d":{"k":1,"k":2}}"#)]
fn a_frame_with_the_right_from_is_forwarded_byte_for_byte(#[case] text: &str) {
    assert_eq!(Envelope::parse(text).unwrap().stamped(&id("alice")).unwrap(), text);
}

#[rstest]
#[case(r#"{"type":"x","to":"bob"}"#, r#"{"from":"al\"ice","type":"x","to":"bob"}"#)]
#[case(" { \"type\":\"x\",\"to\":\"bob\"} ", r#" {"from":"al\"ice", "type":"x","to":"bob"} "#)]
fn a_missing_from_is_filled_in_and_nothing_else_changed(#[case] text: &str, #[case] stamped: &str) {
    assert_eq!(Envelope::parse(text).unwrap().stamped(&id("al\"ice")).unwrap(), stamped);
}

#[rstest]
#[case(r#""eve""#, Mistake::WrongFrom)]
#[case(r#""Alice""#, Mistake::WrongFrom)]
#[case(r#""""#, Mistake::WrongFrom)]
#[case("null", Mistake::NotAString("from"))]
#[case(r#"["alice"]"#, Mistake::NotAString("from"))]
fn another_from_is_refused(#[case] from: &str, #[case] mistake: Mistake) {
    let text = format!(r#"{{"type":"ping","from":{from}}}"#);
    let frame = Envelope::parse(&text).unwrap();
    assert_eq!(frame.stamped(&id("alice")), Err(mistake));
    assert!(frame.pong(&id("alice")).is_err());
}

#[rstest]
#[case(r#","ts":1700000000000"#, r#""ts":1700000000000,"#)]
#[case(r#","ts":1.70e12"#, r#""ts":1.70e12,"#)]
#[case(r#","ts":99999999999999999999999"#, r#""ts":99999999999999999999999,"#)]
#[case(r#","ts": {"a" : 1} "#, r#""ts":{"a" : 1},"#)]
#[case("", "")]
fn a_pong_has_the_very_bytes_of_the_pings_ts(#[case] ts: &str, #[case] echo: &str) {
    let text = format!(r#"{{"type":"ping"{ts}}}"#);
    let pong = Envelope::parse(&text).unwrap().pong(&id("alice")).unwrap();
    assert_eq!(pong, format!(r#"{{"type":"pong",{echo}"from":"alice"}}"#));
}

#[test]
fn nesting_is_bounded_and_brackets_in_strings_are_none() {
    let nested =
        |levels: usize| format!(r#"{{"type":"x","a":{}{}}}"#, "[".repeat(levels - 1), "]".repeat(levels - 1));
    assert!(Envelope::parse(&nested(DEPTH)).is_ok());
    assert_eq!(Envelope::parse(&nested(DEPTH + 1)).unwrap_err(), Mistake::TooDeep);
    assert_eq!(Envelope::parse(&"[".repeat(65_536)).unwrap_err(), Mistake::TooDeep);
    let text = format!(r#"{{"type":"x","a":"\"{}"}}"#, "[{".repeat(1000));
    assert!(Envelope::parse(&text).is_ok());
    let flat = format!(r#"{{"type":"x","a":[{}0]}}"#, "[],".repeat(1000));
    assert!(Envelope::parse(&flat).is_ok());
}

#[test]
fn an_error_is_json_whatever_it_quotes() {
    let text = error(&Mistake::Absent(id("a\"b\\c")));
    assert_eq!(text, r#"{"type":"error","message":"Peer a\"b\\c not found"}"#);
}

proptest! {
    #[test]
    fn no_text_panics(text in any::<String>(), tail in r#"[\[\]{}":,\\a-z0-9 ]{0,40}"#) {
        let _ = Envelope::parse(&text);
        let _ = Envelope::parse(&format!(r#"{{"type":"x"{tail}"#));
    }

    #[test]
    fn what_is_stamped_is_the_same_message_with_a_from(
        sender in r#"[a-zA-Z"\\ ü🦀]{1,20}"#,
        payload in any::<String>(),
        key in "[a-z]{7,9}",
    ) {
        let sender = PeerId::new("clientId", &sender).unwrap();
        let text = serde_json::json!({ "type": "x", "to": "bob", key: payload }).to_string();
        let stamped = Envelope::parse(&text).unwrap().stamped(&sender).unwrap();
        let mut message: serde_json::Value = serde_json::from_str(&stamped).unwrap();
        let from = message.as_object_mut().unwrap().shift_remove("from").unwrap();
        prop_assert_eq!(from.as_str().unwrap(), sender.to_string());
        prop_assert_eq!(message.to_string(), text);
    }
}

fn id(id: &str) -> PeerId {
    PeerId::new("clientId", id).unwrap()
}
