//! The command `wsdm-gateway`: parse, start logging, call the command, turn an error into an exit code.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, Parser};
use wsdm_gateway::advice::EXIT_OK;
use wsdm_gateway::cli::Cli;
use wsdm_gateway::{cmd, logging};

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
        Ok(()) => ExitCode::from(EXIT_OK),
        Err(e) => {
            eprintln!("error: {e}");
            if let Some(hint) = e.hint() {
                eprintln!("hint: {hint}");
            }
            ExitCode::from(e.exit_code())
        }
    }
}

/// A line of flags alone means `run`: lines for intiface-engine, which has no subcommands, work with the program's
/// name changed. The flags of all commands, help among them, may stand in front of either kind of line.
fn implied_run(mut args: Vec<OsString>) -> Vec<OsString> {
    let mut command = Cli::command();
    command.build();
    let flags: Vec<_> = command.get_arguments().collect();
    let mut at = 1;
    while let Some(arg) = args.get(at).and_then(|arg| arg.to_str()) {
        if let Some(long) = arg.strip_prefix("--").filter(|long| !long.is_empty()) {
            let (name, value) = long.split_once('=').map_or((long, None), |(n, v)| (n, Some(v)));
            let Some(flag) = flags.iter().find(|flag| flag.get_long() == Some(name)) else {
                args.insert(at, "run".into());
                break;
            };
            let value_follows = flag.get_action().takes_values() && value.is_none();
            at += 1 + usize::from(value_follows);
        } else if let Some(shorts) = arg.strip_prefix('-').filter(|shorts| !shorts.is_empty())
            && shorts
                .chars()
                .all(|short| flags.iter().any(|flag| flag.get_short() == Some(short)))
        {
            at += 1;
        } else {
            break;
        }
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
