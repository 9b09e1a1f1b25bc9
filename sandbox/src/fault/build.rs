//! Faults, built in the order in which they read.

use std::time::Duration;

use bytes::Bytes;

use super::{Fault, Respond, Times, What};
use crate::{Gate, Kind};

impl Fault {
    /// A fault for requests of this kind.
    #[must_use]
    pub fn on(kind: Kind) -> Self {
        Self {
            on: kind,
            ..Self::default()
        }
    }

    /// A fault for any request.
    #[must_use]
    pub fn any() -> Self {
        Self::on(Kind::Any)
    }

    /// A fault for `POST …/connections`.
    #[must_use]
    pub fn create() -> Self {
        Self::on(Kind::Create)
    }

    /// A fault for `GET …/connections`.
    #[must_use]
    pub fn list() -> Self {
        Self::on(Kind::List)
    }

    /// A fault for `GET …/connections/{id}`.
    #[must_use]
    pub fn get() -> Self {
        Self::on(Kind::Get)
    }

    /// A fault for `PUT …/connections/{id}`.
    #[must_use]
    pub fn update() -> Self {
        Self::on(Kind::Update)
    }

    /// A fault for `DELETE …/connections/{id}`.
    #[must_use]
    pub fn delete() -> Self {
        Self::on(Kind::Delete)
    }

    /// A fault for `GET …/connections/{id}/test`.
    #[must_use]
    pub fn test() -> Self {
        Self::on(Kind::Test)
    }

    /// A fault for `POST …/connections/{type}/test` and `…/test/files`.
    #[must_use]
    pub fn test_new() -> Self {
        Self::on(Kind::TestNew)
    }

    /// A fault for `POST …/connections/{id}/files`.
    #[must_use]
    pub fn files() -> Self {
        Self::on(Kind::Files)
    }

    /// Happens so many times instead of once.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = Times::Count(times);
        self
    }

    /// Happens until the faults are cleared.
    #[must_use]
    pub fn forever(mut self) -> Self {
        self.times = Times::Forever;
        self
    }

    /// Answers this status with an empty body; nothing is stored.
    #[must_use]
    pub fn status(self, status: u16) -> Self {
        self.what(What::Respond(Respond {
            status,
            ..Respond::default()
        }))
    }

    /// Answers as Envoy does when it has nobody to forward a request to; nothing is stored.
    #[must_use]
    pub fn not_forwarded(self) -> Self {
        self.body(503, "text/plain", "no healthy upstream")
    }

    /// Answers this; nothing is stored.
    #[must_use]
    pub fn body(self, status: u16, content_type: &str, body: impl Into<Bytes>) -> Self {
        self.what(What::Respond(Respond::new(status, content_type, body)))
    }

    /// Stores, then answers this.
    #[must_use]
    pub fn store_then_body(self, status: u16, content_type: &str, body: impl Into<Bytes>) -> Self {
        let respond = Respond::new(status, content_type, body);
        self.what(What::StoreThenRespond(respond))
    }

    /// Answers this, then stores, after the delay that is set with
    /// [`delay_after_storing`](Self::delay_after_storing).
    #[must_use]
    pub fn respond_then_store(
        self,
        status: u16,
        content_type: &str,
        body: impl Into<Bytes>,
    ) -> Self {
        let respond = Respond::new(status, content_type, body);
        self.what(What::RespondThenStore(respond))
    }

    /// Adds a header to the response that this fault gives; of no effect where it gives none.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let What::Respond(respond)
        | What::StoreThenRespond(respond)
        | What::RespondThenStore(respond) = &mut self.what
        {
            respond.headers.insert(name.into(), value.into());
        }
        self
    }

    /// Waits before the work is done.
    #[must_use]
    pub fn delay_before_storing(mut self, delay: Duration) -> Self {
        self.delay_before_storing_ms = millis(delay);
        self
    }

    /// Waits after the work is done, before the response.
    #[must_use]
    pub fn delay_after_storing(mut self, delay: Duration) -> Self {
        self.delay_after_storing_ms = millis(delay);
        self
    }

    /// Holds the request at the gate before its work is done.
    #[must_use]
    pub fn hold_before_storing(mut self, gate: &Gate) -> Self {
        self.gate_before_storing = Some(gate.clone());
        self
    }

    /// Holds the response at the gate after the work is done.
    #[must_use]
    pub fn hold_after_storing(mut self, gate: &Gate) -> Self {
        self.gate_after_storing = Some(gate.clone());
        self
    }

    /// [`What::DropBeforeReading`].
    #[must_use]
    pub fn drop_before_reading(self) -> Self {
        self.what(What::DropBeforeReading)
    }

    /// [`What::DropBeforeStoring`].
    #[must_use]
    pub fn drop_before_storing(self) -> Self {
        self.what(What::DropBeforeStoring)
    }

    /// [`What::DropAfterStoring`].
    #[must_use]
    pub fn drop_after_storing(self) -> Self {
        self.what(What::DropAfterStoring)
    }

    /// [`What::CutAnswerAt`]: headers and so many bytes of the body arrive.
    #[must_use]
    pub fn cut_answer_at(self, bytes: usize) -> Self {
        self.what(What::CutAnswerAt(bytes))
    }

    /// [`What::GarbledAnswer`].
    #[must_use]
    pub fn garbled_answer(self) -> Self {
        self.what(What::GarbledAnswer)
    }

    /// [`What::Silent`].
    #[must_use]
    pub fn silent(self) -> Self {
        self.what(What::Silent)
    }

    /// [`What::SlowDripMs`].
    #[must_use]
    pub fn slow_drip(self, per_byte: Duration) -> Self {
        self.what(What::SlowDripMs(millis(per_byte)))
    }

    fn what(mut self, what: What) -> Self {
        self.what = what;
        self
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
