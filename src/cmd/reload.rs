//! `reload`

use clap::Args;

use super::print;
use super::running::{Which, no_answer, sockets};
use crate::cmd::error::Error;
use crate::text::printable;
use crate::web::control::client::{Client, ClientError};
use crate::web::view::configuration::Changed;

/// What `reload` takes.
#[derive(Clone, Debug, Args)]
pub struct ReloadArgs {
    /// Print JSON on stdout
    #[arg(long)]
    pub json: bool,
    /// Which gateways.
    #[command(flatten)]
    pub which: Which,
}

/// Makes every gateway that runs here read its configuration files again. One that refuses its files is reported after
/// the others have read theirs.
pub(super) async fn reload(args: ReloadArgs) -> Result<(), Error> {
    let (mut all, mut failed) = (Vec::new(), None);
    for socket in sockets(args.which.control.as_ref()).await? {
        let changed = async { Client::connect(&socket).await?.reload().await };
        match changed.await {
            Ok(changed) => all.push(changed),
            Err(ClientError::Refused(why)) => {
                failed.get_or_insert(Error::usage(why, "what was in force before stays in force"));
            }
            Err(e) => {
                failed.get_or_insert(no_answer(&socket, &e).into());
            }
        }
    }
    if args.json {
        print(&format!("{:#}\n", serde_json::json!(all)))?;
    } else {
        print(&all.iter().map(lines).collect::<String>())?;
    }
    failed.map_or(Ok(()), Err)
}

fn lines(changed: &Changed) -> String {
    let mut lines: Vec<String> = changed.applied.clone();
    let later = changed.after_restart.iter();
    lines.extend(later.map(|key| format!("{key} changed: it takes effect at the next start")));
    if lines.is_empty() {
        lines.push("nothing changed".to_owned());
    }
    lines.extend(
        changed
            .warnings
            .iter()
            .map(|warning| format!("warning: {warning}")),
    );
    lines
        .iter()
        .map(|line| printable(line.as_bytes()) + "\n")
        .collect()
}
