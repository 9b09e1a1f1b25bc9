//! Text → settings, with all problems.

use super::{Args, Config, Problems, security, setting::Setting, table::GROUPS};

impl Config {
    /// Reads the settings.
    ///
    /// # Errors
    /// All that is wrong with them, not only the first.
    pub fn read(args: &Args) -> Result<Self, Problems> {
        let mut config = Self::default();
        let mut problems = Problems::default();
        for setting in GROUPS.iter().flat_map(|group| group.settings) {
            if let Err(problem) = read(setting, args, &mut config) {
                problems.add(setting.variable, problem);
            }
        }
        let admin_port = config.app.admin.listen.is_some();
        if let Some(telemetry) = problems.telemetry(admin_port) {
            config.telemetry = telemetry;
        }
        security::check(&config.app, &mut problems);
        match problems.0.is_empty() {
            true => Ok(config),
            false => Err(problems),
        }
    }
}

/// Puts the value of a setting into the settings.
fn read(setting: &Setting, args: &Args, config: &mut Config) -> Result<(), String> {
    let is_set = |variable| args.get(variable).is_some_and(|text| !text.is_empty());
    match (args.get(setting.variable), setting.not_with) {
        (None, _) => Ok(()),
        // An empty text leaves a setting unset that has no default.
        (Some(""), _) if (setting.text)(config).is_none() => Ok(()),
        (Some(_), Some(other)) if is_set(other) => {
            Err(format!("cannot be set together with {other}"))
        }
        (Some(text), _) => (setting.set)(config, text),
    }
}
