/* See rfc3339.h. */
#include "base/rfc3339.h"

#include <endian.h>
#include <string.h>

#include "base/units.h"

/* Two digits of a number below 100. */
static void put_two(char *to, unsigned value)
{
	unsigned tens = value / 10;
	uint16_t digits = (uint16_t)(0x3030 + tens + ((value - 10 * tens) << 8));

	digits = le16toh(digits);
	memcpy(to, &digits, sizeof(digits));
}

/* Which day that is, counted from 1970-01-01 (Gregorian): years begin in March here, so that a leap day is the last of its year. */
static void put_day(char *to, uint32_t day)
{
	uint32_t since = day + 719468, era = since / 146097, of_era = since % 146097;
	uint32_t year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	uint32_t of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	uint32_t months = (5 * of_year + 2) / 153, month = months < 10 ? months + 3 : months - 9;
	uint32_t year = era * 400 + year_of_era + (month <= 2);

	put_two(to, year / 100);
	put_two(to + 2, year % 100);
	put_two(to + 5, month);
	put_two(to + 8, of_year - (153 * months + 2) / 5 + 1);
}

void rfc3339_write_seconds(uint64_t wall_us, char to[RFC3339_SECONDS_BYTES])
{
	uint64_t seconds = wall_us / US_PER_S;
	unsigned of_day = (unsigned)(seconds % 86400);

	memcpy(to, "____-__-__T__:__:__Z", RFC3339_SECONDS_BYTES);
	put_day(to, (uint32_t)(seconds / 86400));
	put_two(to + 11, of_day / 3600);
	put_two(to + 14, of_day / 60 % 60);
	put_two(to + 17, of_day % 60);
}

void rfc3339_write(uint64_t wall_us, char to[RFC3339_BYTES])
{
	unsigned ms = (unsigned)(wall_us % US_PER_S / US_PER_MS);

	rfc3339_write_seconds(wall_us, to);
	memcpy(to + RFC3339_SECONDS_BYTES - 1, ".___Z", 5);
	put_two(to + 20, ms / 10);
	to[22] = (char)('0' + ms % 10);
}
