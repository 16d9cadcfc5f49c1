use super::*;
use proptest::prelude::*;
use serde_json::value::RawValue;

fn member(form: JoinForm, text: &str) -> Result<Bytes, String> {
    form.member(Bytes::copy_from_slice(text.as_bytes())).map_err(|error| error.to_string())
}

fn join(form: JoinForm, members: &[Bytes]) -> Bytes {
    let (first, others) = members.split_first().unwrap();
    let mut joiner = Joiner::new(form, first.clone(), usize::MAX);
    others.iter().for_each(|member| joiner.push(member.clone()));
    let size = joiner.size();
    let joined = joiner.finish();
    assert_eq!(joined.len(), size, "the size is exact");
    joined
}

/// As a reader does it, without anything of this module.
fn split(form: JoinForm, joined: &[u8]) -> Vec<Vec<u8>> {
    match form {
        JoinForm::Lines => joined.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect(),
        JoinForm::JsonArray => {
            let values: Vec<&RawValue> = serde_json::from_slice(joined).unwrap();
            values.iter().map(|value| value.get().as_bytes().to_vec()).collect()
        }
    }
}

#[test]
fn records_are_joined_in_order_and_a_single_one_has_the_same_form() {
    for (form, one, three) in
        [(JoinForm::Lines, "1", "1\n{\"a\": 2}\n\"x\""), (JoinForm::JsonArray, "[1]", "[1,{\"a\": 2},\"x\"]")]
    {
        let members: Vec<Bytes> = ["1", "{\"a\": 2}", "\"x\""].map(|text| member(form, text).unwrap()).into();
        assert_eq!((join(form, &members[..1]), join(form, &members)), (one.into(), three.into()));
    }
}

#[test]
fn a_line_has_no_line_break() {
    for (text, line) in [
        ("{\n  \"a\": [1,\r\n 2],\t\"b\": \"x\\n \\\" y\\\\\"\n}\n", r#"{"a":[1,2],"b":"x\n \" y\\"}"#),
        ("{ \"a\": 1 }", "{ \"a\": 1 }"),
        ("plain text", "plain text"),
        ("\u{0}\u{85}\u{2028}", "\u{0}\u{85}\u{2028}"),
        ("\"a\"\n", "\"a\""),
    ] {
        assert_eq!(member(JoinForm::Lines, text), Ok(Bytes::from(line)), "{text:?}");
    }
    for (text, problem) in [
        ("a\nb", "line break (byte 1)"),
        ("a line\r\n", "line break (byte 6)"),
        ("{}\n{}", "line break (byte 2)"),
        ("\"a\nb\"", "line break (byte 2)"),
        ("", "it is empty"),
    ] {
        let error = member(JoinForm::Lines, text).unwrap_err();
        assert!(error.contains(problem), "{text:?}: {error}");
    }
}

#[test]
fn an_element_of_an_array_is_one_json_value() {
    for (text, array) in
        [(" {\"a\": 1.50}\n", "[{\"a\": 1.50}]"), ("1e400", "[1e400]"), ("[]", "[[]]"), ("null", "[null]")]
    {
        assert_eq!(member(JoinForm::JsonArray, text), Ok(Bytes::from(array)), "{text:?}");
    }
    for text in ["", " ", "1,2", "1 2", "{} {}", "]", "[1", "'a'", "01", "nul", "\u{feff}1", "\"\u{1}\"", "1]", "// x"]
    {
        let error = member(JoinForm::JsonArray, text).unwrap_err();
        assert!(error.starts_with("it is not one JSON value: "), "{text:?}: {error}");
    }
    let error = JoinForm::JsonArray.member(Bytes::from_static(b"\"\xff\"")).unwrap_err();
    assert!(matches!(error, NotJoinable::NotUtf8), "{error}");
}

#[test]
fn a_deep_value_is_checked_without_recursion() {
    let deep = format!("{}{}", "[".repeat(1 << 20), "]".repeat(1 << 20));
    assert!(member(JoinForm::JsonArray, &deep).is_ok());
    assert!(member(JoinForm::Lines, &format!("{deep}\n")).is_ok());
}

/// JSON as text, with white space of all kinds.
fn json() -> impl Strategy<Value = String> {
    let space = "[ \t\r\n]{0,2}";
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<i64>().prop_map(|number| number.to_string()),
        "-?[1-9][0-9]{0,30}(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?",
        any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
    ];
    let value = leaf.prop_recursive(3, 20, 4, move |inner| {
        let members = prop::collection::vec((any::<String>(), space, inner.clone()), 0..4);
        prop_oneof![
            (prop::collection::vec(inner, 0..4), space)
                .prop_map(|(values, space)| format!("[{space}{}{space}]", values.join(&format!(",{space}")))),
            (members, space).prop_map(|(members, space)| {
                let member = |(name, gap, value): (String, String, String)| {
                    format!("{}{gap}:{gap}{value}", serde_json::to_string(&name).unwrap())
                };
                let members: Vec<String> = members.into_iter().map(member).collect();
                format!("{{{space}{}{space}}}", members.join(&format!("{space},")))
            }),
        ]
    });
    (space, value, space).prop_map(|(before, value, after)| format!("{before}{value}{after}"))
}

proptest! {
    #[test]
    fn splitting_gives_the_json_back(values in prop::collection::vec(json(), 1..12)) {
        for form in [JoinForm::Lines, JoinForm::JsonArray] {
            let members: Vec<Bytes> = values.iter().map(|value| member(form, value).unwrap()).collect();
            let parts = split(form, &join(form, &members));
            prop_assert_eq!(parts.len(), values.len());
            for ((part, value), member) in parts.iter().zip(&values).zip(&members) {
                prop_assert_eq!(&form.record(member)[..], &part[..]);
                let meaning = |text: &[u8]| serde_json::from_slice::<serde_json::Value>(text).unwrap();
                prop_assert_eq!(meaning(part), meaning(value.as_bytes()));
                if !value.contains(['\n', '\r']) && form == JoinForm::Lines {
                    prop_assert_eq!(&part[..], value.as_bytes(), "without a line break the text is kept");
                }
            }
        }
    }

    #[test]
    fn splitting_gives_any_accepted_bytes_back(records in prop::collection::vec(any::<Vec<u8>>(), 1..12)) {
        for form in [JoinForm::Lines, JoinForm::JsonArray] {
            let accepted: Vec<(&Vec<u8>, Bytes)> = records
                .iter()
                .filter_map(|record| Some((record, form.member(Bytes::copy_from_slice(record)).ok()?)))
                .collect();
            if accepted.is_empty() {
                continue;
            }
            let members: Vec<Bytes> = accepted.iter().map(|(_, member)| member.clone()).collect();
            let parts = split(form, &join(form, &members));
            prop_assert_eq!(parts.len(), accepted.len());
            for (part, (record, _)) in parts.iter().zip(&accepted) {
                let is_text = record.trim_ascii() == part.trim_ascii() || serde_json::from_slice::<IgnoredAny>(record).is_ok();
                prop_assert!(is_text, "{:?} became {:?}", record, part);
            }
        }
    }

    #[test]
    fn a_joined_record_never_exceeds_its_limit(
        sizes in prop::collection::vec(1_usize..40, 1..40),
        limit in 1_usize..400,
        is_array: bool,
    ) {
        let form = if is_array { JoinForm::JsonArray } else { JoinForm::Lines };
        let members: Vec<Bytes> =
            sizes.iter().map(|size| form.member("1".repeat(*size).into()).unwrap()).collect();
        let mut joiner = Joiner::new(form, members[0].clone(), limit);
        for member in &members[1..] {
            let size = joiner.size() + joiner.growth(member);
            prop_assert_eq!(joiner.fits(member), size <= limit);
            if joiner.fits(member) {
                joiner.push(member.clone());
                prop_assert_eq!(joiner.size(), size);
            }
        }
        let (size, count) = (joiner.size(), joiner.count());
        let joined = joiner.finish();
        prop_assert_eq!(joined.len(), size);
        prop_assert!(count == 1 || joined.len() <= limit);
        prop_assert_eq!(split(form, &joined).len(), count);
    }
}
