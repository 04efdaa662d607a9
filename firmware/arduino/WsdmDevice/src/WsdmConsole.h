// What a person can say to a board over its serial port: the words of the firmware in Rust.

#ifndef WSDM_CONSOLE_H
#define WSDM_CONSOLE_H

#include "WsdmSettings.h"

#ifdef WSDM_HAS_SETTINGS

// What the board has to do about a line.
enum class WsdmAction : uint8_t { NOTHING, SAVE, RESTART };

class WsdmConsole {
 public:
  // `settings` are those that are being changed; the board goes on with those that it started with. `identifier` and
  // `address` are what the board uses if none is set. All are kept by reference.
  WsdmConsole(Print& out, WsdmSettings& settings, const WsdmBuiltIn& builtIn, const char* identifier,
              const char* address)
      : _out(out), _settings(settings), _builtIn(builtIn), _identifier(identifier), _address(address) {}

  // Takes what was typed, and echoes and answers it.
  WsdmAction type(uint8_t byte);
  // The settings are saved.
  void saved() { _isUnsaved = false; }

 private:
  WsdmAction line();
  void set(const char* rest);
  void show();
  void show(WsdmKey key);
  void echo(uint8_t byte);
  void rubout();
  bool isSecret() const;

  Print& _out;
  WsdmSettings& _settings;
  const WsdmBuiltIn& _builtIn;
  const char* _identifier;
  const char* _address;
  bool _isUnsaved = false;

  // "set identifier " and the longest value.
  char _line[WSDM_VALUE_MAX + 32 + 1];
  uint8_t _length = 0;
  bool _afterReturn = false;
};

#endif

#endif
