/*
 * PROXY headers from arbitrary bytes: the same header however the bytes arrive, never a byte asked for that is not its own,
 * and what it names reads the same when it is written again.
 */
#include "base/check.h"
#include "fuzz.h"
#include "net/proxy_header.h"

/* As a connection reads it: no more than what was asked for, and what there is of that. Stops where the bytes end. */
static enum proxy_header_status read_stepwise(struct view bytes, unsigned versions, struct proxy_header *h)
{
	struct view so_far = view_of(bytes.p, 0);
	enum proxy_header_status status;

	while ((status = proxy_header_read(so_far, versions, h)) == PROXY_HEADER_MORE) {
		CHECK(h->more > 0 && so_far.n + h->more <= PROXY_HEADER_BYTES_MAX);
		if (so_far.n == bytes.n)
			return status;
		so_far.n += h->more < bytes.n - so_far.n ? h->more : bytes.n - so_far.n;
	}
	if (status == PROXY_HEADER_DONE)
		CHECK(h->consumed == so_far.n);
	return status;
}

static void check_again(const struct proxy_header *h, enum proxy_header_version version)
{
	char out[PROXY_HEADER_WRITTEN_MAX];
	size_t n = proxy_header_write(out, version, &h->source, &h->destination);
	unsigned char bytes[16];
	struct proxy_header again;
	bool internet = address_bytes(&h->source, bytes) && address_bytes(&h->destination, bytes);

	CHECK(proxy_header_read(view_of(out, n), version, &again) == PROXY_HEADER_DONE && again.consumed == n);
	CHECK(again.named == internet);
	if (internet)
		CHECK(address_eq(&again.source, &h->source) && address_eq(&again.destination, &h->destination));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct view bytes = view_of((const char *)data, n);

	for (unsigned versions = 1; versions <= 3; versions++) {
		struct proxy_header whole = {0}, stepwise = {0};
		enum proxy_header_status status = proxy_header_read(bytes, versions, &whole);

		CHECK(read_stepwise(bytes, versions, &stepwise) == status);
		if (status == PROXY_HEADER_BAD)
			CHECK(whole.why != NULL);
		if (status != PROXY_HEADER_DONE)
			continue;
		CHECK(whole.consumed <= n && whole.consumed == stepwise.consumed && whole.named == stepwise.named);
		if (whole.named) {
			check_again(&whole, PROXY_HEADER_V1);
			check_again(&whole, PROXY_HEADER_V2);
		}
	}
	return 0;
}
