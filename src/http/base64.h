/*
 * Base64 (RFC 4648 §4) as it streams: bytes in any pieces to digits, and back.
 *
 * What is encoded may be closed with its filling at any time and goes on with a new group behind it, and so what is decoded may
 * have a filling in its middle: that is how gRPC-Web delimits messages.
 */
#ifndef WEIR_HTTP_BASE64_H
#define WEIR_HTTP_BASE64_H

#include <stdint.h>

#include "base/view.h"

/* Zeroed to begin. */
struct base64_encoder {
	unsigned char kept[3];  /* a group that is not whole */
	uint8_t count;          /* of these */
};

/* Zeroed to begin. */
struct base64_decoder {
	uint32_t bits;          /* of the group so far, the last digit in the lowest six */
	uint8_t count;          /* digits and filling of the group so far */
	uint8_t filling;        /* of these, how many are filling */
};

/* Digits that `n` bytes become at most, with those that were kept and with a filling. */
#define BASE64_ENCODED_MAX(n) (((n) + 2 + 2) / 3 * 4)

/* Bytes that `n` digits become at most, with those of the group before. */
#define BASE64_DECODED_MAX(n) (((n) + 3) / 4 * 3)

/* Writes the digits of all whole groups; what is left is kept. Returns how many were written. */
size_t base64_encode(struct base64_encoder *e, struct view from, char *to);

/* Writes what was kept, with its filling. Returns how many digits: 0 or 4. */
size_t base64_encode_end(struct base64_encoder *e, char *to);

/*
 * Writes the bytes of all whole groups, `*n` in number. False: there is something else than digits, a filling where none may
 * be, or bits behind the last byte that are not zero.
 */
bool base64_decode(struct base64_decoder *d, struct view from, char *to, size_t *n);

/* No group is open: what was read may end here. */
static inline bool base64_decoder_is_whole(const struct base64_decoder *d)
{
	return d->count == 0;
}

#endif
