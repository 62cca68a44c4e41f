/* See phase.h. */
#include "base/phase.h"

#include "base/check.h"

#define PHASE_WORD(suffix, word, text) [PHASE_##suffix] = (word),

static const char *const words[PHASE_COUNT] = {PHASES(PHASE_WORD)};

const char *phase_word(enum phase phase)
{
	CHECK((unsigned)phase < PHASE_COUNT);
	return words[phase];
}
