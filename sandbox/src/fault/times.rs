//! How often a fault happens.

use serde::{Deserialize, Serialize};

/// How often a fault happens; in JSON a number, or `"forever"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "TimesInJson", into = "TimesInJson")]
pub enum Times {
    /// For so many requests.
    Count(u32),
    /// For every request until the faults are cleared.
    Forever,
}

impl Default for Times {
    fn default() -> Self {
        Self::Count(1)
    }
}

impl Times {
    /// What is left after one more use; `None` if nothing is.
    pub(crate) fn used(self) -> Option<Self> {
        match self {
            Self::Count(n) => n.checked_sub(1).filter(|n| *n > 0).map(Self::Count),
            Self::Forever => Some(self),
        }
    }
}

/// [`Times`] as JSON has it.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum TimesInJson {
    Count(u32),
    Word(Word),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    Forever,
}

impl From<TimesInJson> for Times {
    fn from(times: TimesInJson) -> Self {
        match times {
            TimesInJson::Count(n) => Self::Count(n),
            TimesInJson::Word(Word::Forever) => Self::Forever,
        }
    }
}

impl From<Times> for TimesInJson {
    fn from(times: Times) -> Self {
        match times {
            Times::Count(n) => Self::Count(n),
            Times::Forever => Self::Word(Word::Forever),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_runs_out_and_forever_does_not() {
        let table = [
            (Times::Count(0), None),
            (Times::Count(1), None),
            (Times::Count(3), Some(Times::Count(2))),
            (Times::Forever, Some(Times::Forever)),
        ];
        for (times, left) in table {
            assert_eq!(times.used(), left, "{times:?}");
        }
    }
}
