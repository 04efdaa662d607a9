// The network of the stand-in: POSIX sockets.

#include <Arduino.h>
#include <WiFi.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

HostWiFi WiFi;

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

int WiFiClient::connect(const char* host, uint16_t port) {
  stop();
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
  const int on = 1;
  setsockopt(_socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  return 1;
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
