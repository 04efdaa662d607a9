//! The command line: clap types only.

pub mod intiface;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;

use crate::cmd::flash::FlashArgs;
use crate::cmd::fleet::FleetCommand;
use crate::cmd::monitor::MonitorArgs;
use crate::cmd::ota::OtaArgs;
use crate::cmd::ports::PortsArgs;
#[cfg(unix)]
use crate::cmd::reload::ReloadArgs;
#[cfg(unix)]
use crate::cmd::running::{DevicesArgs, StopArgs};
use crate::cmd::scan::ScanArgs;
use crate::cmd::simulate::SimulateArgs;
use crate::config::table::{Key, Kind, variable};
use crate::config::{SECTIONS, Source};
use crate::logging::LogFormat;
use intiface::IntifaceArgs;

/// Gives any DIY microcontroller device a place in the Buttplug ecosystem.
#[derive(Debug, Parser)]
#[command(
    name = "wsdm-gateway",
    version,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    after_help = "Example:\n  wsdm-gateway run\n  then connect a device to ws://127.0.0.1:54817 and a Buttplug app to ws://127.0.0.1:12345"
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Log more; twice for even more
    #[arg(short, long, action = ArgAction::Count, global = true, display_order = 100)]
    pub verbose: u8,
    /// Log less; twice for errors only
    #[arg(short, long, action = ArgAction::Count, global = true, display_order = 101)]
    pub quiet: u8,
    /// Format of the log on stderr: text or json
    #[arg(
        long,
        value_enum,
        default_value_t,
        global = true,
        value_name = "FORMAT",
        hide_possible_values = true,
        display_order = 102,
        env = "WSDM_GATEWAY_LOG_FORMAT"
    )]
    pub log_format: LogFormat,
}

impl Cli {
    /// The number of `-v` minus the number of `-q`. A command line for intiface-engine may have its `--log` as well.
    pub fn verbosity(&self) -> i32 {
        let of_intiface = match &self.command {
            Command::Run(args) | Command::Check(args) => args.intiface.verbosity(),
            _ => 0,
        };
        of_intiface + i32::from(self.verbose) - i32::from(self.quiet)
    }
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the gateway
    #[command(
        after_help = "Examples:\n  wsdm-gateway run\n  wsdm-gateway run --udcf my-devices.json --device-listen 0.0.0.0:54817\n\nThe flags of intiface-engine that mean the same are taken too, so that a copied command line works."
    )]
    Run(RunArgs),
    /// Check the configuration and show where each value comes from
    #[command(after_help = "Example:\n  wsdm-gateway check --config gateway.toml")]
    Check(RunArgs),
    /// Print a commented gateway.toml
    #[command(after_help = "Example:\n  wsdm-gateway init > gateway.toml")]
    Init,
    /// Check, migrate and edit user device configuration files
    #[command(
        subcommand,
        after_help = "Example:\n  wsdm-gateway udcf check my-devices.json"
    )]
    Udcf(UdcfCommand),
    /// Simulate a device
    #[command(
        after_help = "Examples:\n  wsdm-gateway simulate lovense\n  wsdm-gateway simulate lovense --model edge --count 3\n  wsdm-gateway simulate tcode --url ws://192.168.1.20:54817"
    )]
    Simulate(SimulateArgs),
    /// Watch and send frames on a device or serial port
    #[command(
        after_help = "Examples:\n  wsdm-gateway monitor /dev/ttyUSB0 --send 'DeviceType;'\n  wsdm-gateway monitor --device 8A3D9FAC2A45\n  wsdm-gateway monitor --device 8A3D9FAC2A45 --send 'Battery;'\n  wsdm-gateway monitor --device my-stroker --send 'DSTOP\\n' --json"
    )]
    Monitor(MonitorArgs),
    /// Stop every device of the gateways that run on this machine
    #[cfg(unix)]
    #[command(
        after_help = "Bound to a global hotkey of the desktop, it works whatever has the focus.\n\nExamples:\n  wsdm-gateway stop\n  wsdm-gateway stop 8A3D9FAC2A45"
    )]
    Stop(StopArgs),
    /// List the devices of the gateways that run on this machine
    #[cfg(unix)]
    #[command(after_help = "Examples:\n  wsdm-gateway devices\n  wsdm-gateway devices --json")]
    Devices(DevicesArgs),
    /// Apply changes of the configuration files to the gateways that run on this machine
    #[cfg(unix)]
    #[command(
        after_help = "A gateway also notices by itself that a file changed.\n\nExamples:\n  wsdm-gateway reload\n  wsdm-gateway reload --json"
    )]
    Reload(ReloadArgs),
    /// List the edges and hubs of a fleet, or stop all of it
    #[command(
        subcommand,
        after_help = "Examples:\n  wsdm-gateway fleet list\n  wsdm-gateway fleet stop\n  wsdm-gateway fleet forget bedroom"
    )]
    Fleet(FleetCommand),
    /// Write the firmware to an ESP32-C3 or C6 on USB, and set it up
    #[command(
        after_help = "Examples:\n  wsdm-gateway flash\n  wsdm-gateway flash /dev/ttyACM0 --ssid 'My network' --password-file wifi.txt --pins V0=4"
    )]
    Flash(Box<FlashArgs>),
    /// Send new firmware over Wi-Fi to an ESP32-C3 or C6 that runs it already
    #[command(
        after_help = "Examples:\n  wsdm-gateway ota a0b1c2d3e4f5\n  wsdm-gateway ota 192.168.1.31 --password-file updates.txt\n\nThe board takes updates once it has a password for them: flash --ota-password-file, or set ota_password on its console."
    )]
    Ota(OtaArgs),
    /// List serial ports and which entry uses each
    #[command(
        after_help = "Examples:\n  wsdm-gateway ports\n  wsdm-gateway ports --identify\n  wsdm-gateway ports --watch"
    )]
    Ports(PortsArgs),
    /// Scan for Bluetooth LE devices, or inspect one
    #[command(
        after_help = "Examples:\n  wsdm-gateway scan --for 10s\n  wsdm-gateway scan --identify\n  wsdm-gateway scan --connect AA:BB:CC:DD:EE:FF"
    )]
    Scan(ScanArgs),
    /// Print shell completions
    #[command(
        after_help = "Example:\n  wsdm-gateway completions bash > ~/.local/share/bash-completion/completions/wsdm-gateway"
    )]
    Completions {
        /// Which shell.
        shell: Shell,
    },
}

/// The arguments of `run` and `check`.
#[derive(Clone, Debug, Default, Args)]
pub struct RunArgs {
    /// Read this gateway.toml [default: wsdm-gateway/gateway.toml in the user's configuration directory, if there]
    #[arg(long, value_name = "FILE", env = "WSDM_GATEWAY_CONFIG")]
    pub config: Option<String>,
    /// Configuration keys that are set by flags or the environment.
    #[command(flatten)]
    pub keys: KeyArgs,
    /// Dial a board that listens at this URL; may be given several times
    #[arg(long, value_name = "URL")]
    pub dial: Vec<String>,
    /// Open the page in the browser
    #[arg(long)]
    pub open: bool,
    /// Print JSON on stdout
    #[arg(long)]
    pub json: bool,
    /// The control socket [default: in the user's runtime directory, named for the port that devices connect to]
    #[arg(long, value_name = "PATH", env = "WSDM_GATEWAY_CONTROL", hide = true)]
    pub control: Option<OsString>,
    /// Tests only: where the system's files lie that tell of serial ports.
    #[arg(long, value_name = "PATH", env = "WSDM_GATEWAY_PORTS_ROOT", hide = true)]
    pub ports_root: Option<PathBuf>,

    /// The flags of intiface-engine.
    #[command(flatten)]
    pub intiface: IntifaceArgs,
}

/// The values of configuration keys that were given as flags or environment variables.
#[derive(Clone, Debug, Default)]
pub struct KeyArgs(Vec<KeyArg>);

/// The value of one key.
#[derive(Clone, Debug)]
pub struct KeyArg {
    /// The key, such as `devices.listen`.
    pub key: String,
    /// The value.
    pub value: String,
    /// Where it was set: a flag or a variable.
    pub source: Source,
}

impl KeyArgs {
    /// The given values.
    pub fn iter(&self) -> impl Iterator<Item = &KeyArg> {
        self.0.iter()
    }
}

/// The values that the environment has for the keys of these sections.
pub fn from_environment(sections: &[&str]) -> Vec<KeyArg> {
    flagged()
        .filter(|(key, ..)| {
            key.split('.')
                .next()
                .is_some_and(|section| sections.contains(&section))
        })
        .filter_map(|(key, _, flag)| {
            let variable = variable(flag);
            let value = std::env::var(&variable).ok()?;
            Some(KeyArg {
                key,
                value,
                source: Source::Environment(variable),
            })
        })
        .collect()
}

/// A flag for several addresses may be repeated, which means the same as separating them with commas.
fn action(kind: &Kind) -> ArgAction {
    match kind {
        Kind::Addresses => ArgAction::Append,
        _ => ArgAction::Set,
    }
}

/// All keys with a flag, with their full names.
fn flagged() -> impl Iterator<Item = (String, &'static Key, &'static str)> {
    SECTIONS.into_iter().flat_map(|section| {
        section.keys.iter().filter_map(|key| {
            let flag = key.flag?;
            Some((format!("{}.{}", section.name, key.name), key, flag))
        })
    })
}

impl Args for KeyArgs {
    fn augment_args(mut command: clap::Command) -> clap::Command {
        for (id, key, flag) in flagged() {
            let help = match key.default_in_words().as_str() {
                "" => key.help.to_owned(),
                default => format!("{} [default: {default}]", key.help),
            };
            command = command.arg(
                Arg::new(id)
                    .long(flag)
                    .env(variable(flag))
                    .action(action(&key.kind))
                    .hide_env_values(matches!(key.kind, Kind::Password | Kind::Secret))
                    .value_name(key.kind.placeholder())
                    .help(help),
            );
        }
        command
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for KeyArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut args = Self::default();
        args.update_from_arg_matches(matches)?;
        Ok(args)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for (key, _, flag) in flagged() {
            let Some(values) = matches.get_many::<String>(&key) else {
                continue;
            };
            let value = values.map(String::as_str).collect::<Vec<_>>().join(",");
            let source = match matches.value_source(&key) {
                Some(ValueSource::EnvVariable) => Source::Environment(variable(flag)),
                _ => Source::Flag(format!("--{flag}")),
            };
            self.0.push(KeyArg { key, value, source });
        }
        Ok(())
    }
}

/// `udcf ...`
#[derive(Debug, Subcommand)]
pub enum UdcfCommand {
    /// Check a file and list its names, protocols and features
    #[command(after_help = "Example:\n  wsdm-gateway udcf check my-devices.json")]
    Check {
        /// The file, of any version from 2 to 5.
        file: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Convert a file to version 5
    #[command(after_help = "Example:\n  wsdm-gateway udcf migrate old.json -o new.json")]
    Migrate {
        /// The file, of any version from 2 to 5.
        file: PathBuf,
        /// Write to this file [default: stdout]
        #[arg(short, long, value_name = "OUT")]
        output: Option<PathBuf>,
    },
    /// Print a file's serial and Bluetooth entries for gateway.toml
    #[command(after_help = "Example:\n  wsdm-gateway udcf bridge my-devices.json >> gateway.toml")]
    Bridge {
        /// The file, of any version from 2 to 5.
        file: PathBuf,
    },
    /// Add a websocket name to a file
    #[command(
        after_help = "Examples:\n  wsdm-gateway udcf add --protocol tcode-v03 --websocket MyStroker my-devices.json\n  wsdm-gateway udcf add --protocol tcode-v03 --websocket MyStroker --intiface-central"
    )]
    Add {
        /// Protocol that the device speaks; `udcf protocols` lists them.
        #[arg(long)]
        protocol: String,
        /// Identifier that the device sends in its handshake.
        #[arg(long, value_name = "NAME")]
        websocket: String,
        /// Edit the file of the Intiface Central on this machine, which must be closed; a backup is made first
        #[arg(long, conflicts_with = "file")]
        intiface_central: bool,
        /// The file, which is created if it does not exist.
        #[arg(required_unless_present = "intiface_central")]
        file: Option<PathBuf>,
    },
    /// List the known protocols and what each can do
    #[command(after_help = "Example:\n  wsdm-gateway udcf protocols --json")]
    Protocols {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}
