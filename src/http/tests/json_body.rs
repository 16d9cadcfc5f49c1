use super::*;
use proptest::prelude::*;

fn read(body: &str) -> InvokeRequest {
    parse(&Bytes::copy_from_slice(body.as_bytes())).unwrap()
}

fn refusal(body: &[u8]) -> String {
    let text = parse(&Bytes::copy_from_slice(body)).unwrap_err().to_string();
    text.strip_prefix("failed deserializing HTTP body: ").unwrap().to_owned()
}

fn data(body: &str) -> String {
    String::from_utf8(read(body).data.to_vec()).unwrap()
}

#[test]
fn data_is_the_exact_text_that_was_sent() {
    for text in [
        r#""abc""#,
        r#"{ "b" : 1 ,"a":2, "b":3 }"#,
        "12345678901234567890123",
        "1.0",
        "1e400",
        "true",
        "null",
        r#""<\u003c&\ud800 ü""#,
        "[ ]",
    ] {
        assert_eq!(data(&format!(r#"{{"operation":"create", "data" : {text}  ,"x":[1]}}"#)), text);
    }
    assert_eq!(data(r#"{"operation":"create"}"#), "null");
}

#[test]
fn data_is_a_slice_of_the_body() {
    let body = Bytes::from_static(br#"{"data":{"a":1}}"#);
    let data = parse(&body).unwrap().data;
    assert_eq!(data.as_ptr() as usize - body.as_ptr() as usize, 8);
}

#[test]
fn the_body_is_read_as_go_reads_it() {
    let request = read(
        r#" {"OPERATION":"x","Operation":"create","extra":{"data":1},"Data":1,"data":2,"operation":null,
        "metadata":{"a":"1","b":"2"},"Metadata":{"b":"3","c":null}} trailing garbage"#,
    );
    assert_eq!(request.operation, "create");
    assert_eq!(&request.data[..], b"2");
    assert_eq!(["a", "b", "c"].map(|key| request.metadata.get(key)), [Some("1"), Some("3"), None]);
    assert_eq!(read("null").operation, "");
    assert_eq!(read(r#"{"metadata":{"a":"1"},"metadata":null}"#).metadata, Metadata::default());
    assert_eq!(read(r#"{"operation":"cr\u0065ate"}"#).operation, "create");
}

#[test]
fn bytes_that_are_not_utf8_are_refused_anywhere_in_the_body() {
    for body in [
        &b"{\"operation\":\"a\xffb\"}"[..],
        b"{\"operation\":\"create\",\"data\":{\"id\":\"M\xfcller\"}}",
        b"{\"operation\":\"create\",\"data\":{\"M\xfcller\":1}}",
        b"{\"operation\":\"create\",\"metadata\":{\"partitionKey\":\"\xfe\"}}",
        b"{\"operation\":\"create\",\"metadata\":{\"\xfe\":\"v\"}}",
        b"{\"operation\":\"create\",\"other\":\"\xc0\x80\"}",
        b"{\"operation\":\"create\",\"data\":\"\xed\xa0\xbd\xed\xb8\x80\"}",
        b"{\"operation\":\"create\",\"data\":\"\xf4\x90\x80\x80\"}",
        b"{\"operation\":\"create\"} \xff",
        b"{\"operation\":\"create\",\"data\":\"\xe2\x82",
    ] {
        let text = refusal(body);
        assert!(text.starts_with("byte 0x") && text.contains("UTF-8"), "{text}");
    }
    let body = b"{\"operation\":\"create\",\"data\":{\"id\":\"M\xfcller\"}}";
    let expected = "byte 0xfc at offset 37 in data.id is not UTF-8; send JSON in UTF-8, and other bytes as base64";
    assert_eq!(refusal(body), expected);
}

#[test]
fn an_unpaired_surrogate_is_refused_where_it_would_be_replaced() {
    for (body, place) in [
        (r#"{"operation":"\ud800"}"#, "the string at offset 13 in operation contains"),
        (
            r#"{"metadata":{"a":"1","partitionKey":"x\udc00"}}"#,
            "the string at offset 36 in metadata.partitionKey contains",
        ),
        (r#"{"metadata":{"a\ud800":"1"}}"#, "a name that ends at line 1 column"),
        (r#"{"\ud800":1}"#, "a name that ends at line 1 column"),
    ] {
        let text = refusal(body.as_bytes());
        assert!(text.starts_with(place) && text.contains("surrogate"), "{body}: {text}");
    }
    assert_eq!(data(r#"{"data":"\ud800"}"#), r#""\ud800""#, "an escape stays as it was written");
    assert_eq!(read(r#"{"operation":"\ud83d\ude00"}"#).operation, "😀");
}

#[test]
fn a_byte_order_mark_is_skipped() {
    let request = read("\u{feff} {\"operation\":\"create\",\"data\":[1]}");
    assert_eq!((request.operation.as_str(), &request.data[..]), ("create", &b"[1]"[..]));
    assert_eq!(refusal("\u{feff}".as_bytes()), "EOF");
    assert!(refusal("\u{feff}\u{feff}{}".as_bytes()).contains("invalid character"), "only one");
}

#[test]
fn errors_have_the_texts_of_go() {
    let field = "json: cannot unmarshal";
    for (body, text) in [
        ("", "EOF".to_owned()),
        (" \n", "EOF".to_owned()),
        (r#"{"operation":"#, "unexpected EOF".to_owned()),
        (r#"{"data":"x"#, "unexpected EOF".to_owned()),
        ("{,}", "invalid character ',' looking for beginning of object key string (line 1 column 2)".to_owned()),
        ("\n nope", "invalid character 'o' in literal null (expecting 'u') (line 2 column 3)".to_owned()),
        ("[]", format!("{field} array into Go value of type http.OutputBindingRequest")),
        (
            r#"{"operation":1}"#,
            format!("{field} number into Go struct field OutputBindingRequest.operation of type string"),
        ),
        (
            r#"{"metadata":{"a":true}}"#,
            format!("{field} bool into Go struct field OutputBindingRequest.metadata of type string"),
        ),
        (
            r#"{"metadata":"a"}"#,
            format!("{field} string into Go struct field OutputBindingRequest.metadata of type map[string]string"),
        ),
    ] {
        assert_eq!(refusal(body.as_bytes()), text, "{body}");
    }
}

#[test]
fn deep_nesting_does_not_overflow_the_stack() {
    let deep = "[".repeat(200_000) + &"]".repeat(200_000);
    assert_eq!(data(&format!(r#"{{"data":{deep}}}"#)), deep);
    assert!(refusal("[".repeat(200_000).as_bytes()).contains("EOF"));
}

/// Any JSON text: values of all types, written with any white space the grammar allows.
fn json_text() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        "-?(0|[1-9][0-9]{0,40})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,4})?",
        any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
        "\"(\\\\u[0-9a-fA-F]{4}|\\\\[nrt\"\\\\/bf]|[a-z<>&üß\u{2028}😀]){0,12}\"",
    ];
    leaf.prop_recursive(5, 64, 6, |inner| {
        let members = prop::collection::vec(("\"[a-c]{0,2}\"", inner.clone()), 0..6);
        prop_oneof![
            (prop::collection::vec(inner, 0..6), "[ \t\r\n]{0,3}")
                .prop_map(|(items, space)| format!("[{space}{}{space}]", items.join(&format!("{space},")))),
            (members, "[ \t\r\n]{0,3}").prop_map(|(members, space)| {
                let members: Vec<_> =
                    members.iter().map(|(key, value)| format!("{key}{space}:{value}{space}")).collect();
                format!("{{{space}{}}}", members.join(","))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn any_json_text_is_passed_on_unchanged(text in json_text(), before in "[ \t\r\n]{0,4}", after in "[ \t\r\n]{0,4}") {
        let body = format!(r#"{{"operation":"create","data":{before}{text}{after},"metadata":{{"k":"v"}}}}"#);
        let request = read(&body);
        prop_assert_eq!(&request.data[..], text.as_bytes());
        prop_assert_eq!(request.metadata.get("k"), Some("v"));
    }

    #[test]
    fn no_body_makes_the_parser_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        match parse(&Bytes::from(body)) {
            Ok(_) | Err(_) => {}
        }
    }
}
