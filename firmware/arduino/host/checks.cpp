// What the library does with bytes, checked on this machine: the same tables as the gateway's own simulated devices have,
// and bytes at random under the sanitizers.

#include <Arduino.h>
#include <WsdmDevice.h>

#include <string>
#include <vector>

static int failures = 0;

static void expect(const std::string& what, const std::string& found, const std::string& wanted) {
  if (found == wanted) return;
  failures++;
  printf("%s\n  found  %s\n  wanted %s\n", what.c_str(), found.c_str(), wanted.c_str());
}

static void expect(const std::string& what, long found, long wanted) {
  expect(what, std::to_string(found), std::to_string(wanted));
}

class Level final : public WsdmOutput {
 public:
  void set(uint16_t value) override {
    if (value > WSDM_FULL) expect("an output in its range", value, WSDM_FULL);
    level = value;
  }
  uint16_t level = 0xFFFF;
};

class Heard final : public WsdmReplies {
 public:
  void reply(const char* bytes, size_t length) override {
    if (length > WSDM_REPLY_MAX) expect("the length of a reply", length, WSDM_REPLY_MAX);
    text.append(bytes, length);
  }
  std::string text;
};

static std::string say(WsdmProtocol& device, const std::string& bytes, uint32_t now = 0) {
  Heard heard;
  for (char byte : bytes) device.receive(byte, now, heard);
  return heard.text;
}

struct Edge {
  Level one, two;
  WsdmOutput* const motors[2] = {&one, &two};
  WsdmLovense device{motors, 'P', "AABBCCDDEEFF"};
  Edge() { device.begin(0); }
  std::string levels() { return std::to_string(one.level) + " " + std::to_string(two.level); }
};

static void lovense() {
  const struct {
    const char *said, *answer, *levels;
  } cases[] = {
      {"DeviceType;", "P:11:AABBCCDDEEFF;", "0 0"},
      {"Battery;Status:1;GetBatch;GetAS;", "90;2;240131;AutoSwith:1:0;", "0 0"},
      {"Light:off;GetLight;Light:ON;GetLight;", "OK;Light:0;OK;Light:1;", "0 0"},
      {"Vibrate:10;", "OK;", "5000 5000"},
      {"Vibrate2:20;Vibrate1:1;", "OK;OK;", "500 10000"},
      {"Mply:1:2;Mply:-1:9;Mply:3;", "OK;OK;OK;", "1500 4500"},
      {" \r\n;", "", "0 0"},
      {"\r\nVibrate:5 ;", "OK;", "2500 2500"},
      {"Vibrate:20;PowerOff;", "OK;OK;", "0 0"},
      {"Vibrate:7;Vibrate:21;Vibrate:-1;Vibrate:;Vibrate;", "OK;ERR;ERR;ERR;ERR;", "3500 3500"},
      {"Vibrate:7;Vibrate3:1;Vibrate0:1;Rotate:0;Make:Tea;", "OK;ERR;ERR;ERR;ERR;", "3500 3500"},
      {"Vibrate:7;vibrate:3;Mply:1:2:3;Mply:x;Mply:;Light:maybe;", "OK;ERR;ERR;ERR;ERR;ERR;", "3500 3500"},
      {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa;Vibrate:1;", "ERR;OK;", "500 500"},
      {"\x1b;\xff;", "ERR;ERR;", "0 0"},
  };
  for (const auto& c : cases) {
    Edge edge;
    edge.device.battery(90);
    expect(c.said, say(edge.device, c.said), c.answer);
    expect(c.said, edge.levels(), c.levels);
  }
  Edge edge;
  say(edge.device, std::string("Vibrate:5\0;", 11));
  expect("a zero is no end", edge.levels(), "0 0");
  say(edge.device, "Vibrate:5;Vibr");
  expect("is on", edge.device.isOn(0), 1);
  edge.device.stop(0);
  expect("stopped", edge.levels(), "0 0");
  expect("forgotten", say(edge.device, "ate:5;"), "ERR;");
}

// A stroke, a twist and a vibrator, past their soft start.
struct Machine {
  Level stroke, twist, vibe;
  WsdmAxis axes[3];
  WsdmTcode device{axes};
  explicit Machine(uint16_t low = 0, uint16_t high = WSDM_FULL, uint16_t maxSpeed = 0, bool soft = false)
      : axes{{"L0", stroke, low, high, maxSpeed}, {"R0", twist}, {"V0", vibe}} {
    device.begin(0);
    if (!soft) {
      say(device, "L05\n", 0);
      say(device, "L05\n", 2000);
    }
  }
  uint16_t at(uint32_t now, Level& level) {
    device.tick(now);
    return level.level;
  }
};

static void tcode() {
  const struct {
    const char* said;
    long stroke;
  } magnitudes[] = {
      {"L0500\n", 5000}, {"L05\n", 5000},    {"L005\n", 500},         {"L09999\n", 9999},
      {"l0000\n", 0},    {"L0999\r\n", 9990}, {"L01234567899999\n", 1234}, {"L00 L0999\n", 9990},
      {"L0999", 5000},   {"L0\n", 5000},     {"L\n", 5000},           {"X05\n", 5000},
      {"L09x\n", 5000},  {"L09I\n", 5000},   {"L09Ix\n", 5000},       {"L09S-1\n", 5000},
      {"L09I9999999999\n", 5000}, {"L1999\n", 5000}, {"L0999 DSTOP\n", 5000}, {"L09 \x1b[2J\n", 9000},
  };
  for (const auto& c : magnitudes) {
    Machine machine;
    say(machine.device, c.said, 3000);
    expect(c.said, machine.at(3001, machine.stroke), c.stroke);
  }
  {
    Machine m;
    say(m.device, "L00I1000 R00S10 V099I100\n", 3000);
    expect("half way", m.at(3500, m.stroke), 2500);
    expect("there", m.at(4000, m.stroke), 0);
    expect("half way at a speed", m.at(5500, m.twist), 2500);
    expect("there at a speed", m.at(8000, m.twist), 0);
    expect("a vibration that swells", m.at(8001, m.vibe), 9900);
    expect("is on", m.device.isOn(8001), 1);
    say(m.device, "V00\n", 8002);
    expect("is off", m.device.isOn(8002), 0);
    expect("what is over stays over", m.at(0xFFFFFFFF, m.stroke), 0);
  }
  {
    Machine m;
    say(m.device, "L00I1000 V05\n", 3000);
    say(m.device, "L0999 DSTOP\n", 3500);
    expect("holds", m.at(9000, m.stroke), 2500);
    expect("ends", m.at(9001, m.vibe), 0);
    expect("nothing is on", m.device.isOn(3500), 0);
  }
  {
    Machine m;
    expect("D0", say(m.device, "D0\n").substr(0, 11), "WsdmDevice-");
    expect("D1", say(m.device, "d1\r\n"), "TCode v0.3\n");
    expect("a range", say(m.device, "$L0-1000-9000 $V0-1-10000 $Q0-1-2 $L0 $\n"), "");
    expect("D2", say(m.device, "D2\n"), "L0 1000 9000 Stroke\nR0 0 9999 Twist\nV0 0 9999 Vibe0\n");
  }
  {
    Machine m(1000, 9000);
    say(m.device, "L00\n", 3000);
    expect("the lower limit", m.at(3001, m.stroke), 1000);
    say(m.device, "L09999\n", 3002);
    expect("the upper limit", m.at(3003, m.stroke), 8999);
  }
  {
    Machine m(0, WSDM_FULL, 100);
    say(m.device, "L00\n", 3000);
    expect("half a second for half the way", m.at(3250, m.stroke), 2500);
    expect("there", m.at(3500, m.stroke), 0);
  }
  {
    Machine m(0, WSDM_FULL, 0, true);
    say(m.device, "L00\n", 0);
    expect("softly at first", m.at(500, m.stroke), 2500);
    say(m.device, "L09999 R09999 V09\n", 1999);
    expect("softly still", m.at(2099, m.stroke), 499);
    expect("a vibration need not be", m.at(2100, m.vibe), 9000);
    say(m.device, "L09999\n", 2200);
    expect("and then as asked", m.at(2201, m.stroke), 9999);
    m.device.stop(3000);
    say(m.device, "L00\n", 3000);
    expect("softly again when control was lost", m.at(3100, m.stroke), 9500);
  }
}

static void accept() {
  char text[WSDM_ACCEPT_TEXT];
  // RFC 6455, section 1.3.
  wsdmAccept("dGhlIHNhbXBsZSBub25jZQ==", text);
  expect("an accept", text, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
  const struct {
    const char *bytes, *text;
  } cases[] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}};
  for (const auto& c : cases) {
    wsdmBase64(reinterpret_cast<const uint8_t*>(c.bytes), strlen(c.bytes), text);
    expect("base64", text, c.text);
  }
}

// Commands cut up and strung together at random, and noise between them.
static void noise() {
  static const char* const PIECES[] = {"Vibrate", "Vibrate1", ":", "20", ";",  "Mply:", "-1", "DeviceType;", "L0", "R0",
                                       "V0",      "I",        "S", "D2", "\n", "DSTOP", "$",  "-",           "9999", " "};
  srand(1);
  Edge edge;
  Machine machine;
  uint32_t now = 0;
  for (long i = 0; i < 2000000; i++) {
    std::string bytes;
    if (rand() % 4 == 0) {
      bytes.assign(1, static_cast<char>(rand()));
    } else {
      bytes = PIECES[rand() % (sizeof(PIECES) / sizeof(*PIECES))];
    }
    say(edge.device, bytes, now);
    say(machine.device, bytes, now);
    now += rand() % 64 == 0 ? rand() : rand() % 8;
    machine.device.tick(now);
    edge.device.isOn(now);
    machine.device.isOn(now);
  }
}

int main() {
  accept();
  lovense();
  tcode();
  noise();
  printf(failures == 0 ? "all as it should be\n" : "%d failures\n", failures);
  return failures != 0;
}
