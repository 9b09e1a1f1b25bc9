//! What a call was to do, and the words that its failures have for it.

use crate::delivery::Operation;

/// What a call was to do.
#[derive(Clone, Copy, Debug)]
pub(in crate::grpc) struct About {
    pub(super) operation: Operation,
    pub(in crate::grpc) team_id: i32,
    /// The connection, if the call names one.
    pub(super) connection_id: Option<i32>,
}

// === impl About ===

impl About {
    /// Something in a team.
    pub(in crate::grpc) fn team(operation: Operation, team_id: i32) -> Self {
        Self {
            operation,
            team_id,
            connection_id: None,
        }
    }

    /// Something with a connection of a team.
    pub(in crate::grpc) fn connection(operation: Operation, team_id: i32, id: i32) -> Self {
        Self {
            connection_id: Some(id),
            ..Self::team(operation, team_id)
        }
    }

    /// What was not done, to end a sentence. Empty for what changes nothing anyway.
    pub(super) fn and_nothing(self) -> &'static str {
        match self.operation {
            Operation::Create => "; nothing was created",
            Operation::Update => "; nothing was changed",
            Operation::Delete => "; nothing was deleted",
            Operation::UploadFiles => "; nothing was uploaded",
            Operation::Get | Operation::List | Operation::Test | Operation::TestNew => "",
        }
    }

    /// The thing that was asked for.
    pub(super) fn what(self) -> &'static str {
        match self.operation {
            Operation::Create => "connection",
            Operation::Get | Operation::List => "response",
            Operation::Update => "update",
            Operation::Delete => "deletion",
            Operation::Test | Operation::TestNew => "result of the test",
            Operation::UploadFiles => "upload",
        }
    }
}
