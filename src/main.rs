//! The command `wsdm-gateway`: parse, start logging, call the command, turn an error into an exit code.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use wsdm_gateway::cli::Cli;
use wsdm_gateway::cmd::{self, error};
use wsdm_gateway::logging;

/// Flags of intiface-engine for what this program does not do, or does in another way.
const INTIFACE_ONLY: &[(&str, &str)] = &[
    ("--use-bluetooth-le", "Bluetooth devices are left to Intiface"),
    (
        "--use-serial",
        "say which ports are boards in [[serial]] entries of gateway.toml",
    ),
    ("--use-hid", "HID devices are left to Intiface"),
    ("--use-lovense-dongle", "dongles are left to Intiface"),
    ("--use-lovense-dongle-serial", "dongles are left to Intiface"),
    ("--use-lovense-dongle-hid", "dongles are left to Intiface"),
    ("--use-lovense-connect", "Lovense Connect is left to Intiface"),
    ("--use-xinput", "gamepads are left to Intiface"),
    (
        "--device-config-file",
        "the device configuration is built in; put your own entries into --udcf FILE",
    ),
    (
        "--frontend-websocket-port",
        "there is no front end to talk to; use --json and the log on stderr",
    ),
    (
        "--websocket-client-address",
        "this program listens for clients, it does not dial them",
    ),
    ("--allow-raw-messages", "raw messages are not passed on"),
    ("--allow-raw", "raw messages are not passed on"),
    (
        "--broadcast-server-mdns",
        "there is no mDNS here yet; give clients the address",
    ),
    (
        "--mdns-suffix",
        "there is no mDNS here yet; give clients the address",
    ),
    ("--rest-api-port", "there is no REST API here"),
    ("--repeater", "there is no repeater here"),
    ("--crash-main-thread", "that is for testing intiface-engine"),
    ("--crash-task-thread", "that is for testing intiface-engine"),
    ("--server-version", "use --version"),
    ("--log", "use -v, -q or the variable WSDM_GATEWAY_LOG"),
];

fn main() -> ExitCode {
    let args = implied_run(std::env::args_os().collect());
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(e) => return usage(&e),
    };
    logging::start(i32::from(cli.verbose) - i32::from(cli.quiet), cli.log_format);
    match cmd::execute(cli) {
        Ok(()) => ExitCode::from(error::EXIT_OK as u8),
        Err(e) => {
            eprintln!("error: {e}");
            if let Some(hint) = e.hint() {
                eprintln!("hint: {hint}");
            }
            ExitCode::from(e.exit_code() as u8)
        }
    }
}

/// A line that begins with a flag means `run`: lines for intiface-engine, which has no subcommands, work with the
/// program's name changed.
fn implied_run(mut args: Vec<OsString>) -> Vec<OsString> {
    let flag = args.get(1).and_then(|a| a.to_str()).is_some_and(|a| {
        a.starts_with("--")
            && !matches!(
                a,
                "--help" | "--version" | "--verbose" | "--quiet" | "--log-format"
            )
    });
    if flag {
        args.insert(1, "run".into());
    }
    args
}

fn usage(e: &clap::Error) -> ExitCode {
    // Nothing is left to say where the terminal is gone.
    let _ = e.print();
    if let (ErrorKind::UnknownArgument, Some(ContextValue::String(flag))) =
        (e.kind(), e.get(ContextKind::InvalidArg))
    {
        let flag = flag.split(['=', ' ']).next().unwrap_or_default();
        if let Some((_, instead)) = INTIFACE_ONLY.iter().find(|(known, _)| *known == flag) {
            eprintln!("hint: {flag} is a flag of intiface-engine: {instead}");
        }
    }
    ExitCode::from(e.exit_code() as u8)
}
