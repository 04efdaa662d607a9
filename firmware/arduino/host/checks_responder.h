// What hears the questions of a search in the checks, in the place of a network; not in a simulator, which has none.
#pragma once

#include <WiFiUdp.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "checks_settings.h"

class Responder {
 public:
  Responder() {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    sockaddr* const at = reinterpret_cast<sockaddr*>(&address);
    const bool listens = bind(_socket, at, size) == 0 && getsockname(_socket, at, &size) == 0;
    expect("a port for questions", listens, 1);
    WiFiUDP::hostPort = ntohs(address.sin_port);
  }
  ~Responder() {
    close(_socket);
    WiFiUDP::hostPort = 0;
  }
  // How many came since it was last called.
  int questions() {
    int count = 0;
    uint8_t bytes[512];
    socklen_t size = sizeof(_asker);
    sockaddr* const asker = reinterpret_cast<sockaddr*>(&_asker);
    while (recvfrom(_socket, bytes, sizeof(bytes), MSG_DONTWAIT, asker, &size) > 0) count++;
    return count;
  }
  // To the last of them.
  void answer(const std::string& packet) {
    const sockaddr* const asker = reinterpret_cast<const sockaddr*>(&_asker);
    const ssize_t sent = sendto(_socket, packet.data(), packet.size(), 0, asker, sizeof(_asker));
    expect("an answer", sent, packet.size());
  }

 private:
  const int _socket = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_in _asker = {};
};

// The answer of a gateway at 127.0.0.1:1, where nobody takes a connection, at once.
std::string gatewaysAnswer();
