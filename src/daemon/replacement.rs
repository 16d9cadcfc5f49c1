//! Connects the component of a change, and lets it take the place of the old one.

use super::apply::{Changes, NotConnected};
use super::change_checks::probe;
use super::persist::{Persisted, Staging};
use super::reading::Reading;
use crate::bindings::Checked;
use crate::http::{ComponentRefusal, RefusalKind};
use std::time::Duration;

/// Limit of connecting, because other changes wait meanwhile.
const CONNECT_LIMIT: Duration = Duration::from_secs(60);

/// Connects a component, and lets it take its place. Before that its document is written, if it is to be: so a restart never
/// brings back what was replaced by an answer of success.
pub(super) async fn connect(
    checked: Checked,
    staging: Option<Staging<'_>>,
    changes: &mut Changes,
    reading: &Reading,
) -> Result<Option<Persisted>, ComponentRefusal> {
    let checked = within_limit(changes.prepared(checked)).await?;
    probe(&checked, reading).await?;
    let staged = match staging {
        Some(staging) => Some(staging.stage().await?),
        None => None,
    };
    let name = checked.name.clone();
    let ready =
        Box::pin(within_limit(changes.connected(checked))).await.inspect_err(|_| changes.forget_unused(&name))?;
    let persisted = match staged {
        None => None,
        Some(staged) => match staged.commit().await {
            Ok(persisted) => Some(persisted),
            Err(refusal) => {
                changes.discard(ready).await;
                return Err(refusal);
            }
        },
    };
    changes.put_in_place(ready).await;
    Ok(persisted)
}

async fn within_limit<T>(connecting: impl Future<Output = Result<T, NotConnected>>) -> Result<T, ComponentRefusal> {
    let connected = tokio::time::timeout(CONNECT_LIMIT, connecting).await.unwrap_or_else(|_| {
        let error = format!(
            "it was not connected within {CONNECT_LIMIT:?}, the limit over the API, whatever its `initTimeout`; look at what \
             it needs to connect, or write it into a file"
        );
        Err(NotConnected { error, timed_out: true })
    });
    connected.map_err(|NotConnected { error, timed_out }| {
        let kind = if timed_out { RefusalKind::TimedOut } else { RefusalKind::Unusable };
        ComponentRefusal::new(kind, format!("the component cannot be connected, and nothing was changed: {error}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn a_component_that_does_not_connect_holds_up_the_others_for_a_minute_only() {
        let begun = Instant::now();
        let hung = within_limit(std::future::pending::<Result<(), NotConnected>>()).await.unwrap_err();
        assert_eq!((begun.elapsed(), hung.kind), (CONNECT_LIMIT, RefusalKind::TimedOut));
        assert!(hung.message.contains("nothing was changed: it was not connected within 60s"), "{}", hung.message);
        for (timed_out, kind) in [(true, RefusalKind::TimedOut), (false, RefusalKind::Unusable)] {
            let failed = async { Err::<(), _>(NotConnected { error: "no region".to_owned(), timed_out }) };
            let refusal = within_limit(failed).await.unwrap_err();
            assert!(refusal.kind == kind && refusal.message.ends_with("no region"), "{refusal:?}");
        }
        assert_eq!(within_limit(async { Ok(1) }).await, Ok(1));
    }
}
