//! One value of an axis, with the keys that it gives to the cells that have it.

use super::settings::Env;
use toml_file::At;

/// One value of an axis, as the table `[axis.NAME.VALUE]` describes it.
#[derive(Clone, Debug, Default)]
pub(super) struct AxisValue {
    pub name: String,
    pub on: Option<At<String>>,
    pub want: Vec<At<String>>,
    pub env: Env,
    pub shell: Option<Vec<String>>,
}
