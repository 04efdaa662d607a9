// Where gateways are, as they say on the network: a question for `_wsdm._tcp.local`, and what answers it (RFC 6762 and
// 6763).
//
// A gateway that is found this way is not proven to be one: anything on the network can answer, and the token is then
// sent to it. On a network that others are on, set the gateway's address.

#ifndef WSDM_SEARCH_H
#define WSDM_SEARCH_H

#include "WsdmSettings.h"

#ifdef WSDM_HAS_SETTINGS

#include <WiFiUdp.h>

// Whether a packet names a gateway, and where. `from` sent it: if a gateway has several addresses, the one from which
// it answered can be reached from here.
bool wsdmFindGateway(const uint8_t* packet, size_t length, const uint8_t (&from)[4], uint8_t (&address)[4],
                     uint16_t& port);

class WsdmSearch {
 public:
  // Asks once a second, and waits for nothing. Whether a gateway has answered; then it is at `host`, which has room for
  // 16 bytes, and `port`, and the search is over.
  bool find(uint32_t now, char* host, uint16_t& port);
  // Whether three questions have had no answer in three seconds: true once a search, which goes on asking.
  bool takeUnanswered();
  // Gives it up.
  void end();

 private:
  void ask(uint32_t now);

  WiFiUDP _udp;
  bool _isOpen = false;
  uint32_t _asked = 0;
  // Up to the first one behind those that may go unanswered.
  uint8_t _questions = 0;
  bool _isReported = false;
};

#endif

#endif
