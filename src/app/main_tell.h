/* What the main thread says in the event log. */
#ifndef WEIR_APP_MAIN_TELL_H
#define WEIR_APP_MAIN_TELL_H

#include "telemetry/journal.h"

/* `by`: who has the gateway do what is told, which is told whatever the level; NULL: nobody has. */
__attribute__((format(printf, 4, 5))) void main_tell(
	struct journal *journal, int level, const char *by, const char *format, ...);

#endif
