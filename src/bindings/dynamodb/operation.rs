//! The operations by name.

/// What a caller may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Stores an item.
    Create,
    /// Reads an item.
    Get,
    /// Changes attributes of an item.
    Update,
    /// Removes an item.
    Delete,
    /// Reads the items of a partition.
    Query,
    /// Reads all items (`Scan`).
    List,
    /// Stores many items.
    BulkCreate,
    /// Reads many items.
    BulkGet,
    /// Removes many items.
    BulkDelete,
    /// Writes several items together or not at all.
    Transact,
    /// Reads several items as of one moment.
    TransactGet,
    /// Executes a statement of the component.
    Exec,
}

/// What an operation does to the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It leaves it as it is.
    Reads,
    /// It may change items.
    Writes,
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

    /// Its name on the wire.
    #[must_use]
    pub const fn word(self) -> &'static str {
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

    /// The operation of a name.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operation| operation.word() == word)
    }

    /// What it does to the table; `None` where its statement decides.
    #[must_use]
    pub const fn effect(self) -> Option<Effect> {
        match self {
            Self::Create | Self::Update | Self::Delete | Self::BulkCreate | Self::BulkDelete | Self::Transact => {
                Some(Effect::Writes)
            }
            Self::Get | Self::Query | Self::List | Self::BulkGet | Self::TransactGet => Some(Effect::Reads),
            Self::Exec => None,
        }
    }

    /// Whether it is offered although no `allowedOperations` names it.
    #[must_use]
    pub const fn is_on_by_default(self) -> bool {
        match self {
            Self::Create
            | Self::Get
            | Self::Update
            | Self::Delete
            | Self::Query
            | Self::BulkCreate
            | Self::BulkGet
            | Self::BulkDelete
            | Self::Transact
            | Self::TransactGet => true,
            Self::List | Self::Exec => false,
        }
    }
}
