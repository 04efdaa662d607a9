//! The flags of intiface-engine, so that its lines run as they stand in scripts, services and documentation.

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Args, FromArgMatches, value_parser};

/// A flag of intiface-engine that is none of ours.
struct Flag {
    /// Without dashes.
    name: &'static str,
    value: Value,
    meaning: Meaning,
}

/// What follows a flag.
enum Value {
    None,
    Port,
    Level,
    Text,
}

/// What a flag comes to here.
enum Meaning {
    /// Sets something, or asks for what is so anyway.
    Same,
    /// The line starts without it: why, and where to get what it asked for.
    Without(&'static str),
    /// A line that asks for this cannot do its work here: why not.
    Refused(&'static str),
}

use Meaning::{Refused, Same, Without};

const BLE: &str =
    "boards on Bluetooth LE are those of [[ble]] entries of gateway.toml, and toys are left to Intiface";
const SERIAL: &str = "boards on serial ports are those of [[serial]] entries of gateway.toml";
const DONGLE: &str = "dongles are left to Intiface";
const RAW: &str = "raw messages are refused";
const REPEATER: &str = "there is no repeater; several apps may connect to the gateway itself";
const CRASH: &str = "it is for tests of intiface-engine";

#[rustfmt::skip]
static FLAGS: [Flag; 28] = [
    Flag { name: "user-device-config-file", value: Value::Text, meaning: Same },
    Flag { name: "websocket-port", value: Value::Port, meaning: Same },
    Flag { name: "device-websocket-server-port", value: Value::Port, meaning: Same },
    Flag { name: "websocket-use-all-interfaces", value: Value::None, meaning: Same },
    Flag { name: "use-device-websocket-server", value: Value::None, meaning: Same },
    Flag { name: "broadcast-server-mdns", value: Value::None, meaning: Same },
    Flag { name: "log", value: Value::Level, meaning: Same },
    Flag { name: "allow-v4-spec", value: Value::None, meaning: Same },
    Flag { name: "crash-reporting", value: Value::None, meaning: Without("nothing is reported to anybody") },
    Flag { name: "mdns-suffix", value: Value::Text, meaning: Without("the announcement has the machine's name") },
    Flag { name: "use-bluetooth-le", value: Value::None, meaning: Without(BLE) },
    Flag { name: "use-serial", value: Value::None, meaning: Without(SERIAL) },
    Flag { name: "use-hid", value: Value::None, meaning: Without("HID devices are left to Intiface") },
    Flag { name: "use-xinput", value: Value::None, meaning: Without("gamepads are left to Intiface") },
    Flag { name: "use-lovense-connect", value: Value::None, meaning: Without("Lovense Connect is left to Intiface") },
    Flag { name: "use-lovense-dongle", value: Value::None, meaning: Without(DONGLE) },
    Flag { name: "use-lovense-dongle-serial", value: Value::None, meaning: Without(DONGLE) },
    Flag { name: "use-lovense-dongle-hid", value: Value::None, meaning: Without(DONGLE) },
    Flag { name: "allow-raw-messages", value: Value::None, meaning: Without(RAW) },
    Flag { name: "allow-raw", value: Value::None, meaning: Without(RAW) },
    Flag {
        name: "device-config-file", value: Value::Text,
        meaning: Without("that file is not read, since the devices of Intiface are built in; entries of your own go into --udcf FILE"),
    },
    Flag {
        name: "frontend-websocket-port", value: Value::Port,
        meaning: Refused("no front end is dialled; a program that starts the gateway reads --json and the log on stderr"),
    },
    Flag {
        name: "websocket-client-address", value: Value::Text,
        meaning: Refused("apps connect to the gateway, and it dials none"),
    },
    Flag { name: "rest-api-port", value: Value::Port, meaning: Refused("the REST API of intiface-engine is not offered") },
    Flag { name: "repeater", value: Value::None, meaning: Refused(REPEATER) },
    Flag { name: "repeater-port", value: Value::Port, meaning: Refused(REPEATER) },
    Flag { name: "crash-main-thread", value: Value::None, meaning: Refused(CRASH) },
    Flag { name: "crash-task-thread", value: Value::None, meaning: Refused(CRASH) },
];

/// The flags of intiface-engine that a line has.
#[derive(Clone, Debug, Default)]
pub struct IntifaceArgs(Vec<Given>);

#[derive(Clone, Debug)]
struct Given {
    flag: &'static Flag,
    value: String,
}

impl std::fmt::Debug for Flag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "--{}", self.name)
    }
}

impl IntifaceArgs {
    /// The value of a flag; empty if it has none. `None` if the line does not have the flag.
    pub fn value(&self, name: &str) -> Option<&str> {
        let given = self.0.iter().find(|given| given.flag.name == name)?;
        Some(&given.value)
    }

    /// What `--log` comes to: the number of `-v`, or less than 0 the number of `-q`.
    pub fn verbosity(&self) -> i32 {
        match self.value("log").map(str::to_ascii_lowercase).as_deref() {
            Some("error" | "1") => -2,
            Some("warn" | "2") => -1,
            Some("debug" | "4") => 1,
            Some("trace" | "5") => 2,
            _ => 0,
        }
    }

    /// One line on the flags that the gateway runs without.
    pub fn without(&self) -> Option<String> {
        let parts: Vec<_> = self.explained(|meaning| match meaning {
            Without(why) => Some(why),
            Same | Refused(_) => None,
        });
        (!parts.is_empty()).then(|| {
            format!(
                "flags of intiface-engine that the gateway runs without: {}",
                parts.join("; ")
            )
        })
    }

    /// A line for each flag without which the gateway cannot do what it was started for.
    pub fn refused(&self) -> Vec<String> {
        self.explained(|meaning| match meaning {
            Refused(why) => Some(why),
            Same | Without(_) => None,
        })
    }

    /// The flags that have an explanation, with it; those that share one together.
    fn explained(&self, why: impl Fn(&Meaning) -> Option<&'static str>) -> Vec<String> {
        let mut reasons: Vec<(&str, String)> = Vec::new();
        for given in &self.0 {
            let Some(why) = why(&given.flag.meaning) else {
                continue;
            };
            let flag = format!("--{}", given.flag.name);
            match reasons.iter_mut().find(|(known, _)| *known == why) {
                Some((_, flags)) => *flags += &format!(", {flag}"),
                None => reasons.push((why, flag)),
            }
        }
        let reasons = reasons.into_iter();
        reasons.map(|(why, flags)| format!("{flags}: {why}")).collect()
    }
}

impl Args for IntifaceArgs {
    fn augment_args(mut command: clap::Command) -> clap::Command {
        for flag in &FLAGS {
            let arg = Arg::new(flag.name).long(flag.name).hide(true);
            let arg = match flag.value {
                Value::None => arg.action(ArgAction::SetTrue),
                Value::Port => arg.value_name("PORT").value_parser(value_parser!(u16)),
                Value::Text => arg.value_name("TEXT"),
                Value::Level => {
                    arg.value_name("LEVEL")
                        .ignore_case(true)
                        .value_parser(PossibleValuesParser::new([
                            "error", "warn", "info", "debug", "trace", "1", "2", "3", "4", "5",
                        ]))
                }
            };
            // As intiface-engine's own documentation once wrote it.
            let arg = match flag.name {
                "websocket-port" => arg.alias("websocketport"),
                _ => arg,
            };
            command = command.arg(arg);
        }
        command
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for IntifaceArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut args = Self::default();
        args.update_from_arg_matches(matches)?;
        Ok(args)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for flag in &FLAGS {
            let value = match flag.value {
                Value::None => matches.get_flag(flag.name).then(String::new),
                Value::Port => matches.get_one::<u16>(flag.name).map(u16::to_string),
                Value::Text | Value::Level => matches.get_one::<String>(flag.name).cloned(),
            };
            if let Some(value) = value {
                self.0.push(Given { flag, value });
            }
        }
        Ok(())
    }
}
