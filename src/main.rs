//! The command `wsdm-gateway`: parse, start logging, call the command, turn an error into an exit code.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use wsdm_gateway::advice::EXIT_OK;
use wsdm_gateway::cli::Cli;
use wsdm_gateway::{cmd, logging};

fn main() -> ExitCode {
    let args = implied_run(std::env::args_os().collect());
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(e) => {
            // Nothing is left to say where the terminal is gone.
            let _ = e.print();
            return ExitCode::from(e.exit_code() as u8);
        }
    };
    logging::start(cli.verbosity(), cli.log_format);
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
