// The flash of the stand-in.

#include "HostFlash.h"

#include <LittleFS.h>
#include <Preferences.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <map>
#include <string>

size_t hostFlashLeft = SIZE_MAX;
HostLittleFS LittleFS;

static std::map<std::string, std::string> memory;

static std::string path(const char* name) {
  const char* const folder = getenv("WSDM_HOST_FLASH");
  if (!folder) return "";
  while (*name == '/') name++;
  return std::string(folder) + "/" + name;
}

static bool load(const char* name, std::string& bytes) {
  const std::string file = path(name);
  if (file.empty()) {
    const auto found = memory.find(name);
    if (found == memory.end()) return false;
    bytes = found->second;
    return true;
  }
  FILE* const opened = fopen(file.c_str(), "rb");
  if (!opened) return false;
  char part[512];
  size_t got;
  bytes.clear();
  while ((got = fread(part, 1, sizeof(part), opened)) > 0) bytes.append(part, got);
  fclose(opened);
  return true;
}

static void store(const char* name, const std::string& bytes) {
  const std::string file = path(name);
  if (file.empty()) {
    memory[name] = bytes;
    return;
  }
  FILE* const opened = fopen(file.c_str(), "wb");
  if (!opened || fwrite(bytes.data(), 1, bytes.size(), opened) != bytes.size() || fclose(opened) != 0) abort();
}

bool hostFlashHas(const char* name, size_t& length) {
  std::string bytes;
  const bool has = load(name, bytes);
  length = bytes.size();
  return has;
}

size_t hostFlashRead(const char* name, uint8_t* bytes, size_t room) {
  std::string found;
  if (!load(name, found)) return 0;
  const size_t length = found.size() < room ? found.size() : room;
  memcpy(bytes, found.data(), length);
  return length;
}

size_t hostFlashWrite(const char* name, const uint8_t* bytes, size_t length) {
  const size_t written = length < hostFlashLeft ? length : hostFlashLeft;
  store(name, std::string(reinterpret_cast<const char*>(bytes), written));
  if (hostFlashLeft != SIZE_MAX) hostFlashLeft -= written;
  return written;
}

bool hostFlashRename(const char* from, const char* to) {
  std::string bytes;
  if (hostFlashLeft == 0 || !load(from, bytes)) return false;
  if (hostFlashLeft != SIZE_MAX) hostFlashLeft--;
  const std::string old = path(from);
  if (old.empty()) {
    memory[to] = bytes;
    memory.erase(from);
    return true;
  }
  return rename(old.c_str(), path(to).c_str()) == 0;
}

void hostFlashErase() { memory.clear(); }

// As with the real one, a space that was never written cannot be opened to be read.
bool Preferences::begin(const char*, bool isReadOnly) {
  size_t length = 0;
  _isReadOnly = isReadOnly;
  return !isReadOnly || hostFlashHas("settings", length);
}

size_t Preferences::getBytesLength(const char* key) {
  size_t length = 0;
  return hostFlashHas(key, length) ? length : 0;
}

size_t Preferences::getBytes(const char* key, void* bytes, size_t room) {
  return getBytesLength(key) > room ? 0 : hostFlashRead(key, static_cast<uint8_t*>(bytes), room);
}

size_t Preferences::putBytes(const char* key, const void* bytes, size_t length) {
  if (_isReadOnly || length > hostFlashLeft) return 0;
  return hostFlashWrite(key, static_cast<const uint8_t*>(bytes), length);
}

File HostLittleFS::open(const char* path, const char* mode) {
  size_t length = 0;
  if (mode[0] == 'w') {
    if (hostFlashLeft == 0) return File();
    hostFlashWrite(path, nullptr, 0);
    return File(path);
  }
  return hostFlashHas(path, length) ? File(path) : File();
}

bool HostLittleFS::rename(const char* from, const char* to) { return hostFlashRename(from, to); }

size_t File::size() const {
  size_t length = 0;
  hostFlashHas(_name, length);
  return length;
}

int File::read(uint8_t* bytes, size_t room) { return hostFlashRead(_name, bytes, room); }
size_t File::write(const uint8_t* bytes, size_t length) { return hostFlashWrite(_name, bytes, length); }
