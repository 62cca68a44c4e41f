/* The one digest that HTTP asks for: what proves that the handshake of a WebSocket was understood (RFC 6455 §4.2.2). */
#include <openssl/evp.h>

#include "net/tls.h"

static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

bool tls_websocket_accept(struct view key, char accept[TLS_WEBSOCKET_ACCEPT_BYTES])
{
	unsigned char digest[EVP_MAX_MD_SIZE], text[TLS_WEBSOCKET_KEY_BYTES + sizeof(guid) - 1];
	/* The encoder ends what it writes with a zero. */
	unsigned char encoded[TLS_WEBSOCKET_ACCEPT_BYTES + 1];
	unsigned n = 0;

	if (key.n != TLS_WEBSOCKET_KEY_BYTES)
		return false;
	memcpy(text, key.p, key.n);
	memcpy(text + key.n, guid, sizeof(guid) - 1);
	if (EVP_Digest(text, sizeof(text), digest, &n, EVP_sha1(), NULL) != 1 || n != 20)
		return false;
	EVP_EncodeBlock(encoded, digest, (int)n);
	memcpy(accept, encoded, TLS_WEBSOCKET_ACCEPT_BYTES);
	return true;
}
