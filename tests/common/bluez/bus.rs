//! The bus: who is connected, who owns which name, and which signals go to whom.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::StreamExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::AbortHandle;
use zbus::connection::Builder;
use zbus::export::serde::{Serialize, de::DeserializeOwned};
use zbus::message::{Flags, Message, Type};
use zbus::zvariant::{self, DynamicType};

use super::Fake;
use super::daemon::State;

pub const DBUS: &str = "org.freedesktop.DBus";
pub const BLUEZ: &str = "org.bluez";
/// What a system bus allows one connection.
const MAX_RULES: usize = 512;

/// The name and the text of an error.
pub struct Fault(pub String, pub String);

impl Fault {
    pub fn dbus(name: &str, text: impl Into<String>) -> Self {
        Self(format!("org.freedesktop.DBus.Error.{name}"), text.into())
    }

    pub fn bluez(name: &str, text: impl Into<String>) -> Self {
        Self(format!("org.bluez.Error.{name}"), text.into())
    }
}

pub fn not_ready() -> Fault {
    Fault::bluez("NotReady", "Resource Not Ready")
}

pub fn in_progress() -> Fault {
    Fault::bluez("InProgress", "Operation already in progress")
}

pub fn not_connected() -> Fault {
    Fault::bluez("Failed", "Not connected")
}

pub fn not_supported() -> Fault {
    Fault::bluez("NotSupported", "Operation is not supported")
}

pub fn aborted() -> Fault {
    Fault::bluez("Failed", "le-connection-abort-by-local")
}

/// What a method came to.
pub enum Reply {
    /// It is done, and has nothing to say.
    Empty,
    /// It was answered, or will be.
    Sent,
}

pub type Answer = Result<Reply, Fault>;

/// A method call, which can be answered later.
#[derive(Clone)]
pub struct Call {
    pub client: u64,
    pub path: String,
    pub interface: String,
    pub member: String,
    message: Message,
    /// Who answers.
    sender: String,
    out: UnboundedSender<Message>,
}

impl Call {
    pub fn ok(&self, body: &(impl Serialize + DynamicType)) -> Answer {
        let reply = Message::method_return(&self.message.header());
        self.send(reply.and_then(|reply| self.address(reply)?.build(body)));
        Ok(Reply::Sent)
    }

    pub fn fail(&self, Fault(name, text): Fault) {
        let reply = Message::error(&self.message.header(), name);
        self.send(reply.and_then(|reply| self.address(reply)?.build(&text)));
    }

    pub fn args<T: DeserializeOwned + zvariant::Type>(&self) -> Result<T, Fault> {
        let body = self.message.body();
        body.deserialize::<T>()
            .map_err(|e| Fault::dbus("InvalidArgs", e.to_string()))
    }

    fn address<'a>(&self, reply: zbus::message::Builder<'a>) -> zbus::Result<zbus::message::Builder<'a>> {
        reply
            .sender(self.sender.clone())?
            .destination(unique_name(self.client))
    }

    fn send(&self, reply: zbus::Result<Message>) {
        let flags = self.message.primary_header().flags();
        if !flags.contains(Flags::NoReplyExpected) {
            // A client that went needs no answer.
            let _ = self.out.send(reply.expect("a valid message"));
        }
    }
}

pub fn unique_name(number: u64) -> String {
    format!(":1.{number}")
}

/// A match rule, by its keys.
type Rule = BTreeMap<String, String>;

fn parse_rule(text: &str) -> Result<Rule, Fault> {
    let invalid = || Fault::dbus("MatchRuleInvalid", format!("{text:?} is not understood"));
    let mut quoted = false;
    let parts = text.split(|c| {
        quoted ^= c == '\'';
        c == ',' && !quoted
    });
    let mut rule = Rule::new();
    for part in parts.filter(|part| !part.trim().is_empty()) {
        let (key, value) = part.split_once('=').ok_or_else(invalid)?;
        let key = key.trim();
        let known = [
            "type",
            "sender",
            "interface",
            "member",
            "path",
            "path_namespace",
            "destination",
            "arg0",
            "eavesdrop",
        ];
        if !known.contains(&key) {
            return Err(invalid());
        }
        rule.insert(key.to_owned(), value.replace('\'', ""));
    }
    Ok(rule)
}

/// A signal, as far as rules look at it.
pub struct Signal<'a> {
    pub path: &'a str,
    pub interface: &'a str,
    pub member: &'a str,
    pub arg0: Option<&'a str>,
}

/// One connection.
pub struct Client {
    pub greeted: bool,
    pub rules: Vec<Rule>,
    out: UnboundedSender<Message>,
    cut: Arc<Notify>,
}

pub async fn accept(fake: Arc<Fake>, listener: UnixListener) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(serve(fake.clone(), stream));
    }
}

/// One task reads and writes, so that an answer needs no other task to wake.
async fn serve(fake: Arc<Fake>, stream: UnixStream) {
    let builder = Builder::unix_stream(stream).server(fake.guid.clone());
    let Ok(mut messages) = builder.expect("a valid guid").p2p().build_message_stream().await else {
        return;
    };
    let connection = zbus::Connection::from(&messages);
    let (out, mut queue) = unbounded_channel();
    let cut = Arc::new(Notify::new());
    let Some(client) = fake.with(|state| state.welcome(out, cut.clone())) else {
        return;
    };
    let talk = async {
        loop {
            tokio::select! {
                biased;
                Some(message) = queue.recv() => {
                    if connection.send(&message).await.is_err() {
                        break;
                    }
                }
                message = messages.next() => match message {
                    Some(Ok(message)) => fake.with(|state| state.receive(client, message)),
                    _ => break,
                },
            }
        }
    };
    // Cut even while the client does not read.
    tokio::select! {
        biased;
        () = cut.notified() => {}
        () = talk => {}
    }
    fake.with(|state| state.farewell(client));
}

impl State {
    pub fn open_bus(&mut self, accepting: AbortHandle) {
        self.accepting = Some(accepting);
    }

    pub fn close_bus(&mut self) {
        if let Some(accepting) = self.accepting.take() {
            accepting.abort();
        }
        // The clients first: a dead bus tells nobody anything.
        for client in std::mem::take(&mut self.clients).into_values() {
            client.cut.notify_one();
        }
        self.stop_daemon();
        self.names.clear();
    }

    pub fn number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    fn welcome(&mut self, out: UnboundedSender<Message>, cut: Arc<Notify>) -> Option<u64> {
        // The bus may have been killed while this one came in.
        self.accepting.as_ref()?;
        let number = self.number();
        let client = Client {
            greeted: false,
            rules: Vec::new(),
            out,
            cut,
        };
        self.clients.insert(number, client);
        Some(number)
    }

    fn farewell(&mut self, number: u64) {
        let Some(client) = self.clients.remove(&number) else {
            return;
        };
        let name = unique_name(number);
        let owned: Vec<String> = self
            .names
            .extract_if(.., |_, owner| *owner == name)
            .map(|n| n.0)
            .collect();
        for owned in owned {
            self.owner_changed(&owned, &name, "");
        }
        if client.greeted {
            self.owner_changed(&name, &name, "");
        }
        self.client_gone(number);
    }

    fn receive(&mut self, number: u64, message: Message) {
        let Some(client) = self.clients.get(&number) else {
            return;
        };
        if message.message_type() != Type::MethodCall {
            return;
        }
        let header = message.header();
        let to = header.destination().map_or(DBUS, |name| name.as_str());
        let text = |part: Option<&str>| part.unwrap_or_default().to_owned();
        let owner = self.names.get(BLUEZ).cloned();
        let daemon = owner.filter(|owner| to == BLUEZ || to == owner);
        let call = Call {
            client: number,
            path: text(header.path().map(|p| p.as_str())),
            interface: text(header.interface().map(|i| i.as_str())),
            member: text(header.member().map(|m| m.as_str())),
            sender: daemon.clone().unwrap_or_else(|| DBUS.to_owned()),
            out: client.out.clone(),
            message: message.clone(),
        };
        *self.calls.entry(call.member.clone()).or_default() += 1;
        let answer = if !client.greeted && call.member != "Hello" {
            Err(Fault::dbus("AccessDenied", "Say hello first"))
        } else if daemon.is_some() {
            self.bluez_method(&call)
        } else if to == DBUS {
            self.bus_method(&call)
        } else {
            let text = format!("The name {to} was not provided by any .service files");
            Err(Fault::dbus("ServiceUnknown", text))
        };
        match answer {
            Ok(Reply::Empty) => drop(call.ok(&())),
            Ok(Reply::Sent) => {}
            Err(fault) => call.fail(fault),
        }
    }

    fn bus_method(&mut self, call: &Call) -> Answer {
        let me = unique_name(call.client);
        let client = self.clients.get_mut(&call.client).expect("it is calling");
        match call.member.as_str() {
            "Hello" if client.greeted => Err(Fault::dbus("Failed", "Already handled an Hello message")),
            "Hello" => {
                client.greeted = true;
                let _ = call.ok(&me);
                self.name_acquired(call.client, &me);
                self.owner_changed(&me, "", &me);
                Ok(Reply::Sent)
            }
            "AddMatch" if client.rules.len() >= MAX_RULES => {
                let text = format!("Connection \"{me}\" is not allowed to add more match rules");
                Err(Fault::dbus("LimitsExceeded", text))
            }
            "AddMatch" => {
                client.rules.push(parse_rule(&call.args::<String>()?)?);
                Ok(Reply::Empty)
            }
            "RemoveMatch" => {
                let rule = parse_rule(&call.args::<String>()?)?;
                let found = client.rules.iter().rposition(|r| *r == rule);
                let missing = || {
                    let text = "The given match rule wasn't found and can't be removed";
                    Fault::dbus("MatchRuleNotFound", text)
                };
                client.rules.remove(found.ok_or_else(missing)?);
                Ok(Reply::Empty)
            }
            "RequestName" => {
                let (name, _flags) = call.args::<(String, u32)>()?;
                match self.owner(&name) {
                    Some(owner) if owner == me => call.ok(&4u32),
                    Some(_) => call.ok(&3u32),
                    None => {
                        self.names.insert(name.clone(), me.clone());
                        let _ = call.ok(&1u32);
                        self.name_acquired(call.client, &name);
                        self.owner_changed(&name, "", &me);
                        Ok(Reply::Sent)
                    }
                }
            }
            "ReleaseName" => {
                let name = call.args::<String>()?;
                match self.owner(&name) {
                    Some(owner) if owner == me => {
                        self.names.remove(&name);
                        self.owner_changed(&name, &me, "");
                        call.ok(&1u32)
                    }
                    Some(_) => call.ok(&3u32),
                    None => call.ok(&2u32),
                }
            }
            "GetNameOwner" => {
                let name = call.args::<String>()?;
                let missing = || {
                    let text = format!("Could not get owner of name '{name}': no such name");
                    Fault::dbus("NameHasNoOwner", text)
                };
                call.ok(&self.owner(&name).ok_or_else(missing)?)
            }
            "NameHasOwner" => call.ok(&self.owner(&call.args::<String>()?).is_some()),
            "ListNames" => {
                let greeted = self.clients.iter().filter(|(_, client)| client.greeted);
                let mut names: Vec<String> = greeted.map(|(number, _)| unique_name(*number)).collect();
                names.extend(self.names.get(BLUEZ).cloned());
                names.extend(self.names.keys().cloned());
                names.push(DBUS.to_owned());
                call.ok(&names)
            }
            "ListActivatableNames" => call.ok(&[DBUS].as_slice()),
            "StartServiceByName" => {
                let (name, _flags) = call.args::<(String, u32)>()?;
                let missing = || {
                    let text = format!("The name {name} was not provided by any .service files");
                    Fault::dbus("ServiceUnknown", text)
                };
                self.owner(&name).ok_or_else(missing)?;
                call.ok(&2u32)
            }
            "GetId" | "Ping" => call.ok(&()),
            other => Err(Fault::dbus(
                "UnknownMethod",
                format!("{DBUS} does not understand {other}"),
            )),
        }
    }

    /// The unique name behind a name.
    fn owner(&self, name: &str) -> Option<String> {
        let is_client = || {
            let number = name.strip_prefix(":1.")?.parse().ok()?;
            self.clients.get(&number).filter(|client| client.greeted)
        };
        let itself = name == DBUS || self.names.values().any(|owner| owner == name) || is_client().is_some();
        self.names
            .get(name)
            .cloned()
            .or_else(|| itself.then(|| name.to_owned()))
    }

    fn name_acquired(&self, client: u64, name: &str) {
        let signal = Message::signal("/org/freedesktop/DBus", DBUS, "NameAcquired")
            .and_then(|s| s.sender(DBUS)?.destination(unique_name(client))?.build(&name));
        if let Some(client) = self.clients.get(&client) {
            let _ = client.out.send(signal.expect("a valid message"));
        }
    }

    pub fn owner_changed(&mut self, name: &str, old: &str, new: &str) {
        let signal = Signal {
            path: "/org/freedesktop/DBus",
            interface: DBUS,
            member: "NameOwnerChanged",
            arg0: Some(name),
        };
        self.emit(DBUS, &signal, &(name, old, new));
    }

    /// Sends a signal to whom it fits, and says to how many that was.
    pub fn emit(&self, sender: &str, signal: &Signal, body: &(impl Serialize + DynamicType)) -> usize {
        let wanted = |client: &&Client| client.rules.iter().any(|rule| self.fits(rule, sender, signal));
        let wanted: Vec<&Client> = self.clients.values().filter(wanted).collect();
        if !wanted.is_empty() {
            let message = Message::signal(signal.path, signal.interface, signal.member)
                .and_then(|message| message.sender(sender)?.build(body))
                .expect("a valid message");
            for client in &wanted {
                let _ = client.out.send(message.clone());
            }
        }
        wanted.len()
    }

    fn fits(&self, rule: &Rule, sender: &str, signal: &Signal) -> bool {
        rule.iter().all(|(key, value)| match key.as_str() {
            "type" => value == "signal",
            "sender" => value == sender || self.names.get(value).is_some_and(|owner| owner == sender),
            "interface" => value == signal.interface,
            "member" => value == signal.member,
            "path" => value == signal.path,
            "path_namespace" => {
                let below = signal.path.strip_prefix(value.as_str());
                value == "/" || below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
            "arg0" => Some(value.as_str()) == signal.arg0,
            // Only signals for everybody come here.
            "destination" => false,
            _ => true,
        })
    }
}
