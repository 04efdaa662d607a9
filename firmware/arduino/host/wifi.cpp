// The network of the stand-in: POSIX sockets, and a radio whose networks are told.

#include <Arduino.h>
#include <WiFi.h>
#include <WiFiUdp.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <vector>

HostWiFi WiFi;
HostEsp ESP;

// How long it takes to join a network, to leave it, and to look for all of them.
static const uint32_t JOIN_MS = 100, LEAVE_MS = 20, SCAN_MS = 100;

struct Network {
  std::string ssid, password;
  int strength;
};

static std::vector<Network> networks() {
  std::vector<Network> found;
  const char* at = getenv("WSDM_HOST_WIFI");
  while (at && *at) {
    const std::string line(at, strcspn(at, "\n"));
    const size_t first = line.find('\t'), second = line.find('\t', first + 1);
    found.push_back({line.substr(0, first), line.substr(first + 1, second - first - 1), atoi(line.c_str() + second + 1)});
    at += line.size();
    if (*at) at++;
  }
  return found;
}

wl_status_t HostWiFi::begin(const char* ssid, const char* password) {
  hostBegun++;
  hostSsid = ssid;
  _scan = _scan == SCANNING ? FAILED : _scan;
  _since = millis();
  _isChanging = true;
  _next = WL_NO_SSID_AVAIL;
  if (!getenv("WSDM_HOST_WIFI")) {
    // At once: so the checks need not wait.
    _next = WL_CONNECTED;
    _since -= JOIN_MS;
  }
  for (const auto& network : networks()) {
    if (network.ssid != ssid) continue;
#if defined(ARDUINO_ARCH_ESP8266)
    const wl_status_t refused = WL_WRONG_PASSWORD;
#else
    const wl_status_t refused = WL_CONNECT_FAILED;
#endif
    _next = network.password == (password ? password : "") ? WL_CONNECTED : refused;
  }
  return status();
}

bool HostWiFi::disconnect() {
  if (status() != WL_CONNECTED) _status = WL_DISCONNECTED;
  _isChanging = true;
  _next = WL_DISCONNECTED;
  _since = millis();
  return true;
}

wl_status_t HostWiFi::status() {
  const uint32_t takes = _next == WL_DISCONNECTED ? LEAVE_MS : JOIN_MS;
  if (_isChanging && millis() - _since >= takes) {
    _isChanging = false;
    _status = _next;
    // ASSOC_LEAVE, NO_AP_FOUND, 4WAY_HANDSHAKE_TIMEOUT.
    if (_status == WL_DISCONNECTED) hostReason(8);
    if (_status == WL_NO_SSID_AVAIL) hostReason(201);
    if (_status == WL_CONNECT_FAILED) hostReason(15);
  }
  return _status;
}

void HostWiFi::hostReason(uint8_t reason) {
#if defined(ARDUINO_ARCH_ESP8266)
  (void)reason;
#else
  arduino_event_info_t info;
  info.wifi_sta_disconnected.reason = reason;
  if (_handler) _handler(ARDUINO_EVENT_WIFI_STA_DISCONNECTED, info);
#endif
}

void HostWiFi::hostLose(wl_status_t status) {
  _isChanging = false;
  _status = status;
}

int HostWiFi::scanNetworks(bool isAsync) {
  if (!isAsync) abort();
  _scanned = millis();
  status();
  // A radio that is joining a network does not scan.
  _scan = _isChanging && _next != WL_DISCONNECTED ? FAILED : SCANNING;
  return scanComplete();
}

int HostWiFi::scanComplete() {
  if (_scan != SCANNING) return WIFI_SCAN_FAILED;
  return millis() - _scanned < SCAN_MS ? WIFI_SCAN_RUNNING : static_cast<int>(networks().size());
}

String HostWiFi::SSID(int network) { return networks().at(network).ssid; }
int HostWiFi::RSSI(int network) { return networks().at(network).strength; }

int HostWiFi::encryptionType(int network) {
  const bool isOpen = networks().at(network).password.empty();
#if defined(ARDUINO_ARCH_ESP8266)
  return isOpen ? ENC_TYPE_NONE : ENC_TYPE_CCMP;
#else
  return isOpen ? WIFI_AUTH_OPEN : WIFI_AUTH_WPA2_PSK;
#endif
}

// The end of the address is the process's, so that several of them are several devices; WSDM_HOST_MAC sets all of it.
uint8_t* HostWiFi::macAddress(uint8_t* mac) {
  const unsigned pid = getpid();
  const uint8_t own[6] = {0x02, 0x00, 0x5E, static_cast<uint8_t>(pid >> 16), static_cast<uint8_t>(pid >> 8),
                          static_cast<uint8_t>(pid)};
  memcpy(mac, own, 6);
  if (const char* text = getenv("WSDM_HOST_MAC")) {
    for (int i = 0; i < 6 && sscanf(text + 2 * i, "%2hhx", &mac[i]) == 1; i++) {
    }
  }
  return mac;
}

uint64_t HostEsp::getEfuseMac() {
  uint64_t mac = 0;
  WiFi.macAddress(reinterpret_cast<uint8_t*>(&mac));
  return mac;
}

void HostEsp::restart() {
  hostRestarted++;
  if (hostStays) return;
  fflush(stdout);
  char name[] = "sketch";
  char* arguments[] = {name, nullptr};
  execv("/proc/self/exe", arguments);
  abort();
}

uint16_t WiFiUDP::hostPort = 0;

uint8_t WiFiUDP::begin(uint16_t port) {
  stop();
  _socket = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  if (_socket >= 0 && bind(_socket, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0) return 1;
  stop();
  return 0;
}

void WiFiUDP::stop() {
  if (_socket >= 0) close(_socket);
  _socket = -1;
  _inNext = _inEnd = _outLength = 0;
}

int WiFiUDP::beginPacket(IPAddress to, uint16_t port) {
  _to = to;
  _toPort = port;
  _outLength = 0;
  return _socket >= 0;
}

size_t WiFiUDP::write(const uint8_t* bytes, size_t size) {
  if (size > sizeof(_out) - _outLength) return 0;
  memcpy(_out + _outLength, bytes, size);
  _outLength += size;
  return size;
}

int WiFiUDP::endPacket() {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(_toPort);
  for (int i = 0; i < 4; i++) reinterpret_cast<uint8_t*>(&address.sin_addr)[i] = _to[i];
  if (hostPort) {
    address.sin_port = htons(hostPort);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  }
  const ssize_t sent =
      sendto(_socket, _out, _outLength, 0, reinterpret_cast<sockaddr*>(&address), sizeof(address));
  return sent == static_cast<ssize_t>(_outLength);
}

int WiFiUDP::parsePacket() {
  if (_socket < 0 || _inNext < _inEnd) return 0;
  sockaddr_in from = {};
  socklen_t size = sizeof(from);
  const ssize_t got = recvfrom(_socket, _in, sizeof(_in), MSG_DONTWAIT, reinterpret_cast<sockaddr*>(&from), &size);
  if (got <= 0) return 0;
  const uint8_t* const bytes = reinterpret_cast<uint8_t*>(&from.sin_addr);
  _from = IPAddress(bytes[0], bytes[1], bytes[2], bytes[3]);
  _inNext = 0;
  _inEnd = got;
  return got;
}

int WiFiUDP::read(uint8_t* bytes, size_t size) {
  const size_t left = _inEnd - _inNext, count = size < left ? size : left;
  memcpy(bytes, _in + _inNext, count);
  _inNext += count;
  return count;
}

bool WiFiClient::hostHasNagle = false;

int WiFiClient::connect(const char* host, uint16_t port) {
  stop();
  hostHasNagle = true;
  char service[8];
  snprintf(service, sizeof(service), "%u", port);
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(host, service, &hints, &found) != 0) return 0;
  for (addrinfo* at = found; at && _socket < 0; at = at->ai_next) {
    const int socket = ::socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC, at->ai_protocol);
    if (socket >= 0 && ::connect(socket, at->ai_addr, at->ai_addrlen) == 0) {
      _socket = socket;
    } else if (socket >= 0) {
      close(socket);
    }
  }
  freeaddrinfo(found);
  if (_socket < 0) return 0;
  return 1;
}

int WiFiClient::setNoDelay(bool isOn) {
  const int on = isOn;
  const int failed = setsockopt(_socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  if (!failed) hostHasNagle = !isOn;
  return failed;
}

size_t WiFiClient::write(const uint8_t* bytes, size_t size) {
  size_t written = 0;
  while (_socket >= 0 && written < size) {
    const ssize_t sent = send(_socket, bytes + written, size - written, MSG_NOSIGNAL);
    if (sent > 0) {
      written += sent;
    } else if (errno != EINTR) {
      break;
    }
  }
  return written;
}

int WiFiClient::available() {
  int waiting = 0;
  if (_socket < 0 || ioctl(_socket, FIONREAD, &waiting) != 0) return 0;
  return waiting;
}

int WiFiClient::read(uint8_t* bytes, size_t size) {
  if (available() <= 0) return -1;
  return recv(_socket, bytes, size, MSG_DONTWAIT);
}

int WiFiClient::read() {
  uint8_t byte = 0;
  return read(&byte, 1) == 1 ? byte : -1;
}

int WiFiClient::peek() {
  uint8_t byte = 0;
  if (available() <= 0) return -1;
  return recv(_socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1 ? byte : -1;
}

void WiFiClient::stop() {
  if (_socket >= 0) close(_socket);
  _socket = -1;
}

uint8_t WiFiClient::connected() {
  if (_socket < 0) return 0;
  uint8_t byte = 0;
  const ssize_t got = recv(_socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return got > 0 || (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR));
}
