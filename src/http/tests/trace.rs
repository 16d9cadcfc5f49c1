use super::*;

const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";
const BAGGAGE: &str = "baggage";
const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn read(pairs: &[(&'static str, &str)]) -> Result<TraceContext, MalformedRequest> {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(*name, value.parse().unwrap());
    }
    TraceContext::read(&headers, false)
}

fn values(pairs: &[(&'static str, &str)]) -> [Option<String>; 3] {
    let mut metadata = Metadata::default();
    read(pairs).unwrap().add_to(&mut metadata);
    [TRACEPARENT, TRACESTATE, BAGGAGE].map(|key| metadata.get(key).map(str::to_owned))
}

#[test]
fn headers_become_metadata_and_come_back() {
    let context =
        read(&[(TRACEPARENT, PARENT), (TRACESTATE, "a=1"), (TRACESTATE, "b=2"), (BAGGAGE, "k=v;p"), (BAGGAGE, "l=w")])
            .unwrap();
    let mut metadata = Metadata::default();
    metadata.insert(TRACEPARENT, "mine");
    context.add_to(&mut metadata);
    let got = [TRACEPARENT, TRACESTATE, BAGGAGE].map(|key| metadata.get(key));
    assert_eq!(got, [Some(PARENT), Some("a=1,b=2"), Some("k=v;p,l=w")]);
    let mut own = Metadata::default();
    own.insert(TRACEPARENT, PARENT);
    read(&[]).unwrap().add_to(&mut own);
    assert_eq!(own.get(TRACEPARENT), Some(PARENT), "one that was made does not replace it");
    let mut headers = HeaderMap::new();
    context.echo(&mut headers);
    assert_eq!(headers[TRACEPARENT], PARENT);
}

#[test]
fn an_invalid_traceparent_is_replaced_together_with_tracestate() {
    let zero = ZERO_PARENT;
    let later = PARENT.replacen("00", "01", 1) + "-x";
    for bad in ["", "x", zero, &PARENT.replacen("00", "ff", 1), &PARENT.replacen("00", "FF", 1), &format!("{PARENT}-x")]
    {
        let [parent, state, _] = values(&[(TRACEPARENT, bad), (TRACESTATE, "a=1")]);
        let parent = parent.unwrap();
        assert_eq!((normal_parent(&parent), state), (Some(parent.clone()), None), "{bad}");
        assert!(parent.ends_with("-00") && parent != bad, "not sampled: {parent}");
    }
    for repeated in [[PARENT, PARENT], [&later, PARENT]] {
        let parent = values(&repeated.map(|parent| (TRACEPARENT, parent)))[0].clone().unwrap();
        assert!(!PARENT.contains(&parent[3..35]), "{repeated:?}");
    }
    assert_eq!(values(&[(TRACEPARENT, &later)])[0].as_deref(), Some(PARENT), "as version 00, without what follows");
    assert_eq!(values(&[(TRACEPARENT, &PARENT.to_uppercase())])[0].as_deref(), Some(PARENT));
}

#[test]
fn without_a_traceparent_one_is_made() {
    let [first, second] = [(); 2].map(|()| values(&[])[0].clone().unwrap());
    assert_ne!(first, second);
    assert_eq!(normal_parent(&first), Some(first));
    let zero = TraceContext::read(&HeaderMap::new(), true).unwrap();
    assert_eq!((zero.is_made, zero.pairs), (false, vec![(TRACEPARENT, ZERO_PARENT.to_owned())]));
    assert_eq!(new_parent(1, 0x2a), "00-00000000000000000000000000000001-000000000000002a-00");
}

#[test]
fn baggage_is_checked_as_opentelemetry_does() {
    let members = |count: usize| vec!["k=v"; count].join(",");
    for good in [
        "k=",
        "k=v",
        "k = v ; p = q ; r",
        "k=%C3%BC%20",
        "k=a=b",
        "k=v,k=w",
        &members(180),
        &format!("k={}", "v".repeat(4_094)),
    ] {
        assert_eq!(values(&[(BAGGAGE, good)])[2].as_deref(), Some(good));
    }
    for bad in [
        "k",
        "=v",
        "k=v,",
        "k y=v",
        "k=\"v\"",
        "k=a b",
        "k=a\\b",
        "k=%",
        "k=%2",
        "k=%zz",
        "k=v;",
        "k=v;p q",
        "k=v;p=\"",
        "k=v;p=%x",
        &members(181),
        &format!("k={}", "v".repeat(4_095)),
        &format!("k={0},l={0},m={0}", "v".repeat(3_000)),
    ] {
        assert!(read(&[(BAGGAGE, bad)]).is_err(), "{bad}");
    }
}
