//! Handle on the present sources, which a reload replaces.

use std::sync::{Arc, PoisonError, RwLock};

use super::Sources;

/// Cheap to clone; all clones see the same.
#[derive(Clone, Debug)]
pub struct Live(Arc<RwLock<Arc<Sources>>>);

impl Live {
    /// The present sources. A caller that keeps them keeps an old configuration after a reload.
    pub fn now(&self) -> Arc<Sources> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn replace(&self, sources: Sources) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(sources);
    }
}

impl From<Arc<Sources>> for Live {
    fn from(sources: Arc<Sources>) -> Self {
        Self(Arc::new(RwLock::new(sources)))
    }
}
