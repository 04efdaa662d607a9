//! A network of a test's own, where the kernel lets this user have one.

use std::process::Stdio;

use tokio::process::Command;

/// The words before a program that runs in it, once these commands of a shell have set it up. `None` where there can be none:
/// that is printed, and the test is not run.
pub async fn of_our_own(set_up: &str) -> Option<Vec<String>> {
    let script = format!("{set_up} && exec \"$@\"");
    let words = ["unshare", "-rn", "sh", "-c", &script, "sh"].map(str::to_owned);
    let probe = Command::new(&words[0])
        .args(&words[1..])
        .arg("true")
        .stderr(Stdio::null())
        .status();
    if !probe.await.is_ok_and(|status| status.success()) {
        println!("NOT RUN: no network namespace of our own");
        return None;
    }
    Some(words.into())
}
