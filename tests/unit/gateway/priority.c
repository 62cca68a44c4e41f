/* What a request's header says of its priority: a number, or a list of parameters with `u` (RFC 9218). */
#include "load.h"

#include "gateway/exchange.h"

enum { NOTHING = UINT8_MAX };

static const struct {
	const char *text;
	uint8_t priority;
} cases[] = {
	{"0", 0}, {"1", 1}, {"2", 2}, {"3", 3},
	{"4", NOTHING}, {"-1", NOTHING}, {"", NOTHING}, {"01", NOTHING}, {"high", NOTHING}, {" 1", NOTHING},
	/* The urgency, two of them for one. */
	{"u=0", 0}, {"u=1", 0}, {"u=2", 1}, {"u=3", 1}, {"u=4", 2}, {"u=5", 2}, {"u=6", 3}, {"u=7", 3},
	{"u=1, i", 0}, {"i, u=6", 3}, {"i,u=6", 3}, {"i;x=1,\tu=6", 3}, {"u=6;x", 3}, {"u=6 , i", 3},
	/* The last one counts, whatever it says. */
	{"u=1, u=7", 3}, {"u=7, u=8", NOTHING},
	{"u=8", NOTHING}, {"u", NOTHING}, {"u=", NOTHING}, {"u=10", NOTHING}, {"u=1x", NOTHING}, {"U=1", NOTHING},
	{"xu=1", NOTHING}, {"i;u=1", NOTHING}, {"i u=1", NOTHING}, {"u =1", NOTHING},
};

static void test_read(void **state)
{
	for (size_t i = 0; i < COUNT(cases); i++)
		if (priority_read(view_str(cases[i].text)) != cases[i].priority)
			fail_msg("\"%s\" is read as %u", cases[i].text, priority_read(view_str(cases[i].text)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_read)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
