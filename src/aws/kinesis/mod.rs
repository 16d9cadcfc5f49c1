//! Kinesis: shards, records out, records in by polling and by enhanced fan-out.
