//! What every open page shows, made once for all of them.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::time::Instant;

use super::api::Problem;
use super::view::fleet::Fleet;
use super::view::origins::{Origin, Question};
use super::view::{App, Device, View};

/// The gateway at one moment.
#[derive(Debug)]
pub(super) struct Look {
    made: Instant,
    /// By address.
    pub(super) devices: Vec<Device>,
    /// By number.
    pub(super) apps: Vec<App>,
    /// By number.
    pub(super) questions: Vec<Question>,
    /// By origin.
    pub(super) origins: Vec<Origin>,
    /// Why the newest configuration files are not in force; empty if they are.
    pub(super) problems: Vec<Problem>,
}

impl Look {
    fn at(view: &View) -> Self {
        let (devices, apps) = view.look();
        Self {
            made: Instant::now(),
            devices,
            apps,
            questions: view.questions(),
            origins: view.origins(),
            problems: view.configuration.problem().into_iter().collect(),
        }
    }
}

/// The newest look, as long as a page has it.
#[derive(Debug, Default)]
pub(super) struct Looks {
    gateway: Mutex<Weak<Look>>,
    /// Apart from the rest, since it is asked for, and only while a page shows it.
    fleet: tokio::sync::Mutex<(Option<Instant>, Weak<Fleet>)>,
}

impl Looks {
    /// The newest look if it is younger than this, else a new one, which others get too.
    pub(super) fn younger_than(&self, age: Duration, view: &View) -> Arc<Look> {
        // Held while a look is made, so that concurrent callers share it.
        let mut newest = self.gateway.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(look) = newest.upgrade().filter(|look| look.made.elapsed() < age) {
            return look;
        }
        let look = Arc::new(Look::at(view));
        *newest = Arc::downgrade(&look);
        look
    }

    /// The same of the fleet; `None` if the gateway is part of none. Cancel safe.
    pub(super) async fn fleet(&self, age: Duration, view: &View) -> Option<Arc<Fleet>> {
        let member = view.fleet.as_ref()?;
        let mut newest = self.fleet.lock().await;
        if let (Some(made), newest) = &*newest
            && made.elapsed() < age
            && let Some(look) = newest.upgrade()
        {
            return Some(look);
        }
        let look = Arc::new(member.look().await);
        *newest = (Some(Instant::now()), Arc::downgrade(&look));
        Some(look)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::view::tests::view;

    #[tokio::test(start_paused = true)]
    async fn pages_share_a_look_while_it_is_young_and_only_they_keep_it() {
        const AGE: Duration = Duration::from_millis(90);
        let (looks, view) = (Looks::default(), view(Arc::default(), None));
        let first = looks.younger_than(AGE, &view);
        tokio::time::advance(AGE / 2).await;
        let same = looks.younger_than(AGE, &view);
        assert!(Arc::ptr_eq(&first, &same));
        tokio::time::advance(AGE / 2).await;
        let next = looks.younger_than(AGE, &view);
        assert!(!Arc::ptr_eq(&first, &next));
        let fresh = looks.younger_than(Duration::ZERO, &view);
        assert!(!Arc::ptr_eq(&next, &fresh));
        assert!(Arc::ptr_eq(&fresh, &looks.younger_than(AGE, &view)));
        drop(fresh);
        assert!(looks.gateway.lock().unwrap().upgrade().is_none());
    }
}
