//! The flags of intiface-engine, so that its command lines in scripts, services and documentation work unchanged.

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Args, FromArgMatches, value_parser};

/// A flag of intiface-engine that this program does not have itself.
struct Flag {
    /// The name without dashes.
    name: &'static str,
    value: Value,
    meaning: Meaning,
}

/// The kind of a flag's value.
enum Value {
    None,
    Port,
    Level,
    Text,
}

/// What a flag does here.
enum Meaning {
    /// The same as in intiface-engine, or nothing, since the gateway does it anyway.
    Same,
    /// Nothing: the gateway starts without it. With the reason, and where to get what it asks for.
    Without(&'static str),
    /// The gateway refuses to start, since it cannot do what the flag asks for. With the reason.
    Refused(&'static str),
}

use Meaning::{Refused, Same, Without};

const BLE: &str =
    "boards on Bluetooth LE need [[ble]] entries in gateway.toml, and commercial toys are left to Intiface";
const SERIAL: &str = "boards on serial ports need [[serial]] entries in gateway.toml";
const DONGLE: &str = "dongles are left to Intiface";
const RAW: &str = "raw messages are refused";
const REPEATER: &str = "the gateway has no repeater; several apps may connect to it directly";
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
    Flag { name: "crash-reporting", value: Value::None, meaning: Without("the gateway sends no crash reports") },
    Flag { name: "mdns-suffix", value: Value::Text, meaning: Without("the gateway is announced under the machine's name") },
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
        meaning: Without("this file is not read, since Intiface's device list is built in; put your own entries into --udcf FILE"),
    },
    Flag {
        name: "frontend-websocket-port", value: Value::Port,
        meaning: Refused("the gateway does not connect to a front end; a program that starts it can read --json and the log on stderr"),
    },
    Flag {
        name: "websocket-client-address", value: Value::Text,
        meaning: Refused("apps connect to the gateway; it does not connect to apps"),
    },
    Flag { name: "rest-api-port", value: Value::Port, meaning: Refused("the REST API of intiface-engine is not offered") },
    Flag { name: "repeater", value: Value::None, meaning: Refused(REPEATER) },
    Flag { name: "repeater-port", value: Value::Port, meaning: Refused(REPEATER) },
    Flag { name: "crash-main-thread", value: Value::None, meaning: Refused(CRASH) },
    Flag { name: "crash-task-thread", value: Value::None, meaning: Refused(CRASH) },
];

/// The flags of intiface-engine on a command line.
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
    /// The value of a flag, empty if the flag takes none. `None` if the flag is not given.
    pub fn value(&self, name: &str) -> Option<&str> {
        let given = self.0.iter().find(|given| given.flag.name == name)?;
        Some(&given.value)
    }

    /// The verbosity that `--log` stands for: positive as that many `-v`, negative as that many `-q`.
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

    /// Why the gateway refuses to start, one line for each reason.
    pub fn refused(&self) -> Vec<String> {
        self.explained(|meaning| match meaning {
            Refused(why) => Some(why),
            Same | Without(_) => None,
        })
    }

    /// The flags for which `why` has a reason, grouped by it.
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
            // The spelling in older documentation of intiface-engine.
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
