/* See retry_after.h. */
#include "http/retry_after.h"

#include "base/units.h"
#include "http/date.h"

#define CENTURY_S (100ULL * 366 * 86400)

bool retry_after_parse(struct view value, uint64_t unix_now_us, uint64_t *after_us)
{
	uint64_t seconds, now_s = unix_now_us / US_PER_S;

	if (view_parse_u64(value, &seconds)) {
		*after_us = (seconds < CENTURY_S ? seconds : CENTURY_S) * US_PER_S;
		return true;
	}
	if (!http_date_parse(value, now_s, &seconds))
		return false;
	*after_us = seconds > now_s ? seconds * US_PER_S - unix_now_us : 0;
	if (*after_us > CENTURY_S * US_PER_S)
		*after_us = CENTURY_S * US_PER_S;
	return true;
}
