//! The command line: clap types only.

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{ArgAction, Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;

use crate::cmd::monitor::MonitorArgs;
use crate::cmd::ports::PortsArgs;
use crate::cmd::scan::ScanArgs;
use crate::cmd::simulate::SimulateArgs;
use crate::logging::LogFormat;

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
    /// Say more; twice for yet more
    #[arg(short, long, action = ArgAction::Count, global = true, display_order = 100)]
    pub verbose: u8,
    /// Say less; twice for errors only
    #[arg(short, long, action = ArgAction::Count, global = true, display_order = 101)]
    pub quiet: u8,
    /// How log lines on stderr look: text or json
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

/// The arguments that stand on the command line itself, by their name in [`RunArgs`]: clap fills in the environment
/// for the others, and `check` says which is which.
#[derive(Clone, Debug, Default)]
pub struct OnCommandLine(HashSet<String>);

impl OnCommandLine {
    /// Whether this argument stands there.
    pub fn has(&self, argument: &str) -> bool {
        self.0.contains(argument)
    }
}

impl Cli {
    /// Parses a command line, the program's name first.
    ///
    /// # Errors
    /// clap's own, which prints itself; a request for help is one too.
    pub fn parse_from_args(args: Vec<OsString>) -> Result<(Self, OnCommandLine), clap::Error> {
        let matches = Self::command().try_get_matches_from(args)?;
        let on_command_line = matches.subcommand().map(|(_, matches)| {
            let given = matches.ids().map(|id| id.as_str());
            let given = given.filter(|id| matches.value_source(id) == Some(ValueSource::CommandLine));
            given.map(str::to_owned).collect()
        });
        Ok((
            Self::from_arg_matches(&matches)?,
            OnCommandLine(on_command_line.unwrap_or_default()),
        ))
    }
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the gateway: a port for devices, a Buttplug server, a port for its clients
    #[command(
        after_help = "Examples:\n  wsdm-gateway run\n  wsdm-gateway run --udcf my-devices.json --device-listen 0.0.0.0:54817\n\nThe flags of intiface-engine that mean the same are taken too, so that a copied command line works."
    )]
    Run(RunArgs),
    /// Say what the configuration comes to, where each value comes from, and every problem in it
    #[command(after_help = "Example:\n  wsdm-gateway check --config gateway.toml")]
    Check(RunArgs),
    /// Print a commented gateway.toml
    #[command(after_help = "Example:\n  wsdm-gateway init > gateway.toml")]
    Init,
    /// Look at, migrate and edit user device configuration files
    #[command(
        subcommand,
        after_help = "Example:\n  wsdm-gateway udcf check my-devices.json"
    )]
    Udcf(UdcfCommand),
    /// Be a device, in software, for any server of the Websocket Device Manager
    #[command(
        after_help = "Examples:\n  wsdm-gateway simulate lovense\n  wsdm-gateway simulate lovense --model edge --count 3\n  wsdm-gateway simulate tcode --url ws://192.168.1.20:54817"
    )]
    Simulate(SimulateArgs),
    /// Watch a device of a gateway that runs, or a serial port: frames both ways; and send it some by hand
    #[command(
        after_help = "Examples:\n  wsdm-gateway monitor /dev/ttyUSB0 --send 'DeviceType;'\n  wsdm-gateway monitor --device 8A3D9FAC2A45\n  wsdm-gateway monitor --device 8A3D9FAC2A45 --send 'Battery;'\n  wsdm-gateway monitor --device my-stroker --send 'DSTOP\\n' --json"
    )]
    Monitor(MonitorArgs),
    /// Say which serial ports there are, what they are, whether they can be opened, and which entry takes them
    #[command(after_help = "Examples:\n  wsdm-gateway ports\n  wsdm-gateway ports --watch")]
    Ports(PortsArgs),
    /// Say which Bluetooth LE peripherals are near, which profile fits them, and which entry takes them; or look into one
    #[command(
        after_help = "Examples:\n  wsdm-gateway scan --for 10s\n  wsdm-gateway scan --connect AA:BB:CC:DD:EE:FF"
    )]
    Scan(ScanArgs),
    /// Print completions for a shell
    #[command(
        after_help = "Example:\n  wsdm-gateway completions bash > ~/.local/share/bash-completion/completions/wsdm-gateway"
    )]
    Completions {
        /// Which shell.
        shell: Shell,
    },
}

/// What `run` takes; `check` takes the same, to say what it would come to.
#[derive(Clone, Debug, Default, Args)]
pub struct RunArgs {
    /// Read this gateway.toml [default: wsdm-gateway/gateway.toml in the user's configuration directory, if there]
    #[arg(long, value_name = "FILE", env = "WSDM_GATEWAY_CONFIG")]
    pub config: Option<String>,
    /// Listen for devices here [default: 127.0.0.1:54817]
    #[arg(long, value_name = "ADDR", env = "WSDM_GATEWAY_DEVICE_LISTEN")]
    pub device_listen: Option<String>,
    /// Listen for Buttplug clients here [default: 127.0.0.1:12345]
    #[arg(long, value_name = "ADDR", env = "WSDM_GATEWAY_CLIENT_LISTEN")]
    pub client_listen: Option<String>,
    /// The user device configuration file, of any version from 2 to 5 [default: built in]
    #[arg(
        long,
        value_name = "FILE",
        env = "WSDM_GATEWAY_UDCF",
        alias = "user-device-config-file"
    )]
    pub udcf: Option<String>,
    /// Give every device to this WSDM server, ws:// or wss://, instead of the Buttplug server inside
    #[arg(long, value_name = "URL", env = "WSDM_GATEWAY_UPSTREAM")]
    pub upstream: Option<String>,
    /// Trust the CAs of this PEM file, and no others, where that is wss:// [default: the system's]
    #[arg(long, value_name = "FILE", env = "WSDM_GATEWAY_UPSTREAM_CA")]
    pub upstream_ca: Option<String>,
    /// Devices must connect to /?token=TOKEN
    #[arg(
        long,
        value_name = "TOKEN",
        env = "WSDM_GATEWAY_DEVICE_TOKEN",
        hide_env_values = true
    )]
    pub device_token: Option<String>,
    /// The name that clients show [default: wsdm-gateway]
    #[arg(long, value_name = "NAME", env = "WSDM_GATEWAY_SERVER_NAME")]
    pub server_name: Option<String>,
    /// Stop a client that sends no Buttplug Ping for this long; 0 is off [default: 0]
    #[arg(long, value_name = "MS", env = "WSDM_GATEWAY_MAX_PING_TIME")]
    pub max_ping_time: Option<String>,
    /// Remember device indexes here [default: state.json in the user's state directory]
    #[arg(long, value_name = "FILE", env = "WSDM_GATEWAY_STATE")]
    pub state: Option<String>,
    /// Print JSON on stdout
    #[arg(long)]
    pub json: bool,
    /// The control socket [default: in the user's runtime directory, named for the port that devices connect to]
    #[arg(long, value_name = "PATH", env = "WSDM_GATEWAY_CONTROL", hide = true)]
    pub control: Option<OsString>,

    /// intiface-engine: the port for Buttplug clients
    #[arg(long, value_name = "PORT", alias = "websocketport", hide = true)]
    pub websocket_port: Option<u16>,
    /// intiface-engine: the port for devices
    #[arg(long, value_name = "PORT", hide = true)]
    pub device_websocket_server_port: Option<u16>,
    /// intiface-engine: listen for clients on every interface
    #[arg(long, hide = true)]
    pub websocket_use_all_interfaces: bool,
    /// intiface-engine: serve websocket devices, which this program always does
    #[arg(long, hide = true)]
    pub use_device_websocket_server: bool,
}

/// `udcf ...`
#[derive(Debug, Subcommand)]
pub enum UdcfCommand {
    /// Say what a file comes to: names, protocols, features, and what is wrong with it
    #[command(after_help = "Example:\n  wsdm-gateway udcf check my-devices.json")]
    Check {
        /// The file, of any version from 2 to 5.
        file: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Write a file of any version as version 5
    #[command(after_help = "Example:\n  wsdm-gateway udcf migrate old.json -o new.json")]
    Migrate {
        /// The file, of any version from 2 to 5.
        file: PathBuf,
        /// Where to; stdout if left out.
        #[arg(short, long, value_name = "OUT")]
        output: Option<PathBuf>,
    },
    /// Add a websocket name to a file, and keep everything else in it
    #[command(
        after_help = "Examples:\n  wsdm-gateway udcf add --protocol tcode-v03 --websocket MyStroker my-devices.json\n  wsdm-gateway udcf add --protocol tcode-v03 --websocket MyStroker --intiface-central"
    )]
    Add {
        /// The protocol that the device speaks; `udcf protocols` lists them.
        #[arg(long)]
        protocol: String,
        /// The identifier that the device sends in its handshake.
        #[arg(long, value_name = "NAME")]
        websocket: String,
        /// Edit the file of the Intiface Central on this machine, which must be closed; a backup is made first
        #[arg(long, conflicts_with = "file")]
        intiface_central: bool,
        /// The file; it is made where there is none.
        #[arg(required_unless_present = "intiface_central")]
        file: Option<PathBuf>,
    },
    /// List the protocols that the server knows, with what they can do
    #[command(after_help = "Example:\n  wsdm-gateway udcf protocols --json")]
    Protocols {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}
