/*
 * `shedding`: the marks at which new work is refused before old work suffers. Each is a share, a number, or `off`.
 *
 * The lag's default: a request passes through the loop four times, twice on its way there and twice back, so at 500 ms it
 * takes two seconds longer than it should. That is more than what is waited for a connection or for a health check by default (a
 * second), which then begin to fail: old work suffers. Less is seen on machines that are only busy, where refusing would be wrong.
 */
#include "base/units.h"
#include "config/config.h"
#include "config/read.h"

#define MEMORY_PRESET 90
#define MEMORY_BYTES_MIN (16 * MIB)
#define MEMORY_ALLOWED "`off`, a share from 1% to 100%, or a size from 16MiB on, in B, KiB, MiB or GiB (default 90%)"

void config_shedding_preset(struct config_shedding *shedding)
{
	shedding->memory_percent = MEMORY_PRESET;
}

/* False: it is none from 1% to 100%. */
static bool share_parse(struct view text, uint64_t *percent)
{
	return scalar_parse(UNIT_SHARE, text, percent) == SCALAR_OK && *percent >= 1 && *percent <= 100;
}

/* A share, or a size. */
static void memory_read(struct load *l, const struct node *node, void *out)
{
	struct config_shedding *shedding = &((struct config *)out)->shedding;
	struct view text = text_read(l, node, MEMORY_ALLOWED);
	uint64_t percent = 0, bytes = 0;
	struct quoted q;

	if (text.p == NULL)
		return;
	if (!view_eq(text, VIEW("off")) && !share_parse(text, &percent) &&
		(scalar_parse(UNIT_BYTES, text, &bytes) != SCALAR_OK || bytes < MEMORY_BYTES_MIN))
		complain(l, node, "found %s; allowed: %s", quote(&q, text), MEMORY_ALLOWED);
	shedding->memory_percent = (uint8_t)percent;
	shedding->memory_bytes = bytes;
}

#define MARK(field) FIELD(struct config, shedding.field), .or_off = true

static const struct key shedding_keys[] = {
	{"files", KEY_SHARE, MARK(files_percent), .min = 1, .max = 100, .preset = 90},
	{"memory", KEY_OWN, .read = memory_read},
	{"accept_queue", KEY_SHARE, MARK(accept_queue_percent), .min = 1, .max = 100, .preset = 50},
	{"loop_lag", KEY_DURATION, MARK(loop_lag_us), .min = 10 * US_PER_MS, .max = 60 * US_PER_S,
		.preset = 500 * US_PER_MS},
};

const struct section shedding_section = {KEYS(shedding_keys)};

/* --- in numbers ------------------------------------------------------------------------------------------------------ */

struct config_shedding_marks config_shedding_marks(
	const struct config_shedding *shedding, const struct config_machine *machine)
{
	struct config_shedding_marks marks = {.memory_bytes = shedding->memory_bytes, .loop_lag_us = shedding->loop_lag_us};

	if (!shedding->enabled)
		return (struct config_shedding_marks){0};
	if (shedding->files_percent > 0 && machine->files_max != 0 && machine->files_max != UINT64_MAX)
		marks.files = machine->files_max * shedding->files_percent / 100;
	if (shedding->memory_percent > 0 && machine->memory_max != 0)
		marks.memory_bytes = machine->memory_max / 100 * shedding->memory_percent;
	marks.accept_queue_permille = 10u * shedding->accept_queue_percent;
	return marks;
}
