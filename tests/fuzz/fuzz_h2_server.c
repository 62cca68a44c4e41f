/* Arbitrary bytes behind the preface, to a session that is a server: h2_outcome.c says what must hold. */
#include "fuzz.h"
#include "h2_outcome.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	h2_outcome_check(H2_SERVER, view_of((const char *)data, n));
	return 0;
}
