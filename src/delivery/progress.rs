//! How far an operation has come. It decides what the caller gets when it stops waiting.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::chartbrew::SendState;

/// How far an operation has come.
#[derive(Clone, Debug, Default)]
pub(super) enum Progress {
    /// Nothing was sent that could have had an effect.
    #[default]
    Nothing,
    /// Nothing was sent by this call. What an earlier one with the same request id did is not known.
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
    /// The caller was told that this call sent nothing. Nothing will be sent.
    Withheld,
}

/// The same, shared by the operation and by who waits for it.
#[derive(Debug, Default)]
pub(super) struct ProgressCell(Mutex<Progress>);

// === impl ProgressCell ===

impl ProgressCell {
    pub(super) fn new(progress: Progress) -> Self {
        Self(Mutex::new(progress))
    }

    /// The next step. Of no effect once the caller was told that nothing was sent.
    pub(super) fn set(&self, next: Progress) {
        let mut progress = self.lock();
        if !matches!(*progress, Progress::Withheld) {
            *progress = next;
        }
    }

    /// The request is about to be sent. `None`: it must not be.
    pub(super) fn begin_sending(&self) -> Option<SendState> {
        let state = SendState::default();
        let mut progress = self.lock();
        if matches!(*progress, Progress::Withheld) {
            return None;
        }
        *progress = Progress::Sending(state.clone());
        Some(state)
    }

    /// The caller stops waiting. If nothing was sent until now, nothing will be.
    pub(super) fn stop(&self) -> Progress {
        let mut progress = self.lock();
        let reached = match &*progress {
            Progress::Nothing => Progress::Withheld,
            Progress::Sending(state) if state.withhold() => Progress::Withheld,
            reached => reached.clone(),
        };
        *progress = match &reached {
            Progress::Unclaimed => Progress::Withheld,
            reached => reached.clone(),
        };
        reached
    }

    /// Whether an earlier call sent the request.
    pub(super) fn is_earlier(&self) -> bool {
        matches!(*self.lock(), Progress::Earlier)
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        // No code that can panic runs under this lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_sent_after_the_caller_heard_so() {
        let cell = ProgressCell::default();
        let state = cell.begin_sending().unwrap();
        assert!(matches!(cell.stop(), Progress::Withheld));
        assert!(state.withhold() && !state.has_begun());
        cell.set(Progress::Nothing);
        assert!(cell.begin_sending().is_none());

        let cell = ProgressCell::default();
        assert!(matches!(cell.stop(), Progress::Withheld));
        assert!(cell.begin_sending().is_none());

        let cell = ProgressCell::new(Progress::Unclaimed);
        assert!(matches!(cell.stop(), Progress::Unclaimed));
        cell.set(Progress::Nothing);
        assert!(cell.begin_sending().is_none());

        for kept in [Progress::Sent, Progress::Earlier, Progress::Created(1)] {
            let cell = ProgressCell::default();
            cell.set(kept);
            assert!(!matches!(cell.stop(), Progress::Withheld));
        }
    }
}
