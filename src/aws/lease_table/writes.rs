//! The changes of a lease as conditional writes, without I/O. Only the named attributes change; what other libraries keep in
//! the row stays.
//!
//! | write | condition | change |
//! |---|---|---|
//! | take | counter = n | owner = me, counter n+1, no `checkpointOwner`, `bd…` attributes of the stream, one owner switch more if it had another owner |
//! | request handoff | owner = the one seen, no `checkpointOwner` | owner = me, `checkpointOwner` = the one seen |
//! | withdraw | owner = me, `checkpointOwner` = the old owner | owner = the old owner, no `checkpointOwner` |
//! | renew | counter = n and held by me | counter n+1, `bdCaughtUp` if it is known |
//! | checkpoint | counter = n and held by me | as renew; checkpoint, owner switches 0, nothing pending |
//! | reset | counter = n and held by me | counter n+1, checkpoint, `bdStartTs` with LATEST, no `bdCaughtUp`, owner switches 0, nothing pending |
//! | store children | the row exists | children |
//! | release | counter = n and owner = me, no handoff | counter n+1, no owner |
//! | release in a handoff | counter = n and `checkpointOwner` = me | counter n+1, no `checkpointOwner` |
//! | remove | counter = n and ended; or counter = 0, no owner and the same stream | – |
//! | evict (operator) | counter = n | counter n+1, no owner, no `checkpointOwner` |
//! | seek (operator) | counter = n | the same, checkpoint, `bdStartTs`, no `bdCaughtUp`, owner switches 0, nothing pending |
//!
//! "Held by me" means: owner = me without a handoff, or `checkpointOwner` = me. The KCL makes the same changes, but the
//! KCL 2.x has no owner in its conditions and deletes without a condition.

use super::row::{
    CAUGHT_UP, CHECKPOINT, CHECKPOINT_OWNER, CHILDREN, LEASE_COUNTER, LEASE_KEY, LEASE_MILLIS, LEASE_OWNER,
    OWNER_SWITCHES, PENDING, START_AT, STREAM, STREAM_CREATED, SUB_SEQUENCE, TAKEN_BY, checkpoint_values, number,
    shard_set, string,
};
use crate::domain::{Checkpoint, Lease, LeaseCounter, LeaseGrant, ResetPosition, ShardId, Timestamp, WorkerId};
use aws_sdk_dynamodb::types::AttributeValue;
use std::collections::HashMap;

/// An update expression and a condition expression.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct ConditionalWrite {
    sets: Vec<String>,
    removes: Vec<String>,
    adds: Vec<String>,
    conditions: Vec<String>,
    /// `ExpressionAttributeNames`. All names are written this way, since DynamoDB reserves hundreds of words.
    pub(super) names: HashMap<String, String>,
    pub(super) values: HashMap<String, AttributeValue>,
}

/// Takes a lease in the state in which it was read.
pub(super) fn take(seen: &Lease, worker: &WorkerId) -> ConditionalWrite {
    let mut write = ConditionalWrite::counted(seen.counter).set(LEASE_OWNER, string(worker)).remove(CHECKPOINT_OWNER);
    if let Some(stream) = &seen.stream {
        write = write.set(STREAM, string(stream));
    }
    write = write.set_time(STREAM_CREATED, seen.stream_created).set_time(START_AT, seen.start_at);
    if let Some(duration) = seen.owner_duration {
        write = write.set(TAKEN_BY, string(worker)).set(LEASE_MILLIS, number(&duration.as_millis()));
    }
    let had_another_owner = seen.owner.as_ref().is_some_and(|owner| owner != worker);
    if had_another_owner { write.add_one(OWNER_SWITCHES) } else { write }
}

/// Requests that `owner` drains the lease for `worker`. The counter stays, so that the owner can renew.
pub(super) fn request_handoff(owner: &WorkerId, worker: &WorkerId) -> ConditionalWrite {
    ConditionalWrite::default()
        .when(LEASE_OWNER, string(owner))
        .when_absent(CHECKPOINT_OWNER)
        .set(LEASE_OWNER, string(worker))
        .set(CHECKPOINT_OWNER, string(owner))
}

/// Takes a request for a handoff back: `owner` keeps the lease.
pub(super) fn withdraw(owner: &WorkerId, worker: &WorkerId) -> ConditionalWrite {
    ConditionalWrite::default()
        .when(LEASE_OWNER, string(worker))
        .when(CHECKPOINT_OWNER, string(owner))
        .set(LEASE_OWNER, string(owner))
        .remove(CHECKPOINT_OWNER)
}

pub(super) fn renew(grant: &LeaseGrant) -> ConditionalWrite {
    held(grant).set_time(CAUGHT_UP, grant.caught_up())
}

pub(super) fn checkpoint(grant: &LeaseGrant, checkpoint: &Checkpoint) -> ConditionalWrite {
    renew(grant).move_to(checkpoint)
}

/// Moves the checkpoint back to where the shard is read from again.
pub(super) fn reset(grant: &LeaseGrant, start: ResetPosition) -> ConditionalWrite {
    held(grant).move_to(&start.checkpoint()).set_time(START_AT, start.start_at()).remove(CAUGHT_UP)
}

fn held(grant: &LeaseGrant) -> ConditionalWrite {
    ConditionalWrite::counted(grant.lease().counter).when_held_by(grant.worker())
}

/// `children` must not be empty.
pub(super) fn store_children(children: &[ShardId]) -> ConditionalWrite {
    ConditionalWrite::default().when_exists(LEASE_KEY).set(CHILDREN, shard_set(children))
}

/// Releases a lease without a handoff.
pub(super) fn release(counter: LeaseCounter, worker: &WorkerId) -> ConditionalWrite {
    ConditionalWrite::counted(counter)
        .when(LEASE_OWNER, string(worker))
        .when_absent(CHECKPOINT_OWNER)
        .remove(LEASE_OWNER)
}

/// Releases a lease to the worker that requested it, whose name is in `leaseOwner` already.
pub(super) fn complete_handoff(counter: LeaseCounter, worker: &WorkerId) -> ConditionalWrite {
    ConditionalWrite::counted(counter).when(CHECKPOINT_OWNER, string(worker)).remove(CHECKPOINT_OWNER)
}

/// Takes a lease from its owner, for an operator.
pub(super) fn evict(counter: LeaseCounter) -> ConditionalWrite {
    ConditionalWrite::counted(counter).remove(LEASE_OWNER).remove(CHECKPOINT_OWNER)
}

/// Takes a lease from its owner and moves its checkpoint, for an operator.
pub(super) fn seek(counter: LeaseCounter, checkpoint: &Checkpoint, start_at: Option<Timestamp>) -> ConditionalWrite {
    let write = evict(counter).move_to(checkpoint).remove(CAUGHT_UP);
    match start_at {
        Some(_) => write.set_time(START_AT, start_at),
        None => write.remove(START_AT),
    }
}

/// The condition for deleting the lease of an ended shard, or one that was never taken.
pub(super) fn remove(seen: &Lease) -> ConditionalWrite {
    let write = ConditionalWrite::default().when(LEASE_COUNTER, number(&seen.counter.value()));
    if seen.checkpoint.is_ended() {
        let (ended, _) = checkpoint_values(&Checkpoint::Ended);
        return write.when(CHECKPOINT, ended);
    }
    // Another stream may have a row of the same name.
    let write = write.when_absent(LEASE_OWNER);
    match &seen.stream {
        Some(stream) => write.when(STREAM, string(stream)),
        None => write.when_absent(STREAM),
    }
}

impl ConditionalWrite {
    /// Raises the counter by one, if it is this one.
    fn counted(counter: LeaseCounter) -> Self {
        Self::default()
            .when(LEASE_COUNTER, number(&counter.value()))
            .set(LEASE_COUNTER, number(&counter.next().value()))
    }

    fn set(mut self, attribute: &'static str, value: AttributeValue) -> Self {
        let part = format!("{} = {}", self.name(attribute), self.value(value));
        self.sets.push(part);
        self
    }

    /// In ms since 1970. `None` leaves what is stored.
    fn set_time(self, attribute: &'static str, moment: Option<Timestamp>) -> Self {
        match moment {
            Some(moment) => self.set(attribute, number(&moment.as_millis())),
            None => self,
        }
    }

    fn move_to(self, checkpoint: &Checkpoint) -> Self {
        let (position, sub_sequence) = checkpoint_values(checkpoint);
        let moved = self.set(CHECKPOINT, position).set(SUB_SEQUENCE, sub_sequence).set(OWNER_SWITCHES, number(&0));
        PENDING.into_iter().fold(moved, Self::remove)
    }

    fn remove(mut self, attribute: &'static str) -> Self {
        let part = self.name(attribute);
        self.removes.push(part);
        self
    }

    fn add_one(mut self, attribute: &'static str) -> Self {
        let part = format!("{} {}", self.name(attribute), self.value(number(&1)));
        self.adds.push(part);
        self
    }

    fn when(mut self, attribute: &'static str, value: AttributeValue) -> Self {
        let part = format!("{} = {}", self.name(attribute), self.value(value));
        self.conditions.push(part);
        self
    }

    fn when_absent(mut self, attribute: &'static str) -> Self {
        let part = format!("attribute_not_exists({})", self.name(attribute));
        self.conditions.push(part);
        self
    }

    fn when_exists(mut self, attribute: &'static str) -> Self {
        let part = format!("attribute_exists({})", self.name(attribute));
        self.conditions.push(part);
        self
    }

    fn when_held_by(mut self, worker: &WorkerId) -> Self {
        let (owner, old_owner) = (self.name(LEASE_OWNER), self.name(CHECKPOINT_OWNER));
        let me = self.value(string(worker));
        let part = format!("(({owner} = {me} AND attribute_not_exists({old_owner})) OR {old_owner} = {me})");
        self.conditions.push(part);
        self
    }

    fn name(&mut self, attribute: &'static str) -> String {
        let name = format!("#{attribute}");
        self.names.insert(name.clone(), attribute.to_owned());
        name
    }

    fn value(&mut self, value: AttributeValue) -> String {
        let name = format!(":v{}", self.values.len());
        self.values.insert(name.clone(), value);
        name
    }

    pub(super) fn update_expression(&self) -> String {
        let clause = |word: &str, parts: &[String]| match parts {
            [] => None,
            parts => Some(format!("{word} {}", parts.join(", "))),
        };
        [clause("SET", &self.sets), clause("REMOVE", &self.removes), clause("ADD", &self.adds)]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(" ")
    }

    pub(super) fn condition_expression(&self) -> String {
        self.conditions.join(" AND ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::SentinelCheckpoint;

    fn lease(owner: Option<&str>) -> Lease {
        Lease {
            shard: ShardId::new("shardId-000000000000"),
            owner: owner.map(WorkerId::new),
            handoff_from: None,
            counter: LeaseCounter::new(116),
            checkpoint: Checkpoint::Ended,
            parents: Vec::new(),
            children: Vec::new(),
            hash_range: None,
            start_at: None,
            stream: None,
            stream_created: None,
            caught_up: None,
            owner_duration: None,
        }
    }

    fn grant(counter: u64) -> LeaseGrant {
        LeaseGrant::taken(Lease { counter: LeaseCounter::new(counter), ..lease(Some("w1")) }, WorkerId::new("w1"))
    }

    /// The update and the condition with names and values in their places.
    fn rendered(write: &ConditionalWrite) -> (String, String) {
        let render = |mut text: String| {
            for (name, value) in &write.values {
                let value = value.as_s().or_else(|_| value.as_n()).map_or("?", String::as_str);
                text = text.replace(name.as_str(), value);
            }
            text.replace('#', "")
        };
        (render(write.update_expression()), render(write.condition_expression()))
    }

    #[test]
    fn a_take_counts_an_owner_switch_only_if_it_had_another_owner() {
        let me = WorkerId::new("w4");
        let change = "SET leaseCounter = 117, leaseOwner = w4 REMOVE checkpointOwner";
        for (owner, switched) in [(None, ""), (Some("w4"), ""), (Some("w1"), " ADD ownerSwitchesSinceCheckpoint 1")] {
            let (update, condition) = rendered(&take(&lease(owner), &me));
            assert_eq!((update, condition), (format!("{change}{switched}"), "leaseCounter = 116".to_owned()));
        }
    }

    #[test]
    fn a_take_writes_which_stream_the_lease_belongs_to() {
        let seen = Lease {
            start_at: Some(Timestamp::from_millis(7)),
            stream: Some("orders".into()),
            stream_created: Some(Timestamp::from_millis(5)),
            owner_duration: Some(std::time::Duration::from_secs(10)),
            ..lease(None)
        };
        let (update, condition) = rendered(&take(&seen, &WorkerId::new("w4")));
        assert_eq!(
            update,
            "SET leaseCounter = 117, leaseOwner = w4, bdStream = orders, bdStreamCreated = 5, bdStartTs = 7, \
             bdOwner = w4, bdLeaseMs = 10000 \
             REMOVE checkpointOwner"
        );
        assert_eq!(condition, "leaseCounter = 116");
    }

    #[test]
    fn a_handoff_is_requested_without_the_counter() {
        let (update, condition) = rendered(&request_handoff(&WorkerId::new("w1"), &WorkerId::new("w2")));
        assert_eq!(update, "SET leaseOwner = w2, checkpointOwner = w1");
        assert_eq!(condition, "leaseOwner = w1 AND attribute_not_exists(checkpointOwner)");
    }

    #[test]
    fn a_checkpoint_renews_and_clears_what_was_pending() {
        let (update, condition) = rendered(&checkpoint(&grant(7), &Checkpoint::Ended));
        assert_eq!(
            update,
            "SET leaseCounter = 8, checkpoint = SHARD_END, checkpointSubSequenceNumber = 0, \
             ownerSwitchesSinceCheckpoint = 0 REMOVE pendingCheckpoint, pendingCheckpointSubSequenceNumber, \
             pendingCheckpointState"
        );
        assert_eq!(
            condition,
            "leaseCounter = 7 AND ((leaseOwner = w1 AND attribute_not_exists(checkpointOwner)) OR checkpointOwner = w1)"
        );
    }

    #[test]
    fn the_time_until_which_all_was_accepted_rides_on_renewals_and_checkpoints() {
        let mut grant = grant(7);
        assert_eq!(rendered(&renew(&grant)).0, "SET leaseCounter = 8");
        grant.set_caught_up(Some(Timestamp::from_millis(5)));
        assert_eq!(rendered(&renew(&grant)).0, "SET leaseCounter = 8, bdCaughtUp = 5");
        let (update, _) = rendered(&checkpoint(&grant, &Checkpoint::Ended));
        assert!(update.starts_with("SET leaseCounter = 8, bdCaughtUp = 5, checkpoint = SHARD_END"), "{update}");
    }

    #[test]
    fn a_reset_to_latest_stores_when_it_begins() {
        let (update, _) = rendered(&reset(&grant(7), ResetPosition::Latest(Timestamp::from_millis(5))));
        assert_eq!(
            update,
            "SET leaseCounter = 8, checkpoint = LATEST, checkpointSubSequenceNumber = 0, \
             ownerSwitchesSinceCheckpoint = 0, bdStartTs = 5 REMOVE pendingCheckpoint, \
             pendingCheckpointSubSequenceNumber, pendingCheckpointState, bdCaughtUp"
        );
        let (update, _) = rendered(&reset(&grant(7), ResetPosition::TrimHorizon));
        assert!(update.contains("checkpoint = TRIM_HORIZON") && !update.contains("bdStartTs"), "{update}");
    }

    #[test]
    fn a_seek_leaves_no_owner_and_nothing_of_the_old_position() {
        let (update, condition) = rendered(&seek(LeaseCounter::new(7), &Checkpoint::Ended, None));
        assert_eq!(
            update,
            "SET leaseCounter = 8, checkpoint = SHARD_END, checkpointSubSequenceNumber = 0, \
             ownerSwitchesSinceCheckpoint = 0 REMOVE leaseOwner, checkpointOwner, pendingCheckpoint, \
             pendingCheckpointSubSequenceNumber, pendingCheckpointState, bdCaughtUp, bdStartTs"
        );
        assert_eq!(condition, "leaseCounter = 7");
        let (update, _) = rendered(&seek(LeaseCounter::new(7), &Checkpoint::Ended, Some(Timestamp::from_millis(5))));
        assert!(update.contains("bdStartTs = 5"), "{update}");
    }

    #[test]
    fn only_an_ended_lease_or_one_that_was_never_taken_is_removed() {
        assert_eq!(rendered(&remove(&lease(None))).1, "leaseCounter = 116 AND checkpoint = SHARD_END");
        let new = Lease {
            counter: LeaseCounter::new(0),
            checkpoint: Checkpoint::NotStarted(SentinelCheckpoint::Latest),
            stream: Some("orders".into()),
            ..lease(None)
        };
        let condition = "leaseCounter = 0 AND attribute_not_exists(leaseOwner)";
        assert_eq!(rendered(&remove(&new)).1, format!("{condition} AND bdStream = orders"));
        let unnamed = Lease { stream: None, ..new };
        assert_eq!(rendered(&remove(&unnamed)).1, format!("{condition} AND attribute_not_exists(bdStream)"));
    }

    #[test]
    fn every_name_and_value_given_is_used() {
        let (me, n) = (WorkerId::new("w1"), LeaseCounter::new(7));
        let writes = [
            take(&lease(Some("w0")), &me),
            request_handoff(&WorkerId::new("w0"), &me),
            withdraw(&WorkerId::new("w0"), &me),
            renew(&grant(7)),
            checkpoint(&grant(7), &Checkpoint::Ended),
            reset(&grant(7), ResetPosition::Latest(Timestamp::from_millis(5))),
            store_children(&[ShardId::new("a")]),
            release(n, &me),
            complete_handoff(n, &me),
            remove(&lease(None)),
            remove(&Lease { checkpoint: Checkpoint::NotStarted(SentinelCheckpoint::Latest), ..lease(None) }),
            evict(n),
            seek(n, &Checkpoint::Ended, Some(Timestamp::from_millis(5))),
        ];
        for write in writes {
            let text = format!("{} {}", write.update_expression(), write.condition_expression());
            assert!(write.names.keys().chain(write.values.keys()).all(|name| text.contains(name.as_str())), "{text}");
        }
    }
}
