// Lovense: the same table as the gateway's own simulated devices have.

#include "checks.h"

class Turner final : public WsdmRotor {
 public:
  void set(uint16_t value) override { level = value; }
  void reverse() override { isBackward = !isBackward; }
  void tick(uint32_t now) override { ticked = now; }
  uint16_t level = 7777;
  bool isBackward = false;
  uint32_t ticked = 0;
};

// As many as the protocol numbers.
static void threeMotors() {
  Level motor[3];
  WsdmOutput* const motors[] = {&motor[0], &motor[1], &motor[2]};
  WsdmLovense device(motors);
  device.begin(0);
  const struct {
    const char *said, *answer, *levels;
  } cases[] = {
      {"Mply:1:2:3;", "OK;", "500 1000 1500"},
      {"Mply:-1:-1:20;", "OK;", "500 1000 10000"},
      {"Mply:1:2:3:4;", "ERR;", "500 1000 10000"},
      {"Vibrate3:0;", "OK;", "500 1000 0"},
      {"Vibrate4:1;", "ERR;", "500 1000 0"},
      {"Vibrate:6;", "OK;", "3000 3000 3000"},
      {"Mply:0:0:0;", "OK;", "0 0 0"},
  };
  for (const auto& c : cases) {
    expect(c.said, say(device, c.said), c.answer);
    std::string levels;
    for (const Level& level : motor) levels += (levels.empty() ? "" : " ") + std::to_string(level.level);
    expect(c.said, levels, c.levels);
  }
  expect("all off", device.isOn(), 0);
}

// One that goes on after it was switched off, as long as nobody hears the stop.
class Stubborn final : public WsdmOutput {
 public:
  void set(uint16_t) override { runs = true; }
  void tick(uint32_t) override { runs = false; }
  bool isOn() const override { return runs; }
  bool runs = false;
};

static void stubborn() {
  Stubborn motor;
  WsdmOutput* const motors[] = {&motor};
  WsdmLovense device(motors);
  device.begin(0);
  device.stop(0);
  expect("what its motor says is on is on", device.isOn(), 1);
  device.tick(1);
  expect("its motors get their time", motor.runs, 0);
  expect("and then it is off", device.isOn(), 0);
}

// A Nora: it vibrates and turns.
static void rotation() {
  Level vibe;
  Turner turner;
  WsdmOutput* const motors[] = {&vibe};
  WsdmLovense device(motors, 'A');
  device.rotor(turner);
  device.begin(0);
  expect("off at first", turner.level, 0);
  expect("its words", say(device, "Rotate:12;RotateChange;Vibrate:2;"), "OK;OK;OK;");
  expect("it turns", turner.level, 6000);
  expect("the other way", turner.isBackward, 1);
  expect("and vibrates", vibe.level, 1000);
  expect("no words", say(device, "Rotate:21;Rotate:;Rotate;RotateChange:1;Rotate:-1;"), "ERR;ERR;ERR;ERR;ERR;");
  expect("as before", turner.level, 6000);
  const struct {
    const char *said, *answer;
    long motor, rotor;
  } both[] = {
      {"Mply:4:7;", "OK;", 2000, 3500},
      {"Mply:-1:0;", "OK;", 2000, 0},
      {"Mply:5:-1;", "OK;", 2500, 0},
      {"Mply:6;", "OK;", 3000, 0},
      {"Mply:-1:20;", "OK;", 3000, 10000},
      {"Mply:1:2:3;Mply:1:21;Mply:1:;Mply:1:-2;", "ERR;ERR;ERR;ERR;", 3000, 10000},
      {"Mply:2:12;", "OK;", 1000, 6000},
  };
  for (const auto& c : both) {
    expect(c.said, say(device, c.said), c.answer);
    expect(c.said, vibe.level, c.motor);
    expect(c.said, turner.level, c.rotor);
  }
  expect("still the other way", turner.isBackward, 1);
  device.hold(0);
  say(device, "Mply:9:9;");
  expect("held, it does not turn", turner.level, 0);
  expect("but is commanded to", device.isCommanded(0), 1);
  device.release();
  say(device, "Rotate:12;");
  say(device, "Vibrate:0;");
  expect("is on", device.isOn(), 1);
  device.tick(5);
  expect("a reversal goes on", turner.ticked, 5);
  for (const char* off : {"Rotate:0;", "DeviceType;"}) {
    say(device, "Rotate:20;");
    say(device, off);
    expect("off: " + std::string(off), turner.level, 0);
    expect("is off", device.isOn(), 0);
  }
  say(device, "Rotate:20;");
  device.stop(0);
  expect("stopped", turner.level, 0);
  turner.level = 7777;
  device.stop(0);
  expect("a stop is written whatever it was", turner.level, 0);
  say(device, "Rotate:20;PowerOff;");
  expect("powered off", turner.level, 0);
}

void checkLovense() {
  rotation();
  stubborn();
  threeMotors();
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
      {"Vibrate:20;DeviceType;", "OK;P:11:AABBCCDDEEFF;", "0 0"},
      {"Vibrate:7;Vibrate:21;Vibrate:-1;Vibrate:;Vibrate;", "OK;ERR;ERR;ERR;ERR;", "3500 3500"},
      {"Vibrate:7;Vibrate3:1;Vibrate0:1;Rotate:0;Make:Tea;", "OK;ERR;ERR;ERR;ERR;", "3500 3500"},
      {"Vibrate:7;RotateChange;", "OK;ERR;", "3500 3500"},
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
  expect("is on", edge.device.isOn(), 1);
  edge.device.stop(0);
  expect("stopped", edge.levels(), "0 0");
  expect("forgotten", say(edge.device, "ate:5;"), "ERR;");
  for (const char* off : {"Vibrate:0;", "DeviceType;", "PowerOff;"}) {
    edge.disturb();
    say(edge.device, off);
    expect("off is written whatever it was: " + std::string(off), edge.levels(), "0 0");
  }
  edge.disturb();
  edge.device.stop(0);
  expect("a stop is written whatever it was", edge.levels(), "0 0");
}
