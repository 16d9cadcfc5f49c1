use super::super::error::ItemProblem;
use super::super::format::StatedType;
use super::super::number::NumberProblem;
use super::*;
use aws_sdk_dynamodb::primitives::Blob;
use proptest::prelude::*;
use std::collections::HashMap;
use std::sync::Arc;

fn plain(types: &[(&str, StatedType)]) -> ItemCodec {
    let types = types.iter().map(|(name, stated)| ((*name).to_owned(), *stated)).collect();
    ItemCodec { types: Arc::new(types), ..ItemCodec::default() }
}

fn typed() -> ItemCodec {
    plain(&[
        ("n", StatedType::Number),
        ("b", StatedType::Binary),
        ("ss", StatedType::Strings),
        ("ns", StatedType::Numbers),
        ("bs", StatedType::Binaries),
    ])
}

fn tagged() -> ItemCodec {
    ItemCodec { format: ItemFormat::Tagged, ..ItemCodec::default() }
}

fn problem(codec: &ItemCodec, text: &str) -> (String, ItemProblem) {
    let fault = codec.item(text.as_bytes()).unwrap_err();
    (fault.path, fault.problem)
}

#[test]
fn stated_types_make_sets_and_binary_of_plain_json() {
    let text = r#"{"b":"AP8=","bs":["AA=="],"l":["x"],"n":"1.50","ns":[1,"2e3"],"ss":["y","x"]}"#;
    let item = typed().item(text.as_bytes()).unwrap();
    assert_eq!(item["b"], AttributeValue::B(Blob::new([0, 255])));
    assert_eq!(item["bs"], AttributeValue::Bs(vec![Blob::new([0])]));
    assert_eq!(item["l"], AttributeValue::L(vec![AttributeValue::S("x".into())]));
    assert_eq!(item["n"], AttributeValue::N("1.50".into()));
    assert_eq!(item["ns"], AttributeValue::Ns(vec!["1".into(), "2E+3".into()]));
    assert_eq!(item["ss"], AttributeValue::Ss(vec!["y".into(), "x".into()]));
    assert_eq!(
        typed().write(&item).unwrap().get(),
        r#"{"b":"AP8=","bs":["AA=="],"l":["x"],"n":1.50,"ns":[1,2E+3],"ss":["y","x"]}"#
    );
    assert_eq!(typed().item(br#"{"ss":null}"#).unwrap()["ss"], AttributeValue::Null(true));
}

#[test]
fn a_value_that_is_not_of_the_stated_type_is_refused_with_its_path() {
    for (text, path, expected) in [
        (r#"{"ss":["a","b","a"]}"#, "$.ss", ItemProblem::DuplicateInSet { index: 2 }),
        (r#"{"ns":[1,"1.0"]}"#, "$.ns", ItemProblem::DuplicateInSet { index: 1 }),
        (r#"{"ns":[-0,0e5]}"#, "$.ns", ItemProblem::DuplicateInSet { index: 1 }),
        (r#"{"bs":["AA==","AA=="]}"#, "$.bs", ItemProblem::DuplicateInSet { index: 1 }),
        (r#"{"ss":[]}"#, "$.ss", ItemProblem::EmptySet),
        (r#"{"ss":["a",1]}"#, "$.ss[1]", ItemProblem::Expected("a string")),
        (r#"{"b":"a b"}"#, "$.b", ItemProblem::NotBase64),
        (r#"{"n":" 1"}"#, "$.n", ItemProblem::Expected("a number, or a string with its digits")),
        (r#"{"ns":["1e126"]}"#, "$.ns[0]", NumberProblem::TooLarge.into()),
    ] {
        assert_eq!(problem(&typed(), text), (path.to_owned(), expected), "{text}");
    }
}

#[test]
fn the_tagged_form_has_every_type_and_keeps_it() {
    let text = r#"{"b":{"B":"AP8="},"bs":{"BS":["AA=="]},"f":{"BOOL":false},"l":{"L":[{"N":"1"},{"NULL":true}]},"m":{"M":{"x":{"S":""}}},"n":{"N":"-1.5"},"ns":{"NS":["1","2"]},"ss":{"SS":["a"]}}"#;
    let item = tagged().item(text.as_bytes()).unwrap();
    assert_eq!(item["m"], AttributeValue::M(HashMap::from([("x".to_owned(), AttributeValue::S(String::new()))])));
    assert_eq!(tagged().write(&item).unwrap().get(), text);
    for (bad, path) in [
        (r#"{"a":"x"}"#, "$.a"),
        (r#"{"a":{}}"#, "$.a"),
        (r#"{"a":{"S":"x","N":"1"}}"#, "$.a"),
        (r#"{"a":{"S":"x","S":"y"}}"#, "$.a"),
        (r#"{"a":{"X":"x"}}"#, "$.a.X"),
        (r#"{"a":{"N":1}}"#, "$.a.N"),
        (r#"{"a":{"N":"+1"}}"#, "$.a.N"),
        (r#"{"a":{"NULL":false}}"#, "$.a.NULL"),
        (r#"{"a":{"L":[{"BOOL":"true"}]}}"#, "$.a.L[0].BOOL"),
    ] {
        assert_eq!(problem(&tagged(), bad).0, path, "{bad}");
    }
}

#[test]
fn numbers_can_be_written_as_strings_and_texts_that_are_not_json_numbers_always_are() {
    let item = Item::from([("n".to_owned(), AttributeValue::N("12345678901234567890".into()))]);
    let as_text = ItemCodec { numbers: NumberForm::Text, ..ItemCodec::default() };
    assert_eq!(as_text.write(&item).unwrap().get(), r#"{"n":"12345678901234567890"}"#);
    let odd = Item::from([("n".to_owned(), AttributeValue::N("+5".into()))]);
    assert_eq!(ItemCodec::default().write(&odd).unwrap().get(), r#"{"n":"+5"}"#);
}

#[test]
fn elements_added_to_a_set_need_no_stated_type() {
    let raw: Box<RawValue> = serde_json::from_str(r#"{"n":1,"s":[ "a"],"t":[1, 2]}"#).unwrap();
    let item = ItemCodec::default().sets_at("add", &raw).unwrap();
    assert_eq!(item["s"], AttributeValue::Ss(vec!["a".into()]));
    assert_eq!(
        (&item["t"], &item["n"]),
        (&AttributeValue::Ns(vec!["1".into(), "2".into()]), &AttributeValue::N("1".into()))
    );
    let raw: Box<RawValue> = serde_json::from_str(r#"{"s":["a","a"]}"#).unwrap();
    assert_eq!(ItemCodec::default().sets_at("add", &raw).unwrap_err().path, "$.add.s");
}

#[test]
fn a_too_large_item_is_reported_with_size_and_limit() {
    let error = crate::domain::BindingError::from(
        ItemCodec::default().item(format!(r#"{{"a":"{}"}}"#, "x".repeat(500_000)).as_bytes()).unwrap_err(),
    );
    assert_eq!(error.details(), [("size", "500001".to_owned()), ("limit", "409600".to_owned())]);
}

/// Any JSON that can be an item, without duplicate keys.
fn json() -> impl Strategy<Value = serde_json::Value> {
    let number = "-?[1-9][0-9]{0,30}".prop_map(|digits| serde_json::from_str(&digits).unwrap());
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(serde_json::Value::from),
        number,
        any::<String>().prop_map(serde_json::Value::from)
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(serde_json::Value::from),
            prop::collection::btree_map(".{1,8}", inner, 0..6)
                .prop_map(|map| map.into_iter().collect::<serde_json::Map<_, _>>().into())
        ]
    })
}

proptest! {
    #[test]
    fn items_survive_a_round_trip_in_both_forms(members in prop::collection::btree_map(".{1,8}", json(), 0..6)) {
        let whole: serde_json::Value = members.into_iter().collect::<serde_json::Map<_, _>>().into();
        let text = whole.to_string();
        let item = ItemCodec::default().item(text.as_bytes()).unwrap();
        let back = ItemCodec::default().write(&item).unwrap();
        prop_assert_eq!(serde_json::from_str::<serde_json::Value>(back.get()).unwrap(), whole);
        let through = tagged().write(&item).unwrap();
        prop_assert_eq!(tagged().item(through.get().as_bytes()).unwrap(), item);
    }

    #[test]
    fn binary_and_sets_survive_a_round_trip(bytes: Vec<u8>, strings in prop::collection::btree_set(".{0,6}", 1..6)) {
        let item = Item::from([
            ("b".to_owned(), AttributeValue::B(Blob::new(bytes))),
            ("ss".to_owned(), AttributeValue::Ss(strings.into_iter().collect())),
        ]);
        for codec in [typed(), tagged()] {
            let text = codec.write(&item).unwrap();
            prop_assert_eq!(&codec.item(text.get().as_bytes()).unwrap(), &item);
        }
    }

    #[test]
    fn no_text_makes_a_form_panic(text in "[\\[\\]{}\",:0-9eE.+\\-ntfuSNBLMOU\\\\a ]{0,60}") {
        for codec in [typed(), tagged()] {
            prop_assert!(codec.item(text.as_bytes()).is_ok() || codec.item(text.as_bytes()).is_err());
        }
    }
}
