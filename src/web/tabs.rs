//! The open tabs of browsers: what the websockets of one tab have in common.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use axum::http::Uri;

use crate::session::life::Life;

/// The longest name of a tab.
const NAME_MAX_BYTES: usize = 64;

/// The tabs that have a websocket, by the names that they chose.
#[derive(Debug, Default)]
pub(super) struct Tabs(Mutex<HashMap<String, Weak<Life>>>);

impl Tabs {
    /// The life of the tab that the query `tab=NAME` of a request names; `None` if it names none.
    pub(super) fn life(&self, request: &Uri) -> Option<Arc<Life>> {
        let mut parameters = request.query()?.split('&');
        let name = parameters.find_map(|parameter| parameter.strip_prefix("tab="))?;
        if name.is_empty() || name.len() > NAME_MAX_BYTES {
            return None;
        }
        let mut tabs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(life) = tabs.get(name).and_then(Weak::upgrade) {
            return Some(life);
        }
        tabs.retain(|_, life| life.strong_count() > 0);
        let life = Arc::<Life>::default();
        tabs.insert(name.to_owned(), Arc::downgrade(&life));
        Some(life)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_websockets_of_one_tab_share_its_life_and_tabs_that_went_are_forgotten() {
        let tabs = Tabs::default();
        let life = |uri: &str| tabs.life(&uri.parse().unwrap());
        let first = life("/api/live?tab=a1").unwrap();
        assert!(Arc::ptr_eq(&first, &life("/buttplug?x=y&tab=a1").unwrap()));
        assert!(!Arc::ptr_eq(&first, &life("/buttplug?tab=a2").unwrap()));
        assert!(life("/buttplug").is_none());
        assert!(life("/buttplug?tab=").is_none());
        assert!(life(&format!("/buttplug?tab={}", "x".repeat(NAME_MAX_BYTES + 1))).is_none());
        drop(first);
        let _third = life("/buttplug?tab=a3").unwrap();
        assert_eq!(tabs.0.lock().unwrap().len(), 1);
    }
}
