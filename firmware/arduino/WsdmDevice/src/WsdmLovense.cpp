#include "WsdmLovense.h"

#include <Arduino.h>
#include <string.h>

// The firmware that it claims to have; from version 3 on, all models speak as here.
#define FIRMWARE "11"
static const uint8_t STEPS = 20;

// A level and nothing else, or -1.
static int8_t parseLevel(const char* text, const char* end) {
  uint8_t level = 0;
  if (text == end) return -1;
  for (; text != end; text++) {
    if (*text < '0' || *text > '9') return -1;
    level = level * 10 + (*text - '0');
    if (level > STEPS) return -1;
  }
  return level;
}

static int8_t parseLevel(const char* text) { return parseLevel(text, text + strlen(text)); }

// In flash: small chips have little else.
static const char WORD_DEVICE_TYPE[] PROGMEM = "DeviceType";
static const char WORD_BATTERY[] PROGMEM = "Battery";
static const char WORD_STATUS[] PROGMEM = "Status:1";
static const char WORD_GET_BATCH[] PROGMEM = "GetBatch";
static const char WORD_GET_LIGHT[] PROGMEM = "GetLight";
static const char WORD_GET_AS[] PROGMEM = "GetAS";
static const char WORD_POWER_OFF[] PROGMEM = "PowerOff";
static const char WORD_VIBRATE[] PROGMEM = "Vibrate";
static const char WORD_ROTATE[] PROGMEM = "Rotate";
static const char WORD_CHANGE[] PROGMEM = "Change";
static const char WORD_MULTIPLY[] PROGMEM = "Mply:";

// What comes behind a word in flash; null if the text does not begin with it.
static const char* behind(const char* text, const char* word) {
  for (; pgm_read_byte(word) != 0; text++, word++) {
    if (*text != static_cast<char>(pgm_read_byte(word))) return nullptr;
  }
  return text;
}

static bool is(const char* text, const char* word) {
  const char* rest = behind(text, word);
  return rest && *rest == 0;
}

void WsdmLovense::begin(uint32_t) {
  for (uint8_t i = 0; i < _count; i++) _motors[i]->begin();
  if (_rotor) _rotor->begin();
  stopMotors();
}

bool WsdmLovense::receive(char byte, uint32_t, WsdmReplies& replies) {
  // Behind a PowerOff nothing counts.
  if (_off) return false;
  if (byte == '\n') {
    // None has it: what came before it is noise, or the rest of one that was cut off.
    forget();
    return false;
  }
  const bool space = byte == ' ' || byte == '\r' || byte == '\t';
  if (byte != ';') {
    // White space before a command, as terminals send it, is none of it.
    if (space && !inCommand()) return false;
    _noise |= !space && (byte < ' ' || byte > '~');
    if (!_noise && _length < sizeof(_text) - 1) {
      _text[_length++] = byte;
    } else {
      _tooLong = true;
    }
    return false;
  }
  while (_length > 0 && _text[_length - 1] <= ' ') _length--;
  _text[_length] = 0;
  const bool isText = inCommand() && !_noise;
  if (_tooLong) {
    replies.reply("ERR;", 4);
  } else if (_length > 0) {
    command(replies);
  }
  forget();
  return isText;
}

// What of a command has come.
void WsdmLovense::forget() {
  _length = 0;
  _tooLong = false;
  _noise = false;
}

void WsdmLovense::command(WsdmReplies& replies) {
  char answer[WSDM_REPLY_MAX];
  strcpy(answer, "OK;");
  if (is(_text, WORD_DEVICE_TYPE)) {
    // Whoever asks has just connected, and knows nothing of motors that run. A board on a wire that is not restarted
    // with its gateway may not have noticed that there is another one.
    stopMotors();
    answer[0] = _model;
    strcpy(answer + 1, ":" FIRMWARE ":");
    strncat(answer, _mac, sizeof(answer) - 8);
    strcat(answer, ";");
  } else if (is(_text, WORD_BATTERY)) {
    utoa(_battery, answer, 10);
    strcat(answer, ";");
  } else if (is(_text, WORD_STATUS)) {
    strcpy(answer, "2;");
  } else if (is(_text, WORD_GET_BATCH)) {
    strcpy(answer, "240131;");
  } else if (is(_text, WORD_GET_LIGHT)) {
    strcpy(answer, _light ? "Light:1;" : "Light:0;");
  } else if (strcasecmp(_text, "Light:on") == 0 && _text[0] == 'L') {
    _light = true;
  } else if (strcasecmp(_text, "Light:off") == 0 && _text[0] == 'L') {
    _light = false;
  } else if (is(_text, WORD_GET_AS)) {
    // So misspelt by the real ones.
    strcpy(answer, "AutoSwith:1:0;");
  } else if (is(_text, WORD_POWER_OFF)) {
    stopMotors();
    _off = true;
  } else if (vibrate(behind(_text, WORD_VIBRATE)) || rotate(behind(_text, WORD_ROTATE)) ||
             multiply(behind(_text, WORD_MULTIPLY))) {
    // Done.
  } else {
    strcpy(answer, "ERR;");
  }
  replies.reply(answer, strlen(answer));
}

// What comes behind the word, or null: ":10" for all motors, "2:10" for one.
bool WsdmLovense::vibrate(const char* rest) {
  if (!rest) return false;
  uint8_t from = 0, to = _count;
  if (*rest >= '1' && *rest <= '9') {
    from = *rest++ - '1';
    to = from + 1;
    if (to > _count) return false;
  }
  if (*rest++ != ':') return false;
  const int8_t level = parseLevel(rest);
  if (level < 0) return false;
  for (uint8_t i = from; i < to; i++) set(i, level);
  return true;
}

// ":10", or "Change" for the other direction.
bool WsdmLovense::rotate(const char* rest) {
  if (!rest || !_rotor) return false;
  if (is(rest, WORD_CHANGE)) {
    _rotor->reverse();
    return true;
  }
  const int8_t level = *rest == ':' ? parseLevel(rest + 1) : -1;
  if (level < 0) return false;
  turn(level);
  return true;
}

// "10:-1": a level for each motor in turn, and for the rotor behind them; -1 leaves one as it is.
bool WsdmLovense::multiply(const char* rest) {
  if (!rest) return false;
  int8_t levels[WSDM_LOVENSE_MOTORS + 1];
  const uint8_t most = _count + (_rotor ? 1 : 0);
  uint8_t given = 0;
  for (;;) {
    const char* end = strchr(rest, ':');
    const char* stop = end ? end : rest + strlen(rest);
    if (given == most) return false;
    const bool keep = stop - rest == 2 && rest[0] == '-' && rest[1] == '1';
    levels[given] = parseLevel(rest, stop);
    if (levels[given] < 0 && !keep) return false;
    given++;
    if (!end) break;
    rest = end + 1;
  }
  for (uint8_t i = 0; i < given; i++) {
    if (levels[i] < 0) continue;
    if (i < _count) {
      set(i, levels[i]);
    } else {
      turn(levels[i]);
    }
  }
  return true;
}

void WsdmLovense::set(uint8_t motor, uint8_t level) {
  _levels[motor] = level;
  // Off is off at any time.
  if (_isHeld) level = 0;
#if defined(__AVR__)
  _motors[motor]->set(level * (WSDM_FULL / STEPS));
#else
  _motors[motor]->set(static_cast<uint32_t>(_most[motor]) * level / STEPS);
#endif
}

void WsdmLovense::turn(uint8_t level) {
  _rotation = level;
  if (_isHeld) return;
#if defined(__AVR__)
  _rotor->set(level * (WSDM_FULL / STEPS));
#else
  _rotor->set(static_cast<uint32_t>(_mostRotation) * level / STEPS);
#endif
}

#if !defined(__AVR__)
bool WsdmLovense::limit(char letter, char digit, uint16_t low, uint16_t high) {
  if (letter == 'R' && digit == '0' && _rotor) {
    // Both sides of the middle are one strength here.
    _mostRotation = high - low;
    return true;
  }
  if (letter != 'V' || digit < '0' || digit >= '0' + _count) return false;
  _most[digit - '0'] = high;
  return true;
}

bool WsdmLovense::isAtRest() const {
  for (uint8_t i = 0; i < _count; i++) {
    if (!_motors[i]->isAtRest()) return false;
  }
  return !_rotor || _rotor->isAtRest();
}
#endif

bool WsdmLovense::isOn() const {
  // One that did not hear its stop, too.
  for (uint8_t i = 0; i < _count; i++) {
    if (_motors[i]->isOn()) return true;
  }
  return (_rotor && _rotor->isOn()) || (!_isHeld && isCommanded(0));
}

// A level holds until the next one.
bool WsdmLovense::isCommanded(uint32_t) const {
  for (uint8_t i = 0; i < _count; i++) {
    if (_levels[i] > 0) return true;
  }
  return _rotation > 0;
}

void WsdmLovense::stopMotors() {
  for (uint8_t i = 0; i < _count; i++) set(i, 0);
  _rotation = 0;
  if (_rotor) _rotor->set(0);
}

void WsdmLovense::stop(uint32_t) {
  stopMotors();
  forget();
}

void WsdmLovense::hold(uint32_t) {
  _isHeld = true;
  for (uint8_t i = 0; i < _count; i++) set(i, _levels[i]);
  if (_rotor) _rotor->set(0);
}

void WsdmLovense::release() {
  stopMotors();
  _isHeld = false;
}
