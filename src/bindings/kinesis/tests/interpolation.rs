//! Keys with interpolations.

use super::*;
use proptest::prelude::*;

fn text(key: &str, data: &str) -> Result<String, String> {
    let metadata = [("tenant".to_owned(), "acme".to_owned())].into_iter().collect();
    let content = || Ok(Bytes::copy_from_slice(data.as_bytes()));
    let interpolation = Interpolation::parse(key).unwrap();
    interpolation.text(data.as_bytes(), &metadata, content).map_err(|error| error.message().to_owned())
}

#[test]
fn the_four_forms_are_filled_in_between_constant_text() {
    let data = r#"{"doc": {"id": "é7", "n": 1.50, "a.b": [true], "x/y": 1, "~": 2}}"#;
    for (key, expected) in [
        (r#"${! json("doc.id") }"#, "é7"),
        (r#"${!json("doc.id")}"#, "é7"),
        (r#"a-${! json( "doc.n" ) }-${!meta("tenant")}!"#, "a-1.50-acme!"),
        (r#"${! json("doc.a~1b.0") }"#, "true"),
        (r#"${! json("doc.x/y") }${! json("doc.~0") }"#, "12"),
        (r#"${! json("doc.\u0069d") }"#, "é7"),
        ("${! content() }", data),
        ("plain $ { ! }", "plain $ { ! }"),
    ] {
        assert_eq!(text(key, data).as_deref(), Ok(expected), "{key}");
    }
    let (first, second) = (text("${! uuid_v4() }", "1").unwrap(), text("${! uuid_v4() }", "1").unwrap());
    assert!(first != second && first.parse::<uuid::Uuid>().is_ok_and(|id| id.get_version_num() == 4), "{first}");
}

#[test]
fn anything_else_of_that_language_is_refused() {
    for (key, part) in [
        ("${! this.id }", "column 1: this interpolation"),
        ("ä-${!json:doc.id}", "column 3: this interpolation"),
        (r#"${! json("a").string() }"#, "not supported"),
        (r#"${! json("a") | "b" }"#, "not supported"),
        ("${! json() }", "`json` needs a name"),
        (r#"${! json("") }"#, "must name one value"),
        (r#"${! json("a.*") }"#, "must name one value"),
        (r#"${! json("a..b") }"#, "must name one value"),
        (r#"${! json("a~2") }"#, "`~` stands only"),
        (r#"${! content("x") }"#, "not supported"),
        ("${! meta() }", "`meta` needs a name"),
        ("${! @tenant }", "not supported"),
        ("${! counter() }", "not supported"),
        ("${! uuid_v4()", "not supported"),
        ("${!", "not supported"),
        (r#"${! json("a }"#, "not supported"),
        ("${{!x}", "not supported"),
    ] {
        let problem = Interpolation::parse(key).unwrap_err();
        assert!(Interpolation::is_in(key) && problem.contains(part), "{key}: {problem}");
    }
}

#[test]
fn a_part_without_a_value_is_named_and_no_value_is_shown() {
    let data = r#"{"secret": {"a": "s3cret"}}"#;
    for (key, part) in [
        (r#"${! json("none") }"#, "`/none` in the data: there is nothing"),
        (r#"${! json("secret") }"#, "there is an object"),
        (r#"${! meta("none") }"#, "no metadata `none`"),
    ] {
        let message = text(key, data).unwrap_err();
        assert!(message.contains(part) && !message.contains("s3cret"), "{key}: {message}");
    }
    assert!(text(r#"${! json("a") }"#, "no JSON").unwrap_err().contains("not JSON"));
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(key in "(\\$\\{!|[ a-z(){}\"$!.é~]){0,12}") {
        if let Ok(interpolation) = Interpolation::parse(&key) {
            drop(interpolation.text(b"{}", &Metadata::default(), || Ok(Bytes::new())));
        }
    }

    #[test]
    fn text_without_interpolations_stays(key in "[ a-z(){}\"!.é~]{0,20}") {
        prop_assert_eq!(text(&key, "{}"), Ok(key));
    }

    #[test]
    fn each_name_is_found(name in "[a-z~./ é]{1,8}", value in any::<u32>()) {
        let data = serde_json::json!({ name.clone(): value }).to_string();
        let path = name.replace('~', "~0").replace('.', "~1");
        let key = format!("${{! json({}) }}", serde_json::json!(path));
        prop_assert_eq!(text(&key, &data), Ok(value.to_string()));
    }
}
