//! What a setting is, and the macro that the table of settings is written in.

use clap::Arg;

use super::Config;

/// Settings under one heading of the help.
pub(super) struct Group {
    pub(super) heading: &'static str,
    pub(super) settings: &'static [Setting],
}

/// One setting.
pub(super) struct Setting {
    /// The environment variable. The flag follows from it.
    pub(super) variable: &'static str,
    /// The kind of value, for the help.
    pub(super) value_name: &'static str,
    /// The meaning: a sentence or more.
    pub(super) help: &'static str,
    /// Another variable that must not be set at the same time.
    pub(super) not_with: Option<&'static str>,
    /// How `check` shows a value.
    pub(super) show: fn(&str) -> String,
    /// The value in these settings, as text. `None`: it is unset.
    pub(super) text: fn(&Config) -> Option<String>,
    /// Reads a text and puts the value into the settings, or says what is wrong with it.
    pub(super) set: fn(&mut Config, &str) -> Result<(), String>,
}

/// Defines groups of settings. An entry is the help as a doc comment, then the variable, the kind
/// of value, the field of [`Config`] and the function that reads the value. Methods of [`Setting`]
/// may follow, for what is unusual about it.
macro_rules! groups {
    ($($heading:literal {$(
        $(#[doc = $help:literal])+
        $variable:literal, $value_name:literal, $($field:ident).+, $parse:expr
        $(, $method:ident($argument:expr))*;
    )+})+) => {
        &[$($crate::config::setting::Group {
            heading: $heading,
            settings: &[$(
                $crate::config::setting::Setting {
                    variable: $variable,
                    value_name: $value_name,
                    help: concat!($($help),+),
                    not_with: None,
                    show: str::to_owned,
                    text: |config| $crate::config::shown::Shown::shown(&config.$($field).+),
                    set: |config, text| {
                        config.$($field).+ = $parse(text)?;
                        Ok(())
                    },
                }
                $(.$method($argument))*
            ),+],
        }),+]
    };
}
pub(super) use groups;

impl Setting {
    pub(super) const fn not_with(mut self, variable: &'static str) -> Self {
        self.not_with = Some(variable);
        self
    }

    pub(super) const fn show(mut self, show: fn(&str) -> String) -> Self {
        self.show = show;
        self
    }

    /// The flag, for clap.
    pub(super) fn arg(&self, heading: &'static str, defaults: &Config) -> Arg {
        let name = self.variable;
        let flag = name.strip_prefix("GATEWAY_").unwrap_or(name);
        Arg::new(name)
            .long(flag.to_ascii_lowercase().replace('_', "-"))
            .env(name)
            .value_name(self.value_name)
            .help(self.help.trim().trim_end_matches('.'))
            .help_heading(heading)
            .default_values((self.text)(defaults))
    }
}
