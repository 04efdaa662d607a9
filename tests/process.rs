//! The program as a process: its ready line, its signals, its exit codes, and what it leaves behind.
#![cfg(unix)]

mod common;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use common::json_client::JsonClient;
use common::process::{Process, command, is_root, program_for_everybody, run};
use common::{RawDevice, signal, wait_until, within};
use futures::future::join_all;
use rustix::process::Signal;
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};

#[tokio::test]
async fn a_signal_stops_the_devices_and_ends_with_0() {
    for signal in [Signal::INT, Signal::TERM] {
        let home = TempDir::new().unwrap();
        let mut gateway = Process::start(home.path(), &[]).await;
        let mut driver = JsonClient::connect(&gateway.clients, 4).await;
        let mut hush = RawDevice::lovense(&gateway.devices, "8A3D9FAC2A45").await;
        let mut stroker = RawDevice::hello(&gateway.devices, "TCodeDevice", "stroker").await;
        for device in 0..2 {
            while driver.device_indexes().await.len() <= device {
                driver.event("DeviceList").await;
            }
        }
        for index in driver.device_indexes().await {
            for command in [
                json!({"Vibrate": {"Value": 15}}),
                json!({"HwPositionWithDuration": {"Value": 99, "Duration": 20_000}}),
            ] {
                driver
                    .call(
                        "OutputCmd",
                        json!({"DeviceIndex": index, "FeatureIndex": 0, "Command": command}),
                    )
                    .await;
            }
        }
        hush.expect("Vibrate:15;").await;
        gateway.signal(signal);
        hush.expect("Vibrate:0;").await;
        stroker.expect("DSTOP\n").await;
        assert_eq!(hush.closed().await.0, 1001);
        assert_eq!(stroker.closed().await.0, 1001);
        assert_eq!(driver.closed().await, Some(1001));
        assert_eq!(gateway.exit_code().await, Some(0), "{signal:?}");
    }
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once_with_130() {
    let home = TempDir::new().unwrap();
    let mut gateway = Process::start(home.path(), &[]).await;
    // Devices that do not read keep the first signal busy until their Close frames time out.
    let mut mute = Vec::new();
    for i in 0..5 {
        mute.push(RawDevice::lovense(&gateway.devices, &format!("{i:012X}")).await);
    }
    gateway.signal(Signal::INT);
    let mut log = BufReader::new(gateway.child.stderr.take().unwrap()).lines();
    within("the first signal is heard", async {
        while !log.next_line().await.unwrap().expect("a log").contains("SIGINT") {}
    })
    .await;
    gateway.signal(Signal::INT);
    assert_eq!(gateway.exit_code().await, Some(130));
}

/// As many as an unoptimised build lists soon; the benchmark does the same with a thousand.
#[tokio::test(flavor = "multi_thread")]
async fn many_devices_are_all_stopped_when_it_ends() {
    let count = 300;
    let home = TempDir::new().unwrap();
    // Devices that wait for the others answer no pings.
    let config = home.path().join("gateway.toml");
    let patient = "[devices]\nping_interval_ms = 60000\nhandshake_timeout_ms = 60000\n\
                   [clients]\nping_interval_ms = 60000\n";
    std::fs::write(&config, patient).unwrap();
    let mut gateway = Process::start(home.path(), &["-q", "--config", config.to_str().unwrap()]).await;
    let mut driver = JsonClient::connect(&gateway.clients, 4).await;
    let devices = join_all((0..count).map(|i| {
        let url = gateway.devices.clone();
        tokio::spawn(async move { RawDevice::lovense(&url, &format!("{i:012X}")).await })
    }))
    .await;
    let mut devices: Vec<RawDevice> = devices.into_iter().map(|d| d.expect("a device")).collect();
    let mut listed = driver.device_indexes().await;
    while listed.len() < count {
        driver.event("DeviceList").await;
        listed = driver.device_indexes().await;
    }
    let mut distinct = listed.clone();
    distinct.dedup();
    assert_eq!(distinct.len(), count, "every device has an index of its own");
    gateway.signal(Signal::TERM);
    let signalled = Instant::now();
    let stopped = join_all(devices.iter_mut().map(|device| async {
        device.expect("Vibrate:0;").await;
        device.closed().await.0
    }));
    let (codes, exit) = tokio::join!(stopped, gateway.exit_code());
    println!(
        "{count} devices: gone {} ms after the signal",
        signalled.elapsed().as_millis()
    );
    assert!(codes.iter().all(|code| *code == 1001));
    assert_eq!(exit, Some(0));
}

#[tokio::test]
async fn a_port_that_is_taken_is_named_with_its_flag() {
    let home = TempDir::new().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    for (flag, other) in [
        ("--device-listen", "--client-listen"),
        ("--client-listen", "--device-listen"),
    ] {
        let output = command(home.path(), &["run", flag, &addr, other, "127.0.0.1:0"]).output();
        let output = within("it ends", output).await.unwrap();
        assert_eq!(output.status.code(), Some(1));
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(
            stderr.contains(&addr) && stderr.contains("hint: ") && stderr.contains(flag),
            "{stderr}"
        );
        assert!(output.stdout.is_empty(), "not ready");
    }
}

#[tokio::test]
async fn the_documentations_command_line_starts_it() {
    let home = TempDir::new().unwrap();
    let udcf = home.path().join("user.json");
    let text = r#"{"version": {"major": 2, "minor": 6}, "user-configs": {"specifiers":
        {"lovense": {"websocket": {"names": ["LVSDevice"]}}}}}"#;
    std::fs::write(&udcf, text).unwrap();
    let args = [
        "--websocketport",
        "0",
        "--use-device-websocket-server",
        "--device-websocket-server-port",
        "0",
        "--user-device-config-file",
        udcf.to_str().unwrap(),
    ];
    let mut child = command(home.path(), &args).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let ready = within("the ready line", lines.next_line())
        .await
        .unwrap()
        .expect("a line");
    let devices = ready
        .split_whitespace()
        .find_map(|w| w.strip_prefix("devices="))
        .expect("a device port");
    RawDevice::lovense(devices, "8A3D9FAC2A45").await;
    assert_eq!(
        std::fs::read_to_string(&udcf).unwrap(),
        text,
        "the user's file is as it was"
    );
}

#[tokio::test]
async fn a_broken_udcf_ends_it_with_its_line_and_column() {
    let home = TempDir::new().unwrap();
    let udcf = home.path().join("broken.json");
    std::fs::write(&udcf, "{\n  \"version\": { \"major\": 5, \"minor\": 0, },\n}").unwrap();
    let output = command(home.path(), &["run", "--udcf", udcf.to_str().unwrap()]).output();
    let output = within("it ends", output).await.unwrap();
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        stderr.contains("broken.json:2:") && stderr.contains("hint: "),
        "{stderr}"
    );
}

/// Two devices, one of which never says its model; killed without a chance to clean up.
#[tokio::test]
async fn indexes_are_kept_across_kill_9() {
    let home = TempDir::new().unwrap();
    let mut before = Vec::new();
    for round in 0..4 {
        let mut gateway = Process::start(home.path(), &[]).await;
        let mut driver = JsonClient::connect(&gateway.clients, 4).await;
        // In another order each time: it is not the order that decides.
        let mut addresses = ["00000000000A", "00000000000B", "00000000000C"];
        addresses.rotate_left(round % 3);
        let mut devices = Vec::new();
        for address in addresses {
            devices.push(RawDevice::lovense(&gateway.devices, address).await);
            while driver.device_indexes().await.len() < devices.len() {
                driver.event("DeviceList").await;
            }
        }
        // Which index is whose: the value that arrives says so.
        let mut owners = Vec::new();
        for (address, device) in addresses.iter().zip(&mut devices) {
            let mut found = None;
            for index in driver.device_indexes().await {
                let value = index + 1;
                let vibrate = json!({"DeviceIndex": index, "FeatureIndex": 0, "Command": {"Vibrate": {"Value": value}}});
                driver.call("OutputCmd", vibrate).await;
            }
            while found.is_none() {
                found = device
                    .frame()
                    .await
                    .strip_prefix("Vibrate:")
                    .and_then(|v| v.trim_end_matches(';').parse::<u64>().ok())
                    // One that comes back is stopped before it is listed.
                    .filter(|value| *value > 0);
            }
            driver.call("StopCmd", json!({})).await;
            owners.push((*address, found));
        }
        owners.sort();
        if before.is_empty() {
            before = owners;
            let state = home.path().join("state/wsdm-gateway/state.json");
            common::wait_until("the indexes are on the disk", || {
                std::fs::read_to_string(&state).is_ok_and(|text| addresses.iter().all(|a| text.contains(a)))
            })
            .await;
        } else {
            assert_eq!(owners, before, "round {round}");
        }
        gateway.signal(Signal::KILL);
        gateway.exit_code().await;
    }
}

/// One run as the administrator leaves such a file to everybody else.
#[tokio::test]
async fn a_state_file_that_may_not_be_read_is_left_as_it_is() {
    const NOBODY: u32 = 65_534;
    let home = TempDir::new().unwrap();
    let program = program_for_everybody(home.path());
    let state = home.path().join("state");
    std::fs::create_dir(&state).unwrap();
    let file = state.join("it's a state.json");
    let held = r#"{"version": 1, "devices": [{"protocol": "lovense", "identifier": "Z", "address": "A", "index": 7, "last_seen": 1}]}"#;
    std::fs::write(&file, held).unwrap();
    let mode = |mode| std::fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
    let mut run = tokio::process::Command::new(&program);
    run.args([
        "run",
        "--device-listen",
        "127.0.0.1:0",
        "--client-listen",
        "127.0.0.1:0",
    ])
    .args(["--state".as_ref(), file.as_os_str()])
    .env_clear()
    .env("HOME", home.path())
    .stdout(std::process::Stdio::piped())
    .stderr(std::process::Stdio::piped())
    .kill_on_drop(true);
    if is_root() {
        std::os::unix::fs::chown(&state, Some(NOBODY), Some(NOBODY)).unwrap();
        run.uid(NOBODY).gid(NOBODY);
        mode(0o600);
    } else {
        mode(0o000);
    }
    let mut gateway = Process::spawn(run).await;
    let mut driver = JsonClient::connect(&gateway.clients, 4).await;
    let _hush = RawDevice::lovense(&gateway.devices, "8A3D9FAC2A45").await;
    while driver.device_indexes().await.is_empty() {
        driver.event("DeviceList").await;
    }
    // What is still to be written is written before it ends.
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.exit_code().await, Some(0));
    let mut log = String::new();
    let mut stderr = gateway.child.stderr.take().unwrap();
    within("the log", stderr.read_to_string(&mut log)).await.unwrap();
    mode(0o600);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), held, "{log}");
    let advice = format!("sudo chown $USER '{}/it'\\''s a state.json'", state.display());
    for part in [
        "cannot be read",
        "is left as it is",
        advice.as_str(),
        "--state FILE",
    ] {
        assert!(log.contains(part), "{part}: {log}");
    }
}

#[tokio::test]
async fn nothing_but_the_ready_line_is_on_stdout_and_no_escapes_are_in_the_log() {
    let home = TempDir::new().unwrap();
    let mut child = command(
        home.path(),
        &[
            "run",
            "--device-listen",
            "127.0.0.1:0",
            "--client-listen",
            "127.0.0.1:0",
            "--json",
            "-v",
        ],
    )
    .spawn()
    .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    within("the ready line", stdout.read_line(&mut line))
        .await
        .unwrap();
    let ready: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(ready["event"], "ready");
    let device = RawDevice::lovense(ready["devices"].as_str().unwrap(), "8A3D9FAC2A45").await;
    drop(device);
    signal::send(child.id().unwrap(), Signal::TERM);
    let (mut rest, mut log) = (String::new(), String::new());
    within("it ends", stdout.read_to_string(&mut rest)).await.unwrap();
    within("it ends", child.stderr.take().unwrap().read_to_string(&mut log))
        .await
        .unwrap();
    assert_eq!(rest, "");
    assert!(!log.contains('\u{1b}'), "{log}");
    assert!(log.contains("device connected"), "{log}");
}

/// How long after a client's loss its device is still: for people to read, not for a bound.
#[tokio::test]
async fn a_lost_client_stops_its_device_soon() {
    let home = TempDir::new().unwrap();
    let gateway = Process::start(home.path(), &[]).await;
    let mut worst = Duration::ZERO;
    let mut hush = RawDevice::lovense(&gateway.devices, "8A3D9FAC2A45").await;
    for _ in 0..10 {
        let mut driver = JsonClient::connect(&gateway.clients, 4).await;
        let index = driver.first_device().await;
        driver
            .call(
                "OutputCmd",
                json!({"DeviceIndex": index, "FeatureIndex": 0, "Command": {"Vibrate": {"Value": 20}}}),
            )
            .await;
        hush.expect("Vibrate:20;").await;
        driver.reset();
        let lost = Instant::now();
        hush.expect("Vibrate:0;").await;
        worst = worst.max(lost.elapsed());
    }
    println!("a lost client's device was stopped within {worst:?}, the worst of 10");
}

/// A user may have so many threads: wherever in the start the last one is used up, it is an error in a sentence.
#[tokio::test]
async fn too_few_threads_are_an_error_and_no_panic() {
    // Root may have any number, and whoever runs this may have some already: it takes a user who has none.
    if !is_root() {
        return;
    }
    let home = TempDir::new().unwrap();
    let program = program_for_everybody(home.path());
    let user = (30_000 + std::process::id() % 30_000).to_string();
    let mut refused = std::collections::BTreeSet::new();
    for threads in 1..200 {
        let mut command = tokio::process::Command::new("setpriv");
        command
            .args(["--reuid", &user, "--regid", &user, "--clear-groups", "prlimit"])
            .arg(format!("--nproc={threads}"))
            .arg(&program)
            .args([
                "run",
                "--device-listen",
                "127.0.0.1:0",
                "--client-listen",
                "127.0.0.1:0",
            ])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().expect("setpriv");
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut ready = String::new();
        within("a line or the end", stdout.read_line(&mut ready))
            .await
            .unwrap();
        if ready.starts_with("ready") {
            // The stops at the end need no thread.
            signal::send(child.id().expect("it runs"), Signal::TERM);
        }
        let output = within("the end", child.wait_with_output()).await.unwrap();
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!log.contains("panicked"), "with {threads} threads: {log}");
        if ready.starts_with("ready") {
            assert_eq!(output.status.code(), Some(0), "with {threads} threads: {log}");
            assert!(refused.len() >= 3, "{refused:?}");
            return;
        }
        assert_eq!(output.status.code(), Some(1), "with {threads} threads: {log}");
        let error = log.lines().find(|line| line.starts_with("error: "));
        let error = error.unwrap_or_else(|| panic!("with {threads} threads: {log}"));
        refused.insert(error.split(": ").nth(1).unwrap_or_default().to_owned());
    }
    panic!("it never started: {refused:?}");
}

/// `--open` runs the program that opens pages on this desktop; here that is a script of the test.
#[tokio::test]
async fn the_page_is_opened_in_the_browser_on_request() {
    let home = TempDir::new().unwrap();
    let opened = home.path().join("opened");
    let script = home.path().join("xdg-open");
    std::fs::write(
        &script,
        format!(
            "#!/bin/sh\necho \"$1\" > {}.new\nmv {0}.new {0}\n",
            opened.display()
        ),
    )
    .unwrap();
    std::fs::set_permissions(&script, Permissions::from_mode(0o755)).unwrap();
    let mut command = run(home.path());
    command
        .arg("--open")
        .env("PATH", format!("{}:/usr/bin:/bin", home.path().display()));
    let _gateway = Process::spawn(command).await;
    wait_until("the page is opened", || opened.exists()).await;
    let url = std::fs::read_to_string(opened).unwrap();
    assert!(url.starts_with("http://127.0.0.1:"), "{url}");
}
