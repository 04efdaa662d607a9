//! The client with which web pages speak Improv drives a firmware on its standard input and output.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;

/// Takes these steps with it; the answers. `tests/improv/improv.mjs` has the steps that there are.
pub async fn improv(steps: &Value, board: Command) -> Vec<Value> {
    let sdk = std::env::var_os("WSDM_TEST_IMPROV").expect(
        "WSDM_TEST_IMPROV names no folder of improv-wifi-serial-sdk: run ./test --test 'firmware*', which fetches it",
    );
    let board = board.into_std();
    let mut command = Command::new("node");
    command
        .arg("tests/improv/improv.mjs")
        .arg(sdk)
        .arg(steps.to_string())
        .arg("--")
        .arg(board.get_program())
        .args(board.get_args())
        .envs(board.get_envs().filter_map(|(key, value)| Some((key, value?))))
        .stderr(Stdio::inherit())
        .kill_on_drop(true);
    // Each step may take 40 s there.
    let output = tokio::time::timeout(Duration::from_secs(120), command.output());
    let output = output.await.expect("the steps in time").unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}
