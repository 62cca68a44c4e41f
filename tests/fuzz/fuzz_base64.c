/*
 * Base64 from arbitrary digits: the same bytes however the digits arrive, and what was decoded is the text again when it is
 * encoded. Arbitrary bytes: what was encoded is decoded to them.
 */
#include <stdlib.h>

#include "base/check.h"
#include "fuzz.h"
#include "http/base64.h"

/* False: it is no base64. */
static bool decode_by(struct view from, size_t step, char *to, size_t *n, bool *whole)
{
	struct base64_decoder d = {0};

	*n = 0;
	while (from.n > 0) {
		size_t piece = from.n < step ? from.n : step, more;

		if (!base64_decode(&d, view_of(from.p, piece), to + *n, &more))
			return false;
		CHECK(more <= BASE64_DECODED_MAX(piece));
		*n += more;
		from = view_from(from, piece);
	}
	*whole = base64_decoder_is_whole(&d);
	return true;
}

/* With a filling behind each `step` bytes. */
static size_t encode_by(struct view from, size_t step, char *to)
{
	struct base64_encoder e = {0};
	size_t n = 0;

	while (from.n > 0) {
		size_t piece = from.n < step ? from.n : step;

		n += base64_encode(&e, view_of(from.p, piece), to + n);
		n += base64_encode_end(&e, to + n);
		from = view_from(from, piece);
	}
	return n;
}

static void check_text(struct view text, char *one, char *other)
{
	size_t n, m;
	bool whole = false, also = false;
	bool good = decode_by(text, text.n + 1, one, &n, &whole);

	CHECK(decode_by(text, 1, other, &m, &also) == good);
	if (!good)
		return;
	CHECK(whole == also && view_eq(view_of(one, n), view_of(other, m)));
	/* Without a filling in the middle it has one spelling. */
	const char *filling = text.n > 0 ? memchr(text.p, '=', text.n) : NULL;

	if (whole && (filling == NULL || filling >= text.p + text.n - 2)) {
		m = encode_by(view_of(one, n), n + 1, other);
		CHECK(view_eq(view_of(other, m), text));
	}
}

static void check_bytes(struct view bytes, size_t step, char *text, char *back)
{
	size_t n = encode_by(bytes, step, text), m;
	bool whole = true;

	CHECK(decode_by(view_of(text, n), 3, back, &m, &whole) && whole);
	CHECK(view_eq(view_of(back, m), bytes));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct view bytes = view_of((const char *)data, n);
	char *one = malloc(4 * n + 8), *other = malloc(4 * n + 8);

	CHECK(one != NULL && other != NULL);
	check_text(bytes, one, other);
	for (size_t step = 1; step < 6; step++)
		check_bytes(bytes, step, one, other);
	free(one);
	free(other);
	return 0;
}
