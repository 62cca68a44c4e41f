/* The names of fields that have an id (field_id.c), for those who look a name up. Private to the readers of this room. */
#ifndef WEIR_HTTP_FIELD_TABLE_H
#define WEIR_HTTP_FIELD_TABLE_H

#include "http/message.h"

enum { FIELD_NAME_MIN = 2, FIELD_NAME_MAX = 19 };  /* "te", "proxy-authorization" */

/* By length, and the last five bits of the first letter, which are the same in both cases. */
extern const uint8_t field_candidates[FIELD_NAME_MAX + 1][32];

/* In lower case, with zeros behind. */
extern const char field_names[FIELD_COUNT][FIELD_NAME_MAX + 1];

/* The only one that the name can be; FIELD_OTHER: none. */
static inline enum field_id field_candidate(const char *name, size_t n)
{
	if (n < FIELD_NAME_MIN || n > FIELD_NAME_MAX)
		return FIELD_OTHER;
	return (enum field_id)field_candidates[n][*name & 31];
}

#endif
