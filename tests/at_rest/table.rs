//! All ways of one link, at once; and the table of them.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::common::model_board::Kind;
use super::trial::{Outcome, run};
use super::ways::{Link, Way};

/// Trials at a time, over all tests: each is two or three processes, and machines have two cores.
static LANES: Semaphore = Semaphore::const_new(6);
static TABLE: Mutex<BTreeMap<(Link, Way, bool), Cell>> = Mutex::new(BTreeMap::new());

/// The slowest board's time to rest, or which boards were not.
#[derive(Clone, Debug)]
enum Cell {
    Rest(Duration),
    Red(Vec<&'static str>),
}

/// Whether this way is to be run.
pub fn is_chosen(way: Way) -> bool {
    let only = std::env::var("WSDM_AT_REST_ONLY").unwrap_or_default();
    way.to_string().contains(&only)
}

/// Runs every way on this link, prints the figures, and fails if a board was not at rest.
pub async fn check(link: Link) {
    let mut trials = JoinSet::new();
    let mut named = BTreeMap::new();
    for way in Way::ALL.into_iter().filter(|way| is_chosen(*way)) {
        for streaming in [false, true] {
            if way.missing(link, streaming).is_some() {
                continue;
            }
            let trial = trials.spawn(async move {
                let _lane = LANES.acquire().await.expect("never closed");
                run(way, link, streaming).await
            });
            named.insert(trial.id(), (way, streaming));
        }
    }
    assert!(!trials.is_empty(), "no way has such a name");
    let mut red = Vec::new();
    while let Some(ended) = trials.join_next_with_id().await {
        let (id, outcomes) = match ended {
            Ok((id, outcomes)) => (id, Ok(outcomes)),
            Err(e) => (e.id(), Err(e)),
        };
        let (way, streaming) = named[&id];
        let cell = match outcomes {
            Ok(outcomes) => cell(&outcomes, way, streaming, &mut red),
            Err(e) => {
                red.push(format!("{way}{}: {e}", streamed(streaming)));
                Cell::Red(vec!["the test itself"])
            }
        };
        let mut table = TABLE.lock().unwrap_or_else(PoisonError::into_inner);
        table.insert((link, way, streaming), cell);
    }
    report(link);
    assert!(red.is_empty(), "{link}: not at rest\n  {}", red.join("\n  "));
}

fn streamed(streaming: bool) -> &'static str {
    if streaming {
        ", in a stream of commands"
    } else {
        ""
    }
}

fn cell(outcomes: &[Outcome], way: Way, streaming: bool, red: &mut Vec<String>) -> Cell {
    let mut slowest = Duration::ZERO;
    let mut moving = Vec::new();
    for Outcome { kind, rest } in outcomes {
        match rest {
            Ok(took) => slowest = slowest.max(*took),
            Err(why) => {
                moving.push(kind.name());
                red.push(format!("{way}{}, {}: {why}", streamed(streaming), kind.name()));
            }
        }
    }
    if moving.is_empty() {
        Cell::Rest(slowest)
    } else {
        Cell::Red(moving)
    }
}

/// Prints this link's figures, and writes the whole table if that is asked for.
fn report(link: Link) {
    let table = TABLE.lock().unwrap_or_else(PoisonError::into_inner);
    println!("{}", markdown(&table, &[link]));
    if let Some(path) = std::env::var_os("WSDM_AT_REST_TABLE") {
        let links: Vec<Link> = Link::ALL
            .into_iter()
            .filter(|link| table.keys().any(|(l, ..)| l == link))
            .collect();
        std::fs::write(path, markdown(&table, &links)).expect("a file to write to");
    }
}

fn markdown(table: &BTreeMap<(Link, Way, bool), Cell>, links: &[Link]) -> String {
    let mut reasons: BTreeMap<&str, Vec<Way>> = BTreeMap::new();
    let mut text = String::from("| control is lost |");
    for link in links {
        let _ = write!(text, " {link} |");
    }
    text += "\n|---|";
    links.iter().for_each(|_| text += "---|");
    for way in Way::ALL {
        let _ = write!(text, "\n| {way} |");
        for link in links {
            let half = |streaming| match (way.missing(*link, streaming), table.get(&(*link, way, streaming)))
            {
                (Some(_), _) => "-".to_owned(),
                (None, Some(Cell::Rest(took))) => took.as_millis().to_string(),
                (None, Some(Cell::Red(boards))) if boards.len() == Kind::ALL.len() => "**none**".to_owned(),
                (None, Some(Cell::Red(boards))) => format!("**not: {}**", boards.join(", ")),
                (None, None) => "?".to_owned(),
            };
            let _ = match (half(false), half(true)) {
                (quiet, stream) if quiet == "-" && stream == "-" => write!(text, " - |"),
                (quiet, stream) => write!(text, " {quiet} / {stream} |"),
            };
            for reason in [false, true].iter().filter_map(|s| way.missing(*link, *s)) {
                reasons.entry(reason).or_default().push(way);
            }
        }
    }
    text += "\n\nMilliseconds from the loss of control to rest, of the slowest of seven boards: with steady outputs / in a \
             stream of commands.\n";
    if !reasons.is_empty() {
        text += "Left out (`-`):\n\n";
    }
    for (reason, mut ways) in reasons {
        ways.dedup();
        let ways: Vec<String> = ways.iter().map(Way::to_string).collect();
        let _ = writeln!(text, "- {}: {reason}.", ways.join(", "));
    }
    text
}
