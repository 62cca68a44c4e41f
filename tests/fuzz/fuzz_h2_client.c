/* Arbitrary bytes to a session that is a client: h2_outcome.c says what must hold. */
#include "fuzz.h"
#include "h2_outcome.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	h2_outcome_check(H2_CLIENT, view_of((const char *)data, n));
	return 0;
}
