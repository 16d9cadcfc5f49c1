use super::*;
use proptest::prelude::*;

const COUNTS: Counts =
    Counts { requests: 10, total_successes: 4, total_failures: 6, consecutive_successes: 0, consecutive_failures: 3 };

fn is_met(text: &str) -> bool {
    Trip::parse(text).unwrap().is_met(&COUNTS)
}

#[test]
fn expressions_are_evaluated_as_in_cel() {
    for met in [
        "consecutiveFailures > 2",
        "consecutiveFailures >= 3 && requests == 10",
        "totalFailures * 100 / requests >= 60",
        "double(totalFailures) / double(requests) > 0.5",
        "requests > 5.5",
        "2 + 3 * 4 == 14 && (2 + 3) * 4 == 20 && 10 - 3 - 2 == 5",
        "-totalFailures == -6 && 7 % 4 == 3",
        "!(totalSuccesses > totalFailures)",
        "requests > 100 ? false : consecutiveFailures != 0",
        "int(2.9) == 2",
        "true || unknown > 1",
        "unknown > 1 || true",
        "1 / 0 == 1 || requests > 1",
        "  requests>1  ",
    ] {
        assert!(is_met(met), "{met}");
    }
    for unmet in [
        "consecutiveFailures > 3",
        "consecutiveSuccesses > 0",
        "totalFailures / requests > 0",
        "requests",
        "unknown > 1",
        "unknown > 1 && true",
        "1 / 0 == 1",
        "requests % 0 == 0",
        "9223372036854775807 + requests > 0",
        "requests + 1.0 > 0.0",
        "(requests > 1) + 1 == 2",
        "0.0 / 0.0 == 0.0",
    ] {
        assert!(!is_met(unmet), "{unmet}");
    }
}

#[test]
fn unknown_names_are_found_and_wrong_expressions_are_refused_with_their_place() {
    assert_eq!(Trip::parse("failures > 1 && !(x.y == requests)").unwrap().unknown_names(), ["failures", "x.y"]);
    for (text, position) in [
        ("", 1),
        ("requests >", 11),
        ("requests > 5 5", 14),
        ("(requests > 5", 14),
        ("size(requests) > 1", 1),
        ("requests > 5u", 12),
        ("requests > '5'", 12),
        ("requests ? 1", 13),
        ("99999999999999999999 > 1", 1),
        ("1.2.3 > 1", 1),
    ] {
        assert_eq!(Trip::parse(text).unwrap_err().position, position, "{text}");
    }
    assert!(Trip::parse(&"(".repeat(900)).is_err());
    assert!(Trip::parse(&"!".repeat(900)).is_err());
    assert!(Trip::parse(&"1 ".repeat(900)).is_err());
}

#[test]
fn the_default_is_that_of_dapr() {
    assert_eq!(Trip::default(), Trip::parse("consecutiveFailures > 5").unwrap());
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC*|[-+*/%!&|<>=()?: .0-9a-z]{0,200}", requests: u32, failures: u32) {
        if let Ok(trip) = Trip::parse(&text) {
            std::hint::black_box(trip.is_met(&Counts { requests, consecutive_failures: failures, ..COUNTS }));
        }
    }

    #[test]
    fn sums_and_comparisons_are_those_of_integers(a in -1_000_i64..1_000, b in -1_000_i64..1_000, c in 1_i64..100) {
        let value = |text: String| Trip::parse(&text).unwrap().is_met(&COUNTS);
        let by_text = value(format!("{a} * {c} + {b} / {c} - {b} % {c} == {}", a * c + b / c - b % c));
        prop_assert!(by_text);
        prop_assert_eq!(value(format!("{a} < {b}")), a < b);
        prop_assert_eq!(value(format!("{a} >= {b}")), a >= b);
    }
}
