#include "WsdmSearch.h"

#ifdef WSDM_HAS_SETTINGS

#include <string.h>

static const uint16_t MDNS_PORT = 5353;
// Between two questions. Wi-Fi loses some.
static const uint16_t AGAIN_MS = 1000;
// So many that had no answer are worth a word.
static const uint8_t QUESTIONS = 3;
// The question: who offers the service? The top bit of its class asks that the answer go to the asker alone, as does a
// port other than that of mDNS, since many access points lose what is for everybody.
static const uint8_t QUERY[] = "\0\0\0\0\0\x01\0\0\0\0\0\0\x05_wsdm\x04_tcp\x05local\0\0\x0c\x80\x01";
// A gateway's answer takes about half of it. What is cut off is not looked at.
static const size_t PACKET_MAX = 512;

static const size_t HEADER_BYTES = 12;
static const uint16_t TYPE_A = 1, TYPE_SRV = 33, CLASS_IN = 1;
// Beside the class: the record replaces what was known. It replaces nothing here.
static const uint16_t CACHE_FLUSH = 0x8000;
// More labels than a name can have: it has 255 bytes at most.
static const uint8_t LABELS_MAX = 128;
static const uint8_t RECORDS_MAX = 32;

namespace {

struct Packet {
  const uint8_t* bytes;
  size_t length;

  bool has(size_t at, size_t count) const { return at <= length && count <= length - at; }
  uint16_t number(size_t at) const { return bytes[at] << 8 | bytes[at + 1]; }
};

struct Record {
  // Where its name begins, its data, and what comes behind it.
  size_t name, data, next;
  uint16_t type, size;
  // It is of the Internet, and does not say goodbye.
  bool counts;
};

// The labels of a name, one after the other.
class Labels {
 public:
  enum Next : uint8_t { LABEL, END, BROKEN };

  Labels(const Packet& packet, size_t at) : _packet(packet), _at(at), _before(at) {}

  Next next() {
    while (_packet.has(_at, 1)) {
      const uint8_t length = _packet.bytes[_at];
      if (length == 0) return END;
      if (length < 64) {
        if (!_packet.has(_at + 1, length) || ++_count > LABELS_MAX) return BROKEN;
        label = _packet.bytes + _at + 1;
        size = length;
        _at += 1 + length;
        return LABEL;
      }
      if (length < 0xC0 || !_packet.has(_at, 2)) return BROKEN;
      // Pointers go back, and only back: none of them leads in a circle.
      const size_t to = _packet.number(_at) & 0x3FFF;
      if (to >= _before) return BROKEN;
      _at = _before = to;
    }
    return BROKEN;
  }

  const uint8_t* label = nullptr;
  uint8_t size = 0;

 private:
  const Packet& _packet;
  size_t _at;
  size_t _before;
  uint8_t _count = 0;
};

}  // namespace

static bool isSame(const uint8_t* one, const uint8_t* other, uint8_t size) {
  return strncasecmp(reinterpret_cast<const char*>(one), reinterpret_cast<const char*>(other), size) == 0;
}

static bool isSameName(const Packet& packet, size_t oneAt, size_t otherAt) {
  Labels one(packet, oneAt), other(packet, otherAt);
  for (;;) {
    const Labels::Next next = one.next();
    if (next == Labels::BROKEN || other.next() != next) return false;
    if (next == Labels::END) return true;
    if (one.size != other.size || !isSame(one.label, other.label, one.size)) return false;
  }
}

// Whether the name at this place is that of one who offers the service.
static bool isOfService(const Packet& packet, size_t at) {
  Labels labels(packet, at);
  if (labels.next() != Labels::LABEL) return false;
  static const char* const SERVICE[] = {"_wsdm", "_tcp", "local"};
  for (const char* wanted : SERVICE) {
    if (labels.next() != Labels::LABEL || labels.size != strlen(wanted)) return false;
    if (!isSame(labels.label, reinterpret_cast<const uint8_t*>(wanted), labels.size)) return false;
  }
  return labels.next() == Labels::END;
}

// Moves `at` behind the name there.
static bool skipName(const Packet& packet, size_t& at) {
  while (packet.has(at, 1)) {
    const uint8_t length = packet.bytes[at];
    if (length >= 64 && length < 0xC0) return false;
    at += length >= 0xC0 ? 2 : 1 + length;
    // The rest of a pointer is elsewhere.
    if (length == 0 || length >= 0xC0) return true;
  }
  return false;
}

static bool readRecord(const Packet& packet, size_t at, Record& record) {
  record.name = at;
  if (!skipName(packet, at) || !packet.has(at, 10)) return false;
  record.type = packet.number(at);
  record.size = packet.number(at + 8);
  record.data = at + 10;
  record.next = record.data + record.size;
  const bool stays = packet.number(at + 4) != 0 || packet.number(at + 6) != 0;
  record.counts = stays && (packet.number(at + 2) & ~CACHE_FLUSH) == CLASS_IN;
  return packet.has(record.data, record.size);
}

// Which address the host of that name has.
static void findAddress(const Packet& packet, size_t at, size_t host, const uint8_t (&from)[4], uint8_t (&address)[4]) {
  memcpy(address, from, 4);
  bool isFirst = true;
  Record record;
  for (uint8_t i = 0; i < RECORDS_MAX && readRecord(packet, at, record); i++, at = record.next) {
    if (!record.counts || record.type != TYPE_A || record.size < 4 || !isSameName(packet, record.name, host)) continue;
    const uint8_t* const found = packet.bytes + record.data;
    if (isFirst || memcmp(found, from, 4) == 0) memcpy(address, found, 4);
    isFirst = false;
  }
}

bool wsdmFindGateway(const uint8_t* bytes, size_t length, const uint8_t (&from)[4], uint8_t (&address)[4],
                     uint16_t& port) {
  const Packet packet = {bytes, length};
  if (!packet.has(0, HEADER_BYTES) || !(bytes[2] & 0x80)) return false;
  size_t first = HEADER_BYTES;
  for (uint16_t questions = packet.number(4); questions > 0; questions--) {
    if (!skipName(packet, first)) return false;
    first += 4;
  }
  Record record;
  size_t at = first;
  // A packet that was cut short is good for what is in it.
  for (uint8_t i = 0; i < RECORDS_MAX && readRecord(packet, at, record); i++, at = record.next) {
    if (!record.counts || record.type != TYPE_SRV || record.size < 6 || !isOfService(packet, record.name)) continue;
    port = packet.number(record.data + 4);
    if (port == 0) continue;
    findAddress(packet, first, record.data + 6, from, address);
    return true;
  }
  return false;
}

void WsdmSearch::ask(uint32_t now) {
  _asked = now;
  if (_questions <= QUESTIONS) _questions++;
  // A port of its own, not that of mDNS: who asks from there is answered alone (RFC 6762, section 6.7).
  if (!_isOpen) _isOpen = _udp.begin(0);
  // A network that is away for the moment is asked again.
  if (!_isOpen || !_udp.beginPacket(IPAddress(224, 0, 0, 251), MDNS_PORT)) return;
  _udp.write(QUERY, sizeof(QUERY) - 1);
  _udp.endPacket();
}

bool WsdmSearch::find(uint32_t now, char* host, uint16_t& port) {
  if (_questions == 0 || now - _asked >= AGAIN_MS) ask(now);
  if (!_isOpen) return false;
  // Not for ever: outputs are off, but somebody may be typing.
  for (uint8_t i = 0; i < 4 && _udp.parsePacket() > 0; i++) {
    uint8_t packet[PACKET_MAX];
    const int length = _udp.read(packet, sizeof(packet));
    // Before the rest of it is read there is no next packet.
    uint8_t rest[32];
    while (_udp.read(rest, sizeof(rest)) > 0) {
    }
    const IPAddress sender = _udp.remoteIP();
    const uint8_t from[4] = {sender[0], sender[1], sender[2], sender[3]};
    uint8_t address[4];
    if (length <= 0 || !wsdmFindGateway(packet, length, from, address, port)) continue;
    host[0] = 0;
    for (uint8_t part = 0; part < 4; part++) {
      if (part > 0) strcat(host, ".");
      utoa(address[part], host + strlen(host), 10);
    }
    end();
    return true;
  }
  return false;
}

bool WsdmSearch::takeUnanswered() {
  // The next one was asked: so the last of them had its time.
  if (_isReported || _questions <= QUESTIONS) return false;
  _isReported = true;
  return true;
}

void WsdmSearch::end() {
  if (_isOpen) _udp.stop();
  _isOpen = _isReported = false;
  _questions = 0;
}

#endif
