//! A name held: dropping the guard takes the name out.

use std::sync::Arc;

use crate::registry::{RegisterError, Registry};

/// Holds an actor's name. Dropped, the name is free again; a later registration of the same name is not touched.
#[must_use = "dropping the guard takes the name out; use keep() to hold it for good"]
#[derive(Debug)]
pub struct NameGuard {
    registry: Option<Arc<Registry>>,
    name: String,
    id: u64,
}

impl NameGuard {
    pub(crate) fn new(registry: Arc<Registry>, name: &str, id: u64) -> Self {
        Self { registry: Some(registry), name: name.to_owned(), id }
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// States the actor's version, which callers may require.
    ///
    /// # Errors
    /// [`RegisterError::BadVersion`]; the name is then free again, because the guard was consumed.
    pub fn version(self, version: &str) -> Result<Self, RegisterError> {
        if let Some(registry) = &self.registry {
            registry.set_version(&self.name, self.id, version)?;
        }
        Ok(self)
    }

    /// Holds the name until the actor ends or the name is unregistered.
    pub fn keep(mut self) {
        self.registry = None;
    }
}

impl Drop for NameGuard {
    fn drop(&mut self) {
        if let Some(registry) = &self.registry {
            registry.remove(&self.name, Some(self.id));
        }
    }
}
