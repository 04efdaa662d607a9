//! The objects that clients see, and what can be asked of each.

use std::collections::{BTreeSet, HashMap};

use zbus::zvariant::{OwnedObjectPath, OwnedValue};

use super::Write;
use super::bus::{Answer, Call, Fault, Reply, in_progress, not_connected, not_ready, not_supported};
use super::daemon::{
    ADAPTER, CHARACTERISTIC, DEVICE, MANAGER, PROPERTIES, Properties, SERVICE, State, Todo, adapter_path,
    object,
};
use super::device::HANDLES;

/// What a path names, whether it is there or not.
pub enum Node {
    Root,
    Adapter(String),
    Device(usize, String),
    Service(usize, String, usize),
    Characteristic(usize, String, (usize, usize)),
}

impl State {
    pub fn node(&self, path: &str) -> Option<Node> {
        let mut parts = path.strip_prefix('/')?.split('/');
        if path == "/" {
            return Some(Node::Root);
        }
        if (parts.next(), parts.next()) != (Some("org"), Some("bluez")) {
            return None;
        }
        let adapter = parts.next()?.to_owned();
        self.adapters.get(&adapter)?;
        let Some(device) = parts.next() else {
            return Some(Node::Adapter(adapter));
        };
        let address = device.strip_prefix("dev_")?.replace('_', ":");
        let board = self.boards.iter().position(|d| d.peripheral.address == address)?;
        let Some(service) = parts.next() else {
            return Some(Node::Device(board, adapter));
        };
        let handle = usize::from_str_radix(service.strip_prefix("service")?, 16).ok()?;
        let service = handle.checked_sub(0x10)? / HANDLES;
        let characteristics = &self.boards[board]
            .peripheral
            .services
            .get(service)?
            .characteristics;
        let Some(characteristic) = parts.next() else {
            return Some(Node::Service(board, adapter, service));
        };
        let handle = usize::from_str_radix(characteristic.strip_prefix("char")?, 16).ok()?;
        let at = handle.checked_sub(0x11 + service * HANDLES)? / 2;
        characteristics.get(at)?;
        Some(Node::Characteristic(board, adapter, (service, at)))
    }

    /// Every object's path.
    fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        for name in self.adapters.keys() {
            paths.push(adapter_path(name));
            for (board, device) in self.boards.iter().enumerate() {
                if device.known.contains_key(name) {
                    paths.push(device.path(name));
                }
                if device.linked(name).is_some_and(|link| link.resolved) {
                    paths.extend(self.attributes(board, name).into_iter().map(|(path, _)| path));
                }
            }
        }
        paths
    }

    /// The interface of an object and its properties, if it is there.
    pub fn interface(&self, node: &Node) -> Option<(&'static str, Properties)> {
        let resolved = |board: &usize, adapter: &str| {
            let device = &self.boards[*board];
            device
                .linked(adapter)
                .is_some_and(|link| link.resolved)
                .then_some(device)
        };
        match node {
            Node::Root => None,
            Node::Adapter(name) => Some((ADAPTER, self.adapters[name].properties(name))),
            Node::Device(board, adapter) => Some((DEVICE, self.boards[*board].properties(adapter)?)),
            Node::Service(board, adapter, service) => {
                let device = resolved(board, adapter)?;
                let properties = [
                    ("Device", object(device.path(adapter)).into()),
                    ("Primary", true.into()),
                    ("UUID", device.peripheral.services[*service].uuid.clone().into()),
                ];
                Some((SERVICE, properties.into()))
            }
            Node::Characteristic(board, adapter, at) => {
                let device = resolved(board, adapter)?;
                let characteristic = device.characteristic(*at);
                let notifying = device.link.as_ref()?.subscribers.contains_key(at);
                let properties = [
                    ("Flags", characteristic.flags.clone().into()),
                    ("MTU", device.peripheral.mtu.into()),
                    ("Notifying", notifying.into()),
                    ("Service", object(device.service_path(adapter, at.0)).into()),
                    ("UUID", characteristic.uuid.clone().into()),
                ];
                Some((CHARACTERISTIC, properties.into()))
            }
        }
    }

    pub fn bluez_method(&mut self, call: &Call) -> Answer {
        let unknown = || {
            let (member, interface) = (&call.member, &call.interface);
            let text = format!("Method \"{member}\" on interface \"{interface}\" doesn't exist");
            Err(Fault::dbus("UnknownMethod", text))
        };
        match call.interface.as_str() {
            "org.freedesktop.DBus.Introspectable" => return call.ok(&self.introspection(&call.path)),
            "org.freedesktop.DBus.Peer" => return Ok(Reply::Empty),
            _ => {}
        }
        let node = self.node(&call.path);
        // Before the question whether it is there: a write after a link was lost has an answer of its own.
        if let Some(Node::Characteristic(board, adapter, at)) = &node
            && call.interface == CHARACTERISTIC
        {
            return self.characteristic_method(*board, adapter, *at, call);
        }
        let there = node.filter(|node| matches!(node, Node::Root) || self.interface(node).is_some());
        let Some(node) = there else {
            return Err(Fault::dbus(
                "UnknownObject",
                format!("{} is not there", call.path),
            ));
        };
        match (call.interface.as_str(), &node) {
            (PROPERTIES, node) => self.properties_method(node, call),
            (MANAGER, Node::Root) if call.member == "GetManagedObjects" => {
                let objects = self.paths().into_iter().map(|path| {
                    let interface = self.node(&path).and_then(|node| self.interface(&node));
                    (object(path), interface.into_iter().collect::<HashMap<_, _>>())
                });
                call.ok(&objects.collect::<HashMap<_, _>>())
            }
            (ADAPTER, Node::Adapter(name)) => self.adapter_method(name, call),
            (DEVICE, Node::Device(board, adapter)) => match call.member.as_str() {
                "Connect" => self.connect(*board, adapter, call),
                "Disconnect" if self.abort_connect(*board, Some(adapter)) => Ok(Reply::Empty),
                "Disconnect" if self.boards[*board].linked(adapter).is_some() => {
                    self.drop_link(*board);
                    Ok(Reply::Empty)
                }
                "Disconnect" => Err(Fault::bluez("NotConnected", "Not Connected")),
                "Pair" => self.pair(*board, adapter),
                "CancelPairing" => Err(Fault::bluez("DoesNotExist", "Does Not Exist")),
                _ => unknown(),
            },
            _ => unknown(),
        }
    }

    fn introspection(&self, path: &str) -> String {
        let prefix = format!("{}/", path.trim_end_matches('/'));
        let paths = self.paths();
        let below = paths
            .iter()
            .filter_map(|path| path.strip_prefix(&prefix)?.split('/').next());
        let nodes = below.collect::<BTreeSet<_>>().into_iter();
        let nodes: String = nodes.map(|name| format!("<node name=\"{name}\"/>")).collect();
        let interface = self.node(path).and_then(|node| self.interface(&node));
        let interface = interface.map(|(name, _)| format!("<interface name=\"{name}\"></interface>"));
        format!("<node>{}{nodes}</node>", interface.unwrap_or_default())
    }

    fn properties_method(&mut self, node: &Node, call: &Call) -> Answer {
        let (name, mut properties) = self.interface(node).unwrap_or_default();
        let no_property = |name: &str| {
            let text = format!("No such property '{name}'");
            Fault::dbus("InvalidArgs", text)
        };
        let check = |interface: &str| match interface == name {
            true => Ok(()),
            false => Err(Fault::dbus(
                "InvalidArgs",
                format!("No such interface '{interface}'"),
            )),
        };
        match call.member.as_str() {
            "GetAll" => {
                check(&call.args::<String>()?)?;
                call.ok(&properties)
            }
            "Get" => {
                let (interface, property) = call.args::<(String, String)>()?;
                check(&interface)?;
                call.ok(&properties
                    .remove(property.as_str())
                    .ok_or_else(|| no_property(&property))?)
            }
            "Set" => {
                let (interface, property, value) = call.args::<(String, String, OwnedValue)>()?;
                check(&interface)?;
                match (node, property.as_str(), bool::try_from(value)) {
                    (Node::Adapter(name), "Powered", Ok(powered)) => self.set_powered(name, powered)?,
                    (Node::Device(..), "Trusted", Ok(_)) => {}
                    _ => return Err(no_property(&property)),
                }
                Ok(Reply::Empty)
            }
            other => Err(Fault::dbus(
                "UnknownMethod",
                format!("{PROPERTIES} has no {other}"),
            )),
        }
    }

    fn adapter_method(&mut self, name: &str, call: &Call) -> Answer {
        let adapter = self.adapters.get_mut(name).expect("it was found");
        match call.member.as_str() {
            "SetDiscoveryFilter" | "StartDiscovery" | "StopDiscovery" if !adapter.powered => Err(not_ready()),
            "SetDiscoveryFilter" => {
                let mut filter = call.args::<HashMap<String, OwnedValue>>()?;
                let uuids = filter
                    .remove("UUIDs")
                    .and_then(|uuids| Vec::<String>::try_from(uuids).ok());
                match uuids.filter(|uuids| !uuids.is_empty()) {
                    Some(uuids) => drop(adapter.filters.insert(call.client, uuids)),
                    None => drop(adapter.filters.remove(&call.client)),
                }
                Ok(Reply::Empty)
            }
            "StartDiscovery" if self.discovery_failures > 0 => {
                self.discovery_failures -= 1;
                Err(not_ready())
            }
            "StartDiscovery" => {
                let first = adapter.sessions.is_empty();
                if !adapter.sessions.insert(call.client) {
                    return Err(in_progress());
                }
                if first {
                    self.adapter_changed(name, [("Discovering", true.into())].into());
                }
                Ok(Reply::Empty)
            }
            "StopDiscovery" if self.end_session(name, call.client) => Ok(Reply::Empty),
            "StopDiscovery" => Err(Fault::bluez("Failed", "No discovery started")),
            "RemoveDevice" => {
                let path = call.args::<OwnedObjectPath>()?;
                match self.node(&path) {
                    Some(Node::Device(board, adapter)) if adapter == name => self.forget(board, name),
                    _ => return Err(Fault::bluez("DoesNotExist", "Does Not Exist")),
                }
                Ok(Reply::Empty)
            }
            other => Err(Fault::dbus("UnknownMethod", format!("{ADAPTER} has no {other}"))),
        }
    }

    fn pair(&mut self, board: usize, adapter: &str) -> Answer {
        if self.boards[board].paired {
            return Err(Fault::bluez("AlreadyExists", "Already Exists"));
        }
        if self.boards[board].linked(adapter).is_none() {
            if !self.boards[board].advertising {
                return Err(Fault::bluez("ConnectionAttemptFailed", "Page Timeout"));
            }
            self.link(board, adapter, None);
        }
        self.boards[board].paired = true;
        let properties = [("Paired", true.into()), ("Bonded", true.into())];
        self.device_changed(board, adapter, properties.into(), &[]);
        Ok(Reply::Empty)
    }

    fn characteristic_method(
        &mut self,
        board: usize,
        adapter: &str,
        at: (usize, usize),
        call: &Call,
    ) -> Answer {
        let device = &mut self.boards[board];
        if !device.linked(adapter).is_some_and(|link| link.resolved) {
            return Err(not_connected());
        }
        let flags = device.characteristic(at).flags.clone();
        let has = |flag| flags.contains(&flag);
        if device.needs_pairing && !device.paired {
            return Err(Fault::bluez("NotPermitted", "Not paired"));
        }
        let path = device.characteristic_path(adapter, at);
        match call.member.as_str() {
            "StartNotify" if !has("notify") && !has("indicate") => Err(not_supported()),
            "StartNotify" => {
                let link = device.link.as_mut().expect("it was looked at");
                let subscribers = link.subscribers.entry(at).or_default();
                let first = subscribers.is_empty();
                subscribers.insert(call.client);
                if first {
                    self.changed(&path, CHARACTERISTIC, [("Notifying", true.into())].into(), &[]);
                }
                Ok(Reply::Empty)
            }
            "StopNotify" => match self.unsubscribe(board, at, call.client) {
                true => Ok(Reply::Empty),
                false => Err(Fault::bluez("Failed", "No notify session started")),
            },
            "ReadValue" if !has("read") => Err(not_supported()),
            "ReadValue" => {
                let value = device.characteristic(at).value.clone();
                // What is read is told to everybody, like a notification.
                self.changed(
                    &path,
                    CHARACTERISTIC,
                    [("Value", value.clone().into())].into(),
                    &[],
                );
                call.ok(&value)
            }
            "WriteValue" => self.write(board, at, call, &flags),
            other => Err(Fault::dbus(
                "UnknownMethod",
                format!("{CHARACTERISTIC} has no {other}"),
            )),
        }
    }

    fn write(&mut self, board: usize, at: (usize, usize), call: &Call, flags: &[&str]) -> Answer {
        let (value, mut options) = call.args::<(Vec<u8>, HashMap<String, OwnedValue>)>()?;
        let kind = options
            .remove("type")
            .and_then(|kind| String::try_from(kind).ok());
        let kind = kind.unwrap_or_else(|| {
            let kind = if flags.contains(&"write") {
                "request"
            } else {
                "command"
            };
            kind.to_owned()
        });
        let needed = match kind.as_str() {
            "request" => "write",
            "command" => "write-without-response",
            _ => "reliable-write",
        };
        let id = self.number();
        let device = &mut self.boards[board];
        let link = device.link.as_mut().expect("it was looked at");
        if !flags.contains(&needed) {
            return Err(not_supported());
        }
        if value.len() + 3 > usize::from(device.peripheral.mtu) {
            device.too_long += 1;
            return Err(Fault::bluez("InvalidValueLength", "Invalid Length"));
        }
        if kind == "request" && link.requests.iter().any(|(_, busy, _)| *busy == at) {
            device.overlapping += 1;
            return Err(in_progress());
        }
        if device.busy_writes > 0 {
            device.busy_writes -= 1;
            return Err(in_progress());
        }
        if device.fails_writes {
            return Err(Fault::bluez("Failed", "Operation failed with ATT error: 0x0e"));
        }
        if kind == "request" && !device.write_delay.is_zero() {
            link.requests.push((id, at, call.clone()));
            let delay = device.write_delay;
            self.later(delay, move |state| {
                let link = state.boards.get_mut(board).and_then(|d| d.link.as_mut());
                let done = link.and_then(|link| link.requests.extract_if(.., |r| r.0 == id).next());
                if let Some((.., call)) = done {
                    let _ = call.ok(&());
                }
            });
        } else {
            let _ = call.ok(&());
        }
        let device = &mut self.boards[board];
        if let Some(answer) = device.on_write.clone() {
            self.todo.push(Todo::Answer(board, answer, value.clone()));
        }
        let characteristic = device.characteristic(at).uuid.clone();
        device.heard.push_back(Write {
            characteristic,
            value,
            kind,
        });
        Ok(Reply::Sent)
    }
}
