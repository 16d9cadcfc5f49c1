use super::super::super::codec::{ItemCodec, item_from_json};
use super::*;
use aws_sdk_dynamodb::types::AttributeValue;
use proptest::prelude::*;
use std::cell::Cell;

/// A table of texts of these lengths, read as DynamoDB does: `passes` is the filter, `page` its own bound on bytes.
struct Table {
    lengths: Vec<usize>,
    page: usize,
}

impl Table {
    fn item(&self, number: usize) -> Item {
        item_from_json(format!(r#"{{"n":{number},"t":"{}"}}"#, "x".repeat(self.lengths[number])).as_bytes()).unwrap()
    }

    fn page(&self, start: Option<&Item>, limit: u32, passes: fn(usize) -> bool) -> Page {
        let begin = start.map_or(0, |key| key["n"].as_n().unwrap().parse::<usize>().unwrap() + 1);
        let (mut page, mut bytes, mut at) = (Page::default(), 0, begin);
        while at < self.lengths.len() && page.scanned < limit && (bytes == 0 || bytes < self.page) {
            bytes += self.lengths[at];
            page.scanned += 1;
            page.items.extend(passes(at).then(|| self.item(at)));
            at += 1;
        }
        page.last_key = (at > begin && at < self.lengths.len())
            .then(|| Item::from([("n".to_owned(), AttributeValue::N((at - 1).to_string()))]));
        page.capacity = Some(0.5);
        page
    }

    async fn gather(&self, bounds: Bounds, start: Option<Item>, passes: fn(usize) -> bool) -> Gathered {
        let read = |start: Option<Item>, limit| {
            let page = self.page(start.as_ref(), limit, passes);
            async move { Ok(page) }
        };
        gather(bounds, start, read, to_json).await.unwrap()
    }
}

fn to_json(item: &Item) -> Result<Box<RawValue>, BindingError> {
    Ok(ItemCodec::default().write(item).unwrap())
}

fn number(item: &RawValue) -> usize {
    serde_json::from_str::<serde_json::Value>(item.get()).unwrap()["n"].to_string().parse().unwrap()
}

#[tokio::test]
async fn pages_that_never_fit_are_not_reported_as_one_item() {
    let table = Table { lengths: vec![400; 4], page: 10_000 };
    let calls = Cell::new(0);
    let read = |start: Option<Item>, _ignored| {
        calls.set(calls.get() + 1);
        let page = table.page(start.as_ref(), 4, |_| true);
        async move { Ok(page) }
    };
    let error = gather(Bounds { items: 4, bytes: 500 }, None, read, to_json).await.unwrap_err();
    assert_eq!((error.kind(), calls.get()), (FailureKind::TooLarge, MAX_CALLS));
    assert!(error.message().starts_with("10 pages in a row exceeded 500 bytes"), "{error}");
}

proptest! {
    #[test]
    fn following_tokens_gives_every_item_once_and_no_bound_is_broken(
        lengths in prop::collection::vec(0_usize..300, 0..60),
        page in 1_usize..1_000,
        items in 1_u32..20,
        bytes in 330_usize..2_000,
        every in prop::bool::ANY,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let passes: fn(usize) -> bool = if every { |_| true } else { |number| number % 7 == 3 };
        let table = Table { lengths, page };
        let (mut seen, mut start) = (Vec::new(), None);
        loop {
            let gathered = runtime.block_on(table.gather(Bounds { items, bytes }, start, passes));
            prop_assert!(gathered.items.len() <= items as usize);
            prop_assert!(gathered.items.iter().map(|item| item.get().len() + 1).sum::<usize>() <= bytes);
            seen.extend(gathered.items.iter().map(|item| number(item)));
            match gathered.next {
                Some(next) => start = Some(next),
                None => break,
            }
        }
        let all: Vec<usize> = (0..table.lengths.len()).filter(|number| passes(*number)).collect();
        prop_assert_eq!(seen, all);
    }
}

#[tokio::test]
async fn an_item_beyond_the_limit_is_reported_with_size_and_limit() {
    let table = Table { lengths: vec![500], page: 1_000 };
    let read = |start: Option<Item>, limit| {
        let page = table.page(start.as_ref(), limit, |_| true);
        async move { Ok(page) }
    };
    let error = gather(Bounds { items: 5, bytes: 400 }, None, read, to_json).await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::TooLarge);
    assert_eq!(error.details(), [("size", "515".to_owned()), ("limit", "400".to_owned())]);
}

#[tokio::test]
async fn a_throttle_after_the_first_page_ends_the_page_and_one_before_it_is_an_error() {
    for (kind, is_good) in [(FailureKind::Throttled, true), (FailureKind::Denied, false)] {
        let table = Table { lengths: vec![10; 4], page: 15 };
        let calls = Cell::new(0);
        let read = |start: Option<Item>, limit| {
            calls.set(calls.get() + 1);
            let page = table.page(start.as_ref(), limit, |_| true);
            let result = if calls.get() == 1 { Ok(page) } else { Err(BindingError::new(kind, "no")) };
            async move { result }
        };
        let gathered = gather(Bounds { items: 4, bytes: 4_000 }, None, read, to_json).await;
        assert_eq!(gathered.is_ok_and(|gathered| gathered.items.len() == 2 && gathered.next.is_some()), is_good);
    }
    let refused = |_, _| async { Err(BindingError::new(FailureKind::Throttled, "no")) };
    assert!(gather(Bounds { items: 4, bytes: 4_000 }, None, refused, to_json).await.is_err());
}

#[tokio::test]
async fn the_capacity_of_all_calls_is_added_up() {
    let table = Table { lengths: vec![10; 4], page: 15 };
    let gathered = table.gather(Bounds { items: 10, bytes: 4_000 }, None, |_| true).await;
    assert_eq!((gathered.items.len(), gathered.capacity), (4, Some(1.0)));
}
