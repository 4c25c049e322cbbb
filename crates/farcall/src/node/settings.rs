//! The configuration of a node, for whoever looks inside.

use farcall_proto::peer::Target;

use super::Node;
use super::look::may_not_look;
use super::own::Configuration;
use crate::access::AccessList;
use crate::config::{Config, Written, keys};
use crate::error::CallError;
use crate::inspect::{ConfigView, SettingView};
use crate::registry::RESERVED;

impl Node {
    /// The configuration that this node runs with: each key, its value, and whether that is the default.
    pub fn inspect_config(&self) -> ConfigView {
        let context = &self.0.caller.context;
        let access = context.registry.access();
        let default = Config::default();
        let of = |key: &str| {
            Some(setting(
                key,
                context.config.written(key, &access)?,
                default.written(key, &AccessList::off())?,
            ))
        };
        ConfigView {
            node: context.name.to_string(),
            farcall: env!("CARGO_PKG_VERSION").to_owned(),
            keys: keys().iter().filter_map(|key| of(key.key)).collect(),
        }
    }

    /// The configuration that a peer runs with.
    ///
    /// # Errors
    /// [`CallError`], as of a call; `Unauthorized` if `access.inspect` of the peer does not list this node;
    /// `NoSuchMessage` if the peer is of a version that does not tell its configuration.
    ///
    /// # Cancel safety
    /// Dropping it gives up the question.
    pub async fn inspect_node_config(&self, target: &Target) -> Result<ConfigView, CallError> {
        let answer = self.call(target, RESERVED, Configuration).await?;
        answer.ok_or_else(|| may_not_look::<Configuration>(target))
    }
}

fn setting(key: &str, value: Written, default: Written) -> SettingView {
    let changed = value != default;
    let (value, left_out) = told(value);
    let (default, _) = told(default);
    SettingView { key: key.to_owned(), value, default, changed, left_out }
}

/// As much of it as is told, and how many entries are not.
fn told(written: Written) -> (Option<String>, u64) {
    match written {
        Written::Unset => (None, 0),
        Written::One(value) => (Some(cut(value)), 0),
        Written::Entries(entries) => {
            let mut bytes = 0;
            let fits = |entry: &&String| {
                bytes += entry.len() + 1;
                bytes <= SettingView::VALUE_BYTES_MAX
            };
            let fitting: Vec<&str> = entries.iter().take_while(fits).map(String::as_str).collect();
            let left_out = entries.len().saturating_sub(fitting.len());
            (Some(fitting.join(",")), left_out as u64)
        }
    }
}

fn cut(mut value: String) -> String {
    if value.len() > SettingView::VALUE_BYTES_MAX {
        let end = '…';
        value.truncate(value.floor_char_boundary(SettingView::VALUE_BYTES_MAX - end.len_utf8()));
        value.push(end);
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_value_is_told_in_part_and_says_what_is_left_out() {
        let entries: Vec<_> = (0..1000).map(|nth| format!("node{nth:04}@h=h:{nth:04}")).collect();
        let view = setting("nodes", Written::Entries(entries.clone()), Written::Unset);
        let value = view.value.unwrap();
        assert!(value.len() <= SettingView::VALUE_BYTES_MAX && value.len() > 4000, "{}", value.len());
        assert_eq!(value.split(',').count() as u64 + view.left_out, 1000);
        assert_eq!(value.split(',').collect::<Vec<_>>(), entries[..value.split(',').count()]);
        let view = setting("cookie_file", Written::One("ä".repeat(3000)), Written::Unset);
        let value = view.value.unwrap();
        assert!(value.ends_with("ä…") && value.len() <= SettingView::VALUE_BYTES_MAX, "{}", value.len());
        assert!(view.changed && view.default.is_none());
    }

    #[test]
    fn a_table_is_asked_for_by_its_name_and_not_by_a_part_of_it() {
        let view = setting("tcp.port", Written::One("1".to_owned()), Written::One("1".to_owned()));
        assert!(view.is_of("tcp") && view.is_of("tcp.port") && !view.changed);
        assert!(!view.is_of("tc") && !view.is_of("tcp.por") && !view.is_of("tcp.port.x"));
    }
}
