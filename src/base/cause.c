/*
 * The table of causes, laid out from the list in the header: one row for each enumerator, in its order.
 */
#include "base/cause.h"

#include "base/check.h"

#define CAUSE_ROW(suffix, word, status, fault, proxy_status, text) \
	[CAUSE_##suffix] = {word, status, fault, proxy_status, text},

static const struct cause_info causes[CAUSE_COUNT] = {CAUSES(CAUSE_ROW)};

const struct cause_info *cause_info(enum cause cause)
{
	CHECK((unsigned)cause < CAUSE_COUNT);
	return &causes[cause];
}
