//! DynamoDB: the lease table and items.
