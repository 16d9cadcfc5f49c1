//! The operations by name.

/// What a caller may request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Stores an item (`PutItem`).
    Create,
    /// Reads an item.
    Get,
    /// Changes attributes of an item.
    Update,
    /// Deletes an item.
    Delete,
    /// Reads the items of a partition.
    Query,
    /// Reads all items (`Scan`).
    List,
    /// Stores many items.
    BulkCreate,
    /// Reads many items.
    BulkGet,
    /// Deletes many items.
    BulkDelete,
    /// Writes several items together or not at all.
    Transact,
    /// Reads several items in one consistent snapshot.
    TransactGet,
    /// Executes a PartiQL statement of the component.
    Exec,
}

/// Whether an operation, a call or a statement may change items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It only reads.
    Read,
    /// It may change items, even if its reply is lost.
    Write,
}

impl Operation {
    /// All, in the order in which errors list them.
    pub const ALL: [Self; 12] = [
        Self::Create,
        Self::Get,
        Self::Update,
        Self::Delete,
        Self::Query,
        Self::List,
        Self::BulkCreate,
        Self::BulkGet,
        Self::BulkDelete,
        Self::Transact,
        Self::TransactGet,
        Self::Exec,
    ];

    /// Its name in requests.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Get => "get",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Query => "query",
            Self::List => "list",
            Self::BulkCreate => "bulkCreate",
            Self::BulkGet => "bulkGet",
            Self::BulkDelete => "bulkDelete",
            Self::Transact => "transact",
            Self::TransactGet => "transactGet",
            Self::Exec => "exec",
        }
    }

    /// The operation of a name in a request.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operation| operation.as_str() == name)
    }

    /// `None` where the statement decides.
    #[must_use]
    pub const fn access(self) -> Option<Access> {
        match self {
            Self::Create | Self::Update | Self::Delete | Self::BulkCreate | Self::BulkDelete | Self::Transact => {
                Some(Access::Write)
            }
            Self::Get | Self::Query | Self::List | Self::BulkGet | Self::TransactGet => Some(Access::Read),
            Self::Exec => None,
        }
    }

    /// Whether it is offered when the file has no `allowedOperations`.
    #[must_use]
    pub const fn is_on_by_default(self) -> bool {
        !matches!(self, Self::List | Self::Exec)
    }
}
