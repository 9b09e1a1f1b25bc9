//! The settings as clap reads them.

use std::fmt;

use clap::{ArgMatches, Command, FromArgMatches};

use super::{Config, setting::Setting, table::GROUPS};

/// The settings as text, each from its flag, else its variable, else its default.
#[derive(Clone)]
pub struct Args {
    matches: ArgMatches,
}

impl Args {
    /// The text of a setting of the table. `None`: it is not set and has no default.
    pub(super) fn get(&self, variable: &str) -> Option<&str> {
        self.matches.get_one::<String>(variable).map(String::as_str)
    }

    /// A line for each setting as it would be used, without secrets.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let command = <Self as clap::Args>::augment_args(Command::new("settings"));
        let line = |arg: &clap::Arg| {
            let variable = arg.get_env()?.to_str()?;
            let values = self.matches.get_raw(arg.get_id().as_str());
            Some(match values.and_then(|mut values| values.next()) {
                None => format!("{variable} is not set"),
                Some(text) => format!("{variable}={}", show(variable, &text.to_string_lossy())),
            })
        };
        command.get_arguments().filter_map(line).collect()
    }
}

/// Which of these variables of the environment look like settings and are none: most are misspelt.
/// Left out are those that Kubernetes makes in every container for a Service whose name begins like this.
#[must_use]
pub fn unknown_variables(names: impl IntoIterator<Item = String>) -> Vec<String> {
    let of_a_service = ["_SERVICE_HOST", "_SERVICE_PORT", "_PORT_"];
    let is_unknown = |name: &String| {
        ["GATEWAY_", "CHARTBREW_"]
            .iter()
            .any(|prefix| name.starts_with(prefix))
            && setting(name).is_none()
            && !name.ends_with("_PORT")
            && !of_a_service.iter().any(|part| name.contains(part))
    };
    let mut names: Vec<_> = names.into_iter().filter(is_unknown).collect();
    names.sort_unstable();
    names
}

fn setting(variable: &str) -> Option<&'static Setting> {
    let mut settings = GROUPS.iter().flat_map(|group| group.settings);
    settings.find(|setting| setting.variable == variable)
}

fn show(variable: &str, text: &str) -> String {
    match setting(variable) {
        Some(setting) => (setting.show)(text),
        None => text.to_owned(),
    }
}

impl clap::Args for Args {
    fn augment_args(command: Command) -> Command {
        let defaults = Config::default();
        let table = GROUPS.iter().flat_map(|group| {
            let settings = group.settings.iter();
            settings.map(|setting| setting.arg(group.heading, &defaults))
        });
        // The help shows no value that was set. It may be a secret, also in the wrong variable.
        command
            .args(table)
            .mut_args(|arg| arg.hide_env_values(true))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Args {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self {
            matches: matches.clone(),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl fmt::Debug for Args {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Args").finish_non_exhaustive()
    }
}
