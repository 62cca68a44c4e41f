/* `reload`: when the file is read again without anybody saying so. */
#include "base/units.h"
#include "config/read.h"

static const struct key reload_keys[] = {
	{"watch", KEY_CHOICE, FIELD(struct config, reload.watch), .words = truth_words, .preset = false},
	{"settle", KEY_DURATION, FIELD(struct config, reload.settle_us), .min = 10 * US_PER_MS, .max = 60 * US_PER_S,
		.preset = 500 * US_PER_MS},
};

const struct section reload_section = {KEYS(reload_keys)};
