//! How far an operation has come. It decides what the caller gets when it stops waiting.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::chartbrew::SendState;

/// How far an operation has come.
#[derive(Clone, Debug, Default)]
pub(super) enum Progress {
    /// Nothing was sent that could have had an effect.
    #[default]
    Nothing,
    /// Nothing was sent by this call. What an earlier one with the same request id did is not
    /// known.
    Unclaimed,
    /// An earlier call with the same request id sent the request, or may have.
    Earlier,
    /// The request is being sent.
    Sending(SendState),
    /// It was sent, and its outcome is not known.
    Sent,
    /// This connection exists.
    Created(i32),
    /// This connection exists, and its files are not all there.
    FilesMissing(i32),
}

/// The progress, shared by the operation and the caller that waits for it.
#[derive(Debug, Default)]
pub(super) struct ProgressCell(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    progress: Progress,
    /// The caller has stopped to wait. Nothing more will be sent.
    is_withheld: bool,
}

// === impl ProgressCell ===

impl ProgressCell {
    pub(super) fn new(progress: Progress) -> Self {
        Self(Mutex::new(State {
            progress,
            is_withheld: false,
        }))
    }

    /// The next step.
    pub(super) fn set(&self, next: Progress) {
        self.lock().progress = next;
    }

    /// The request is about to be sent. `None`: it must not be.
    pub(super) fn begin_sending(&self) -> Option<SendState> {
        let mut state = self.lock();
        if state.is_withheld {
            return None;
        }
        let sending = SendState::default();
        state.progress = Progress::Sending(sending.clone());
        Some(sending)
    }

    /// The caller stops waiting, or has left. What this call has not sent until now it never will:
    /// a repeat of the call sends it, and its result must not be changed by this call.
    pub(super) fn stop(&self) -> Progress {
        let mut state = self.lock();
        state.is_withheld = true;
        if let Progress::Sending(sending) = &state.progress
            && sending.withhold()
        {
            state.progress = Progress::Nothing;
        }
        state.progress.clone()
    }

    /// Whether an earlier call sent the request.
    pub(super) fn is_earlier(&self) -> bool {
        matches!(self.lock().progress, Progress::Earlier)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under this lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_sent_after_the_caller_was_told_that_nothing_was() {
        let cell = ProgressCell::default();
        let sending = cell.begin_sending().unwrap();
        assert!(matches!(cell.stop(), Progress::Nothing));
        assert!(sending.withhold() && !sending.has_begun());
        cell.set(Progress::Nothing);
        assert!(cell.begin_sending().is_none());
    }

    #[test]
    fn nothing_more_is_sent_for_a_caller_that_has_left() {
        for progress in [
            Progress::Nothing,
            Progress::Unclaimed,
            Progress::Earlier,
            Progress::Sent,
            Progress::Created(1),
        ] {
            let cell = ProgressCell::new(progress);
            let told = cell.stop();
            assert_eq!(format!("{told:?}"), format!("{:?}", cell.stop()));
            cell.set(Progress::Nothing);
            assert!(cell.begin_sending().is_none(), "{told:?}");
        }
    }
}
