//! What no single value shows: values that do not fit each other.

use super::error::{ConfigError, Origin};
use super::setting::{Draft, Setting};
use super::{Config, LogConfig};

/// Values of which the first must not exceed the second.
const ORDERED: [(&str, &str); 3] = [
    ("limits.frame_min", "limits.frame_max"),
    ("limits.message_bytes_max", "limits.partial_bytes_max"),
    ("limits.write_buffer_bytes", "limits.write_buffer_bytes_max"),
];

impl Config {
    /// Whether every value makes sense, alone and beside the others.
    ///
    /// # Errors
    ///
    /// The first value that does not.
    pub fn check(&self) -> Result<(), ConfigError> {
        let mut draft = Draft {
            broker: self.clone(),
            in_memory: self.data_dir.is_none(),
            log: LogConfig::default(),
        };
        for setting in Setting::all() {
            let Some(value) = setting.read(&draft) else {
                continue;
            };
            let shown = setting.shown(&value);
            if let Err(reason) = setting.write(&mut draft, value) {
                return Err(invalid(setting, shown, Origin::Program, reason));
            }
        }
        fit(&draft, &|_| Origin::Program)
    }
}

/// Checks values against each other. The blame goes to whichever was given last.
pub(super) fn fit(draft: &Draft, origin: &dyn Fn(&str) -> Origin) -> Result<(), ConfigError> {
    for (lower, upper) in ORDERED {
        let number = |key: &str| {
            let setting = Setting::find(key)?;
            let value = setting.read(draft)?;
            value.integer().map(|number| (setting, number))
        };
        let (Some((lower, low)), Some((upper, high))) = (number(lower), number(upper)) else {
            continue;
        };
        // 0 stands for no limit.
        if low <= high || high == 0 {
            continue;
        }
        let (blamed, value, reason) = if origin(upper.key()).rank() > origin(lower.key()).rank() {
            (
                upper,
                high,
                format!("must not be below {} = {low}", lower.key()),
            )
        } else {
            (
                lower,
                low,
                format!("must not be above {} = {high}", upper.key()),
            )
        };
        return Err(invalid(
            blamed,
            value.to_string(),
            origin(blamed.key()),
            reason,
        ));
    }
    Ok(())
}

pub(super) fn invalid(
    setting: Setting,
    value: String,
    origin: Origin,
    reason: String,
) -> ConfigError {
    ConfigError::Invalid {
        key: setting.key().to_owned(),
        value,
        origin,
        reason,
    }
}
