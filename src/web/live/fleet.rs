//! What a page that shows the fleet gets of it, once a second.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::time::sleep;

use crate::web::looks::Looks;
use crate::web::view::View;
use crate::web::view::fleet::Fleet;

/// Between two looks at the fleet.
const PERIOD: Duration = Duration::from_secs(1);
/// How long a look serves other pages, too.
const SHARED_FOR: Duration = Duration::from_millis(900);

/// Whether the page shows the fleet, and what it has of it.
#[derive(Default)]
pub(super) struct Shown {
    next: Option<BoxFuture<'static, Option<Arc<Fleet>>>>,
    last: Option<Arc<Fleet>>,
}

impl Shown {
    /// The page shows it from now on, or does not.
    pub(super) fn show(&mut self, shows: bool, view: &View, looks: &Arc<Looks>) {
        self.last = None;
        self.next = shows.then(|| look(view.clone(), looks.clone(), Duration::ZERO));
    }

    /// The fleet, once it is another one than the page has; pending while it shows something else. Cancel safe.
    pub(super) async fn next(&mut self, view: &View, looks: &Arc<Looks>) -> Arc<Fleet> {
        loop {
            let Some(next) = &mut self.next else {
                return pending().await;
            };
            let now = next.await;
            self.next = now.is_some().then(|| look(view.clone(), looks.clone(), PERIOD));
            if now == self.last {
                continue;
            }
            self.last = now;
            if let Some(now) = &self.last {
                return now.clone();
            }
        }
    }
}

fn look(view: View, looks: Arc<Looks>, after: Duration) -> BoxFuture<'static, Option<Arc<Fleet>>> {
    async move {
        sleep(after).await;
        looks.fleet(SHARED_FOR, &view).await
    }
    .boxed()
}
