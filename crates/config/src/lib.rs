//! The one TOML file: typed settings with exact errors.

/// Everything an operator can set.
#[derive(Clone, Debug, Default)]
pub struct Config {}
