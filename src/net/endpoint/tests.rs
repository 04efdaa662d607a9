use proptest::prelude::*;

use super::*;

const KIND: UrlDefaults = UrlDefaults {
    transport: Some(Transport::Websocket),
    ws_port: Some(81),
    ws_path: Some("/ws"),
    tcp_port: None,
    udp_port: Some(8_000),
};

#[test]
fn a_url_says_where_and_how() {
    let plain = UrlDefaults::default();
    for (text, defaults, wanted) in [
        ("ws://192.168.1.31", plain, "ws://192.168.1.31:80"),
        ("WS://board.local:81/ws", plain, "ws://board.local:81/ws"),
        ("wss://board/ws?token=a", plain, "wss://board:443/ws"),
        ("tcp://192.168.1.31:8000", plain, "tcp://192.168.1.31:8000"),
        ("tcp://[fe80::1]:8000/", plain, "tcp://[fe80::1]:8000"),
        (" udp://board:8000 ", plain, "udp://board:8000"),
        ("mdns:_tcode._udp", plain, "mdns:_tcode._udp"),
        ("MDNS://_tcode._tcp.local.", plain, "mdns:_tcode._tcp"),
        (
            "mdns:my v1.2 board._ws._tcp",
            plain,
            "mdns:my v1.2 board._ws._tcp",
        ),
        ("board", KIND, "ws://board:81/ws"),
        ("board:7/other", KIND, "ws://board:7/other"),
        ("ws://board/", KIND, "ws://board:81"),
        ("udp://board", KIND, "udp://board:8000"),
        ("udp://board:9", KIND, "udp://board:9"),
        ("ws://[::1]", KIND, "ws://[::1]:81/ws"),
    ] {
        let shown = Endpoint::parse(text, &defaults).map(|endpoint| endpoint.to_string());
        assert_eq!(shown, Ok(wanted.to_owned()), "{text}");
    }
    let secret = Endpoint::parse("wss://board/ws?token=a", &plain);
    assert!(matches!(secret, Ok(Endpoint::Websocket(target)) if target.url().ends_with("/ws?token=a")));
}

#[test]
fn a_service_tells_how_its_boards_are_spoken_to() {
    for (text, wanted) in [
        ("mdns:_tcode._udp", Transport::Udp),
        ("mdns:_tcode._tcp", Transport::Tcp),
        ("mdns:_ws._tcp", Transport::Websocket),
        ("mdns:_wsdm-device._tcp", Transport::Websocket),
        ("mdns:_https._tcp", Transport::SecureWebsocket),
    ] {
        let found = Endpoint::parse(text, &UrlDefaults::default()).map(|e| e.transport());
        assert_eq!(found, Ok(wanted), "{text}");
    }
}

#[test]
fn what_is_wrong_is_named_with_what_to_do() {
    for (text, problem, hint) in [
        ("board:8000", "not the address", "tcp://HOST:PORT"),
        ("http://board", "not the address", "ws://HOST"),
        ("tcp://board", "names no port", "its log"),
        ("udp://board", "names no port", "8000"),
        ("tcp://board:0", "\"0\" is not a port", "behind the host"),
        ("tcp://board:99999", "not a port", "behind the host"),
        ("tcp://board:", "\"\" is not a port", "behind the host"),
        ("tcp://board:8000/ws", "\"/ws\" is a path", "write ws://"),
        ("udp://board:8000?a", "\"?a\" is a path", "leave the path out"),
        ("tcp://:8000", "names no host", "IP address"),
        ("ws://", "names no host", "IP address"),
        ("ws://a b/", "names no host", "IP address"),
        ("ws://me:secret@board", "before the host", "@"),
        ("ws://board/a b", "not the path", "without spaces"),
        ("ws://board/#x", "not the path", "without spaces"),
        ("mdns:", "not the name of a service", "_tcode._udp"),
        ("mdns:tcode", "not the name of a service", "_tcode._udp"),
        ("mdns:tcode._tcp", "not the name of a service", "_tcode._udp"),
        ("mdns:_tcode._sctp", "not the name of a service", "_tcode._udp"),
        ("mdns:._tcode._tcp", "not the name of a service", "_tcode._udp"),
    ] {
        let error = Endpoint::parse(text, &UrlDefaults::default()).expect_err(text);
        let said = error.with_hint();
        assert!(said.contains(problem) && said.contains(hint), "{text}: {said}");
        assert!(!said.contains("secret"), "{said}");
    }
}

proptest! {
    /// What is shown of an endpoint leads there again.
    #[test]
    fn what_is_shown_can_be_written(
        transport in prop_oneof![
            Just(Transport::Websocket),
            Just(Transport::SecureWebsocket),
            Just(Transport::Tcp),
            Just(Transport::Udp),
        ],
        host in "[a-z][a-z0-9-]{0,8}(\\.local)?|10\\.0\\.0\\.[1-9]|fe80::[1-9]",
        port in 1_u16..,
        path in "/[a-z]{0,5}",
    ) {
        let found = Endpoint::found(transport, host, port, &path);
        let again = Endpoint::parse(&found.to_string(), &UrlDefaults::default());
        prop_assert_eq!(again, Ok(found));
    }

    #[test]
    fn no_text_is_too_strange(text in "\\PC{0,40}", scheme in "(ws|wss|tcp|udp|mdns)?:?(//)?") {
        let _ = Endpoint::parse(&format!("{scheme}{text}"), &KIND);
    }
}
