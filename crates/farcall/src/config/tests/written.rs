//! What a configuration says at each key is what would have been written there.

use super::*;
use crate::config::Written;

/// What stands at a key, as the value of its variable.
fn variable(config: &Config, key: &str) -> Option<String> {
    match config.written(key, &config.access).unwrap_or_else(|| panic!("{key} is not written")) {
        Written::Unset => None,
        Written::One(value) => Some(value),
        Written::Entries(entries) => Some(entries.join(",")),
    }
}

#[test]
fn every_key_reads_back_as_it_is_written_and_changes_nothing_else() {
    let default = Config::default();
    for key in keys() {
        let (_, env) = sample(key);
        let config = from_env(&[(&key.variable(), env)]).unwrap();
        let written = variable(&config, key.key).unwrap_or_else(|| panic!("{} is set", key.key));
        assert_eq!(from_env(&[(&key.variable(), &written)]).unwrap(), config, "{}: {written}", key.key);
        let changed = |other: &&KeyDoc| variable(&config, other.key) != variable(&default, other.key);
        let changed: Vec<_> = keys().iter().filter(changed).map(|key| key.key).collect();
        assert_eq!(changed, [key.key]);
    }
}

#[test]
fn every_default_is_written_as_it_is_listed() {
    for key in keys() {
        let written = variable(&Config::default(), key.key);
        assert_eq!(written.as_deref().unwrap_or("unset"), key.default, "{}", key.key);
    }
}

#[test]
fn a_list_that_closes_the_node_is_not_taken_for_none() {
    let config = Config::from_toml("[access]\nallow = []").unwrap();
    assert_eq!(config.written("access.allow", &config.access), Some(Written::Entries(Vec::new())));
    assert_eq!(config.written("access.deny", &config.access), Some(Written::Unset));
    assert_eq!(config.written("tcp.bogus", &config.access), None);
    assert_eq!(config.written("bogus", &config.access), None);
}
