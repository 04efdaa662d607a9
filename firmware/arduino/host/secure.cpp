// TLS of the stand-in.

#if defined(ARDUINO_ARCH_ESP32)

#include <Arduino.h>
#include <WiFiClientSecure.h>
#include <errno.h>
#include <fcntl.h>
#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/error.h>
#include <mbedtls/md.h>
#include <mbedtls/net_sockets.h>
#include <mbedtls/ssl.h>
#include <mbedtls/version.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

struct WiFiClientSecure::Tls {
  Tls() {
    mbedtls_ssl_init(&ssl);
    mbedtls_ssl_config_init(&config);
    mbedtls_entropy_init(&entropy);
    mbedtls_ctr_drbg_init(&random);
  }
  ~Tls() {
    mbedtls_ssl_free(&ssl);
    mbedtls_ssl_config_free(&config);
    mbedtls_ctr_drbg_free(&random);
    mbedtls_entropy_free(&entropy);
  }
  mbedtls_ssl_context ssl;
  mbedtls_ssl_config config;
  mbedtls_entropy_context entropy;
  mbedtls_ctr_drbg_context random;
};

static bool waits(int error) { return error == MBEDTLS_ERR_SSL_WANT_READ || error == MBEDTLS_ERR_SSL_WANT_WRITE; }

static int errorOf(int waiting, int other) {
  if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) return waiting;
  return errno == EPIPE || errno == ECONNRESET ? MBEDTLS_ERR_NET_CONN_RESET : other;
}

static int sendTo(void* socket, const unsigned char* bytes, size_t size) {
  const ssize_t sent = send(*static_cast<int*>(socket), bytes, size, MSG_NOSIGNAL);
  return sent >= 0 ? sent : errorOf(MBEDTLS_ERR_SSL_WANT_WRITE, MBEDTLS_ERR_NET_SEND_FAILED);
}

static int receiveFrom(void* socket, unsigned char* bytes, size_t size) {
  const ssize_t got = recv(*static_cast<int*>(socket), bytes, size, 0);
  return got >= 0 ? got : errorOf(MBEDTLS_ERR_SSL_WANT_READ, MBEDTLS_ERR_NET_RECV_FAILED);
}

int WiFiClientSecure::connect(const char* host, uint16_t port, int32_t timeout) {
  stop();
  _timeoutMs = timeout > 0 ? timeout : 30000;
  const int dialled = dial(host, port);
  // The core says nothing of a name without an address.
  if (dialled == 0) return 0;
  _lastError = dialled < 0 ? dialled : handshake(host);
  if (_lastError == 0) return 1;
  stop();
  return 0;
}

// A socket that does not wait, or -1; 0 where the name has no address.
int WiFiClientSecure::dial(const char* host, uint16_t port) {
  char service[8];
  snprintf(service, sizeof(service), "%u", port);
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(host, service, &hints, &found) != 0) return 0;
  const int socket = ::socket(found->ai_family, found->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, found->ai_protocol);
  if (socket >= 0) {
    int error = ::connect(socket, found->ai_addr, found->ai_addrlen) == 0 ? 0 : errno;
    pollfd waiting = {socket, POLLOUT, 0};
    if (error == EINPROGRESS && poll(&waiting, 1, _timeoutMs) == 1) {
      socklen_t size = sizeof(error);
      if (getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
    }
    if (error == 0) {
      _socket = socket;
      setNoDelay(true);
    } else {
      close(socket);
    }
  }
  freeaddrinfo(found);
  return _socket >= 0 ? 1 : -1;
}

int WiFiClientSecure::handshake(const char* host) {
  if (!_isInsecure) return -1;
  _tls = new Tls;
  Tls& tls = *_tls;
  int error = mbedtls_ctr_drbg_seed(&tls.random, mbedtls_entropy_func, &tls.entropy, nullptr, 0);
  if (error != 0) return error;
  error = mbedtls_ssl_config_defaults(&tls.config, MBEDTLS_SSL_IS_CLIENT, MBEDTLS_SSL_TRANSPORT_STREAM,
                                      MBEDTLS_SSL_PRESET_DEFAULT);
  if (error != 0) return error;
  mbedtls_ssl_conf_authmode(&tls.config, MBEDTLS_SSL_VERIFY_NONE);
  mbedtls_ssl_conf_rng(&tls.config, mbedtls_ctr_drbg_random, &tls.random);
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
  // As the core is built.
  mbedtls_ssl_conf_max_tls_version(&tls.config, MBEDTLS_SSL_VERSION_TLS1_2);
#endif
  // An address is named too.
  error = mbedtls_ssl_set_hostname(&tls.ssl, host);
  if (error != 0) return error;
  error = mbedtls_ssl_setup(&tls.ssl, &tls.config);
  if (error != 0) return error;
  mbedtls_ssl_set_bio(&tls.ssl, &_socket, sendTo, receiveFrom, nullptr);
  const uint32_t begun = millis();
  while ((error = mbedtls_ssl_handshake(&tls.ssl)) != 0) {
    if (!waits(error)) return error;
    if (millis() - begun > _handshakeMs) return -1;
    delay(2);
  }
  return 0;
}

int WiFiClientSecure::failed(int error) {
  stop();
  return error;
}

size_t WiFiClientSecure::write(const uint8_t* bytes, size_t size) {
  size_t written = 0;
  const uint32_t begun = millis();
  while (_tls && written < size) {
    const int sent = mbedtls_ssl_write(&_tls->ssl, bytes + written, size - written);
    if (sent > 0) {
      written += sent;
    } else if (!waits(sent) || millis() - begun > static_cast<uint32_t>(_timeoutMs)) {
      stop();
    } else {
      delay(2);
    }
  }
  return written == size ? size : 0;
}

int WiFiClientSecure::available() {
  const int peeked = _peeked >= 0;
  if (!_tls) return peeked;
  const int error = mbedtls_ssl_read(&_tls->ssl, nullptr, 0);
  if (error >= 0 || waits(error)) return mbedtls_ssl_get_bytes_avail(&_tls->ssl) + peeked;
  failed(error);
  return peeked ? peeked : error;
}

int WiFiClientSecure::read(uint8_t* bytes, size_t size) {
  const int waiting = available();
  if (waiting <= 0) return -1;
  if (size == 0) return 0;
  if (_peeked >= 0) {
    bytes[0] = _peeked;
    _peeked = -1;
    return 1;
  }
  const int got = mbedtls_ssl_read(&_tls->ssl, bytes, size);
  return got < 0 ? failed(got) : got;
}

int WiFiClientSecure::read() {
  uint8_t byte = 0;
  return read(&byte, 1) == 1 ? byte : -1;
}

int WiFiClientSecure::peek() {
  if (_peeked < 0) _peeked = read();
  return _peeked;
}

void WiFiClientSecure::stop() {
  delete _tls;
  _tls = nullptr;
  _peeked = -1;
  WiFiClient::stop();
}

uint8_t WiFiClientSecure::connected() {
  available();
  return _tls != nullptr;
}

int WiFiClientSecure::lastError(char* words, size_t size) {
  if (_lastError != 0) mbedtls_strerror(_lastError, words, size);
  return _lastError;
}

bool WiFiClientSecure::getFingerprintSHA256(uint8_t* sha256) {
  const mbedtls_x509_crt* const certificate = _tls ? mbedtls_ssl_get_peer_cert(&_tls->ssl) : nullptr;
  const mbedtls_md_info_t* const md = mbedtls_md_info_from_type(MBEDTLS_MD_SHA256);
  return certificate && mbedtls_md(md, certificate->raw.p, certificate->raw.len, sha256) == 0;
}

#endif
