#include "WsdmConnection.h"

#ifdef WSDM_HAS_SETTINGS

int WsdmPlainConnection::connect(const char* host, uint16_t port) {
  const int connected = WiFiClient::connect(host, port);
  if (connected) setNoDelay(true);
  return connected;
}

#ifdef WSDM_HAS_TLS

#include <WiFiClientSecure.h>
#include <string.h>
#include <sys/socket.h>

// Macros in some versions of lwIP.
#undef connect
#undef read
#undef write

// As long as the core waits without TLS.
static const int32_t CONNECT_MS = 3000;
// Below the five seconds of the chip's watchdog, though that does not watch meanwhile: outputs are off. It is time enough
// for a chip without help for curves, which takes one or two.
static const uint8_t HANDSHAKE_SECONDS = 4;

// In the words of the firmware in Rust.
static const char NO_FINGERPRINT[] = "wss:// needs the gateway's fingerprint: set fingerprint, save, restart";
static const char SLOW[] = "no answer in time";
static const char OTHER[] =
    "another gateway answers, or fingerprint is wrong: the certificate is another one; the gateway's log has the "
    "fingerprint at its start";
static const char FORGED[] = "another gateway answers: it shows the right certificate, and has not its key";
static const char REFUSED[] = "the gateway refused the TLS handshake; its log says more";
static const char UNKNOWN[] = "no TLS is spoken there; the gateway needs tls = \"also\" in [devices]";
static const char ENDED[] = "the connection ended during the TLS handshake";
// In words of its own, since that firmware takes its memory at the start.
static const char NO_MEMORY[] = "there is not enough memory for TLS";

struct WsdmConnection::Secure {
  WiFiClientSecure client;
};

bool WsdmConnection::expect(const char* fingerprint, bool isDemanded) {
  _isPinned = wsdmParseFingerprint(fingerprint, _fingerprint);
  _isDemanded = isDemanded || *fingerprint;
  return _isPinned;
}

Client& WsdmConnection::current() {
  if (_secure) return _secure->client;
  return _plain;
}

int WsdmConnection::connect(const char* host, uint16_t port) {
  stop();
  _fault = nullptr;
  if (_isPinned) {
    if (handshake(host, port)) return 1;
    stop();
    return 0;
  }
  if (!_isDemanded) return _plain.connect(host, port);
  _fault = NO_FINGERPRINT;
  return 0;
}

// setInsecure() means that no chain up to a CA is looked for; there is none. It is no less than is needed here. That the
// server has the key of the certificate that it shows is proved by the handshake, whatever becomes of the chain: it signs with
// that key what both sides chose at random, and mbedTLS checks the signature in any case. Which certificate that is, is
// told by the fingerprint. connect() has sent nothing but the handshake, and what is compared here was received in it.
bool WsdmConnection::handshake(const char* host, uint16_t port) {
  // Anew each time, since the core remembers its last error, even if it then finds no address for a name. And there is room
  // for something else in between.
  _secure = new Secure;
  WiFiClientSecure& tls = _secure->client;
  tls.setInsecure();
  tls.setHandshakeTimeout(HANDSHAKE_SECONDS);
  const uint32_t begun = millis();
  // The core switches Nagle's algorithm off by itself. The time limit is that of later writes too, and in some versions
  // that of the handshake.
  if (!tls.connect(host, port, CONNECT_MS)) {
    char words[8];
    _fault = why(tls.lastError(words, sizeof(words)), millis() - begun);
    return false;
  }
  uint8_t found[WSDM_FINGERPRINT_BYTES];
  if (tls.getFingerprintSHA256(found) && memcmp(found, _fingerprint, sizeof(found)) == 0) return true;
  _fault = OTHER;
  return false;
}

// What the core gives is an error of mbedTLS, -1 for one of its own, or 0 if no address was found. Numbers, since the
// names differ between its versions.
const char* WsdmConnection::why(int error, uint32_t ms) {
  switch (error) {
    case 0:
    case -1:
      // A wait may end some ticks early.
      return ms >= static_cast<uint32_t>(CONNECT_MS) - 100 ? SLOW : nullptr;
    case -0x7200:  // SSL_INVALID_RECORD
      return UNKNOWN;
    case -0x7780:  // SSL_FATAL_ALERT_MESSAGE
      return REFUSED;
    case -0x7280:  // SSL_CONN_EOF
    case -0x7880:  // SSL_PEER_CLOSE_NOTIFY
    case -0x0050:  // NET_CONN_RESET
    case -0x004C:  // NET_RECV_FAILED
    case -0x004E:  // NET_SEND_FAILED
      return ENDED;
    // Only a copy of a certificate comes without its key.
    case -0x4E00:  // ECP_VERIFY_FAILED
    case -0x4380:  // RSA_VERIFY_FAILED
      return FORGED;
    case -0x7F00:  // SSL_ALLOC_FAILED
    case -0x2880:  // X509_ALLOC_FAILED
    case -0x4D80:  // ECP_ALLOC_FAILED
    case -0x0010:  // MPI_ALLOC_FAILED
      return NO_MEMORY;
    default:
      snprintf(_faultText, sizeof(_faultText), "no TLS with what answers there (-0x%04X)", static_cast<unsigned>(-error));
      return _faultText;
  }
}

// An end without a goodbye within TLS, as of a gateway that was killed, is silence to the core: mbedTLS reads nothing then,
// and calls that no error. So the socket is asked. What was read before the end is available still.
uint8_t WsdmConnection::connected() {
  if (!_secure) return _plain.connected();
  uint8_t byte = 0;
  return _secure->client.connected() && recv(_secure->client.fd(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) != 0;
}

void WsdmConnection::stop() {
  if (_secure) _secure->client.stop();
  delete _secure;
  _secure = nullptr;
  _plain.stop();
}

#endif

#endif
