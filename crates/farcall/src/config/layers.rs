//! From a text and an environment to one table, each setting checked where it came from.
//!
//! ```text
//! defaults <- file <- environment          a later layer replaces whole values, also lists and tables
//! ```
//! A value is checked alone before it is merged, so that an error can name its file or its variable.

use std::ffi::OsString;

use serde::Deserialize;
use toml::{Table, Value};

use super::keys::{self, KeyDoc, Unit, keys};
use super::{Config, ConfigError, Origin};

const PREFIX: &str = "FARCALL_";
/// Names the file; not a key, because a file cannot name itself.
pub(super) const FILE_VARIABLE: &str = "FARCALL_CONFIG";

/// Words that are only ever a secret put in the wrong place.
const SECRETS: [&str; 5] = ["cookie", "cookies", "secret", "secret_cookie", "password"];

/// Reads a TOML text into a table in which every key is known and every value is of its kind.
pub(super) fn read(text: &str, origin: &Origin) -> Result<Table, ConfigError> {
    // The message of the error is kept and the line it shows is not: it may hold a secret.
    let table: Table = toml::from_str(text).map_err(|error: toml::de::Error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        ConfigError::Syntax { origin: origin.clone(), line, reason: error.message().to_owned() }
    })?;
    check_table(&table, "", origin)?;
    Ok(table)
}

/// Lays the `FARCALL_` variables over the table. Other variables are not looked at.
pub(super) fn overlay(
    table: &mut Table,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<(), ConfigError> {
    for (name, text) in variables {
        let name = name.to_string_lossy();
        if name == FILE_VARIABLE || !name.starts_with(PREFIX) {
            continue;
        }
        let key = key_of_variable(&name)?;
        let origin = Origin::Variable(name.into_owned());
        let text = text.into_string().map_err(|_| ConfigError::Value {
            origin: origin.clone(),
            key: key.key.to_owned(),
            reason: "it is no UTF-8 text".to_owned(),
        })?;
        let value = value_of(key, &text).map_err(|reason| ConfigError::Value {
            origin: origin.clone(),
            key: key.key.to_owned(),
            reason,
        })?;
        check_value(key.key, &value, &origin)?;
        put(table, key.key, value);
    }
    Ok(())
}

/// The configuration of a table whose values were checked one by one; only what they mean together can be wrong.
pub(super) fn build(table: Table) -> Result<Config, ConfigError> {
    Config::deserialize(Value::Table(table)).map_err(|error| ConfigError::Value {
        origin: Origin::Whole,
        key: "access".to_owned(), // the only table that has a rule across its keys
        reason: error.message().to_owned(),
    })
}

fn check_table(table: &Table, prefix: &str, origin: &Origin) -> Result<(), ConfigError> {
    for (word, value) in table {
        let key = format!("{prefix}{word}");
        let below = format!("{key}.");
        let known = keys().iter().any(|known| known.key == key);
        let is_table = keys().iter().any(|known| known.key.starts_with(&below));
        match value {
            _ if known => check_value(&key, value, origin)?,
            Value::Table(inner) if is_table => check_table(inner, &below, origin)?,
            _ if is_table => check_value(&key, value, origin)?,
            _ if is_secret(word) => {
                return Err(ConfigError::Secret { origin: origin.clone(), key: shortened(&key) });
            }
            _ => {
                let near = keys::near(&key);
                return Err(ConfigError::UnknownKey { origin: origin.clone(), key: shortened(&key), near });
            }
        }
    }
    Ok(())
}

/// Whether the configuration takes this value at this key.
fn check_value(key: &str, value: &Value, origin: &Origin) -> Result<(), ConfigError> {
    let mut alone = Table::new();
    put(&mut alone, key, value.clone());
    let refused = |error: toml::de::Error| ConfigError::Value {
        origin: origin.clone(),
        key: key.to_owned(),
        reason: error.message().to_owned(),
    };
    Config::deserialize(Value::Table(alone)).map_err(refused).map(drop)
}

fn put(table: &mut Table, key: &str, value: Value) {
    match key.split_once('.') {
        None => {
            table.insert(key.to_owned(), value);
        }
        Some((outer, inner)) => {
            let below = table.entry(outer).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(below) = below {
                put(below, inner, value);
            }
        }
    }
}

fn key_of_variable(name: &str) -> Result<&'static KeyDoc, ConfigError> {
    if let Some(key) = keys().iter().find(|key| key.variable() == name) {
        return Ok(key);
    }
    let word = name.strip_prefix(PREFIX).unwrap_or(name).to_lowercase();
    if is_secret(&word) {
        return Err(ConfigError::Secret { origin: Origin::Variable(name.to_owned()), key: word });
    }
    let near = keys::near(&word);
    let near = keys().iter().filter(|key| near.contains(&key.key)).map(KeyDoc::variable).collect();
    Err(ConfigError::UnknownVariable { name: shortened(name), near })
}

/// The text of a variable as the value that the key takes.
fn value_of(key: &KeyDoc, text: &str) -> Result<Value, String> {
    match key.unit {
        Unit::Text | Unit::Duration | Unit::Bytes => Ok(Value::String(text.to_owned())),
        Unit::Number => match text.replace('_', "").parse() {
            Ok(number) => Ok(Value::Integer(number)),
            Err(_) => Err(format!("{:?} is no whole number", shortened(text))),
        },
        Unit::Switch => match text {
            "true" => Ok(Value::Boolean(true)),
            "false" => Ok(Value::Boolean(false)),
            _ => Err(format!("{:?} is neither true nor false", shortened(text))),
        },
        Unit::List => Ok(Value::Array(parts(text).map(|part| Value::String(part.to_owned())).collect())),
        Unit::Map => {
            let pair = |part: &str| {
                // From the right: an address has no `=`, and a node's name may have one.
                let (name, value) =
                    part.rsplit_once('=').ok_or(format!("{:?} has no `=`", shortened(part)))?;
                Ok((name.trim().to_owned(), Value::String(value.trim().to_owned())))
            };
            parts(text).map(pair).collect::<Result<Table, String>>().map(Value::Table)
        }
    }
}

fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty())
}

fn is_secret(word: &str) -> bool {
    SECRETS.iter().any(|secret| word.eq_ignore_ascii_case(secret))
}

fn shortened(text: &str) -> String {
    text.chars().take(64).collect()
}
