//! Handle on the present context, which a reload replaces.

use std::sync::{Arc, PoisonError, RwLock};

use super::DaemonContext;

/// Cheap to clone; all clones see the same.
#[derive(Clone, Debug)]
pub struct SharedContext(Arc<RwLock<Arc<DaemonContext>>>);

impl SharedContext {
    /// The present context. A caller that keeps it keeps an old configuration after a reload.
    pub fn now(&self) -> Arc<DaemonContext> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn replace(&self, context: DaemonContext) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(context);
    }
}

impl From<Arc<DaemonContext>> for SharedContext {
    fn from(context: Arc<DaemonContext>) -> Self {
        Self(Arc::new(RwLock::new(context)))
    }
}
