// What a packet says of where a gateway is, as in the tests of the firmware in Rust; and a search that finds none.

#if !defined(CHECKS_IN_A_SIMULATOR)
#include "checks_responder.h"
#endif
#include "checks_settings.h"

static std::string number(uint32_t value, int bytes) {
  std::string text;
  while (bytes-- > 0) text += static_cast<char>(value >> (8 * bytes));
  return text;
}

static std::string name(const std::vector<std::string>& labels) {
  std::string text;
  for (const auto& label : labels) text += static_cast<char>(label.size()) + label;
  return text + '\0';
}

static std::string record(const std::string& name, uint16_t type, uint16_t theClass, uint32_t ttl, const std::string& data) {
  return name + number(type, 2) + number(theClass, 2) + number(ttl, 4) + number(data.size(), 2) + data;
}

static const std::vector<std::string> INSTANCE = {"Gateway on pc", "_wsdm", "_tcp", "local"};

static std::string service(const std::vector<std::string>& instance, uint16_t port, const std::string& host) {
  return record(name(instance), 33, 0x8001, 120, number(0, 4) + number(port, 2) + host);
}

static std::string address(const std::string& host, const std::string& address) {
  return record(host, 1, 0x8001, 120, address);
}

static std::string packet(const std::vector<std::string>& records) {
  std::string packet = number(0, 2) + number(0x8400, 2) + number(0, 2) + number(records.size(), 2) + number(0, 4);
  for (const auto& record : records) packet += record;
  return packet;
}

// Where a packet from 10.0.0.7 says that a gateway is.
static std::string found(const std::string& packet) {
  // A copy of just its size, whose end the sanitizer watches.
  const std::vector<uint8_t> bytes(packet.begin(), packet.end());
  const uint8_t from[4] = {10, 0, 0, 7};
  uint8_t address[4];
  uint16_t port = 0;
  if (!wsdmFindGateway(bytes.data(), bytes.size(), from, address, port)) return "";
  std::string text;
  for (uint8_t part : address) text += std::to_string(part) + ".";
  text.back() = ':';
  return text + std::to_string(port);
}

#if !defined(CHECKS_IN_A_SIMULATOR)
std::string gatewaysAnswer() {
  const std::string host = name({"pc", "local"});
  return packet({service(INSTANCE, 1, host), address(host, std::string("\x7f\0\0\x01", 4))});
}
#endif

// It says that nobody answers, once, as soon as the firmware in Rust does; and goes on asking.
static void unanswered() {
  WsdmSearch search;
  // Beyond the end of what millis() counts.
  const uint32_t start = 0xFFFFF000;
  char host[16];
  uint16_t port = 0;
  // When it was said in a search of this length.
  const auto run = [&](uint32_t from, uint32_t to) {
    std::string times;
    for (uint32_t ms = from; ms < to; ms += 20) {
      expect("nobody is found", search.find(start + ms, host, port), 0);
      if (search.takeUnanswered()) times += std::to_string(ms) + " ";
    }
    return times;
  };
  for (int round = 0; round < 2; round++) {
    expect("three questions without an answer are reported once a search", run(0, 20500), "3000 ");
    search.end();
  }
  // What a search has that ended before it was reported does not count for the next.
  for (int round = 0; round < 5; round++) {
    expect("a search that was given up is not reported", run(0, 3000), "");
    search.end();
  }
#if !defined(CHECKS_IN_A_SIMULATOR)
  Responder responder;
  run(0, 20500);
  expect("it asks once a second", responder.questions(), 21);
  responder.answer(gatewaysAnswer());
  expect("a late answer is taken", search.find(start + 20500, host, port), 1);
  expect("as it is", std::string(host) + ":" + std::to_string(port), "127.0.0.1:1");
  expect("the next search", run(0, 2500), "");
  expect("begins anew", responder.questions(), 3);
  responder.answer(gatewaysAnswer());
  expect("one that is answered in time", search.find(start + 2500, host, port), 1);
  expect("is not reported", search.takeUnanswered(), 0);
  search.end();
#endif
}

void search() {
  unanswered();
  const std::string host = name({"pc", "local"});
  expect("a gateway",
         found(packet({record(name({"_wsdm", "_tcp", "local"}), 12, 1, 4500, name(INSTANCE)),
                       record(name(INSTANCE), 16, 0x8001, 4500, std::string(1, '\0')), service(INSTANCE, 54817, host),
                       address(name({"PC", "Local"}), std::string("\x0a\0\0\x03", 4))})),
         "10.0.0.3:54817");
  expect("of several addresses the one that answered counts",
         found(packet({address(host, "\xac\x11\x01\x01"), address(host, std::string("\x0a\0\0\x07", 4)),
                       service(INSTANCE, 1, host)})),
         "10.0.0.7:1");
  expect("and where there is none",
         found(packet({service(INSTANCE, 1, host), address(name({"nas", "local"}), "\x01\x01\x01\x01")})), "10.0.0.7:1");
  // The question, then its answer: SRV of Gw on pc, A of pc, with names that go on elsewhere.
  std::string cut = std::string("\0\0\x84\0\0\x01\0\x02\0\0\0\0\x05_wsdm\x04_tcp\x05local\0\0\x0c\x80\x01", 34);
  const size_t at = cut.size() + 2 + 2 + 10 + 6 + 1;
  cut += std::string("\x02Gw\xc0\x0c\0\x21\x80\x01\0\0\0\x78\0\x0b\0\0\0\0\x12\x34\x02pc\xc0\x17", 26);
  cut += std::string("\xc0") + static_cast<char>(at) + std::string("\0\x01\x80\x01\0\0\0\x78\0\x04\x0a\0\0\x03", 14);
  expect("names cut short by pointers", found(cut), "10.0.0.3:4660");
  for (size_t length = 0; length < cut.size(); length++) {
    const std::string part = found(cut.substr(0, length));
    if (!part.empty()) expect("a packet cut short is good for what is in it", part, "10.0.0.7:4660");
  }
  const std::string none[] = {
      "",
      std::string("\0\0\0\0\0\x01\0\0\0\0\0\0\x05_wsdm\x04_tcp\x05local\0\0\x0c\x80\x01", 34),
      packet({service({"Printer", "_ipp", "_tcp", "local"}, 631, host)}),
      packet({service({"_wsdm", "_tcp", "local"}, 631, host)}),
      packet({record(name(INSTANCE), 33, 0x8001, 0, std::string("\0\0\0\0\0\x01\0", 7))}),
      packet({record(name(INSTANCE), 33, 3, 120, std::string("\0\0\0\0\0\x01\0", 7))}),
      packet({service(INSTANCE, 0, host)}),
      packet({record(name(INSTANCE), 33, 1, 120, std::string(5, '\0'))}),
      // Names that lead to themselves, and to each other.
      packet({record("\xc0\x0c", 33, 1, 120, std::string(7, '\1'))}),
      packet({record("\x01" "a\xc0\x0c", 33, 1, 120, std::string(7, '\1'))}),
  };
  for (const auto& bytes : none) expect("no gateway", found(bytes), "");
  srand(5);
  for (long i = 0; i < 300000 / CHECKS_DIVISOR; i++) {
    std::string bytes = cut;
    for (int changes = rand() % 4; changes >= 0; changes--) bytes[rand() % bytes.size()] = static_cast<char>(rand());
    found(bytes.substr(0, rand() % 8 ? bytes.size() : rand() % bytes.size()));
  }
}
