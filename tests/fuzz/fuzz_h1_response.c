/*
 * Responses from arbitrary bytes, as answers to GET and to HEAD: the same message however the bytes arrive, and the
 * same when written out and read again. Whatever is wrong with a head is the upstream's fault.
 */
#include "base/check.h"
#include "fuzz.h"
#include "h1_outcome.h"

static void check_blame(const struct outcome_kind *kind, struct view bytes)
{
	struct outcome o;

	outcome_read(&o, kind, bytes, arrival_whole());
	if (o.status == H1_BAD && !o.has_head)
		CHECK(o.cause == CAUSE_UPSTREAM_BAD_RESPONSE);
	if (o.has_head)
		CHECK(o.m.status >= 100 && o.m.status <= 599);
	if (o.has_head &&
		(kind->request_method == METHOD_HEAD || o.m.status < 200 || o.m.status == 204 || o.m.status == 304))
		CHECK(o.m.framing == FRAMING_NONE);
	outcome_release(&o);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const struct outcome_kind kinds[] = {
		{.response = true, .request_method = METHOD_GET},
		{.response = true, .request_method = METHOD_HEAD},
	};
	struct view bytes = view_of((const char *)data, n);

	for (unsigned i = 0; i < 2; i++) {
		outcome_check(&kinds[i], bytes);
		check_blame(&kinds[i], bytes);
	}
	return 0;
}
