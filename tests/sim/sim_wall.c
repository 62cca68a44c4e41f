#include "sim_wall.h"

#include <time.h>

#include "sim_model.h"
#include "sim_world.h"

#define WALL_AT_ZERO_US 1700000000000000ULL
#define SLOT_US 100000
#define OFF_MAX_US 1800000000ULL

uint64_t wall_us(uint64_t at_us)
{
	uint64_t off_us = OFF_MAX_US;

	if (plan.wall_jumps)
		off_us = world_also(world_seed() + at_us / SLOT_US, ALSO_WALL) % (2 * OFF_MAX_US);
	return at_us + WALL_AT_ZERO_US + off_us - OFF_MAX_US;
}

const char *wall_date(uint64_t unix_s, char date[WALL_DATE_BYTES])
{
	time_t time = (time_t)unix_s;
	struct tm tm;

	strftime(date, WALL_DATE_BYTES, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&time, &tm));
	return date;
}

/* UINT64_MAX: it is none. */
static uint64_t date_read(const char *text)
{
	struct tm tm = {0};
	const char *end = strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &tm);

	return end != NULL && *end == '\0' ? (uint64_t)timegm(&tm) : UINT64_MAX;
}

void wall_check_answer(const struct sim_request *request, const struct sim_reader *reader)
{
	const char *text = "";
	unsigned dates = reader_field(reader, "Date", &text);
	/* It may have been given with the connection, before the request began. */
	bool closes = reader_field_has(reader, "Connection", "close");
	uint64_t unix_s = date_read(text), now_us = world_now_us(), at_us = request->started_us;

	for (uint64_t until_us; dates == 1 && at_us <= now_us; at_us = until_us + 1) {
		until_us = at_us - at_us % SLOT_US + SLOT_US - 1;
		until_us = until_us < now_us ? until_us : now_us;
		if (unix_s >= wall_us(at_us) / 1000000 && unix_s <= wall_us(until_us) / 1000000)
			return;
	}
	if (dates == 1 && closes)
		return;
	world_violation("1: the answer's fields", "own answer to %u, which began at %llu us: %u Date, %s", request->id,
		(unsigned long long)request->started_us, dates, text);
}
