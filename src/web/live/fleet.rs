//! What a page that shows the fleet gets of it, once a second.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::time::{Instant, sleep_until};

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
    let due = Instant::now() + after;
    async move {
        sleep_until(due).await;
        looks.fleet(SHARED_FOR, &view).await
    }
    .boxed()
}

#[cfg(test)]
mod tests {
    use std::future::ready;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::time::timeout;

    use super::*;
    use crate::web::api::Problem;
    use crate::web::view::fleet::{Broker, Edge, FleetMember};
    use crate::web::view::tests::view;

    /// An edge whose name is how often it was looked at.
    #[derive(Default)]
    struct Counted(AtomicUsize);

    impl FleetMember for Counted {
        fn look(&self) -> BoxFuture<'static, Fleet> {
            let times = self.0.fetch_add(1, Ordering::Relaxed) + 1;
            let broker = Broker {
                url: String::new(),
                connected_since: None,
                last_error: None,
                last_error_at: None,
            };
            let edge = Edge {
                name: times.to_string(),
                broker,
                hubs: Vec::new(),
                devices: Vec::new(),
            };
            let edge = Some(edge);
            ready(Fleet { hub: None, edge }).boxed()
        }

        fn halt(&self) -> BoxFuture<'static, Result<Vec<String>, Problem>> {
            ready(Ok(Vec::new())).boxed()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_fleet_is_looked_at_once_a_second_for_all_pages_and_only_while_one_shows_it() {
        let member = Arc::new(Counted::default());
        let mut view = view(Arc::default(), None);
        view.fleet = Some(member.clone());
        let looks = Arc::<Looks>::default();
        let (mut first, mut second) = (Shown::default(), Shown::default());
        let hour = Duration::from_secs(3_600);
        assert!(timeout(hour, first.next(&view, &looks)).await.is_err());
        assert_eq!(member.0.load(Ordering::Relaxed), 0);
        first.show(true, &view, &looks);
        second.show(true, &view, &looks);
        let start = Instant::now();
        for times in 1..=3 {
            for page in [&mut first, &mut second] {
                let fleet = page.next(&view, &looks).await;
                assert_eq!(
                    fleet.edge.as_ref().map(|edge| &*edge.name),
                    Some(&*times.to_string())
                );
            }
        }
        assert_eq!(start.elapsed().as_millis() / 100, 20);
        first.show(false, &view, &looks);
        assert!(timeout(hour, first.next(&view, &looks)).await.is_err());
        assert_eq!(member.0.load(Ordering::Relaxed), 3);
    }
}
