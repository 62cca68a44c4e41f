/* See json_text.h. The pen is given by value, so that whoever writes with it may have it in registers. */
#include "tracing/json_text.h"

#include <jansson.h>

#define REPLACEMENT "\xef\xbf\xbd"
#define REPLACEMENT_BYTES (sizeof(REPLACEMENT) - 1)

_Static_assert(REPLACEMENT_BYTES <= JSON_TEXT_MAX, "there is room for it");

/* As UTF-8, which is made where the text will stand. */
static json_t *replaced(struct pen pen, struct view text)
{
	char *at = pen.at;

	for (size_t i = 0; i < text.n; i++)
		if ((unsigned char)text.p[i] < 0x80)
			*at++ = text.p[i];
		else
			at = (char *)memcpy(at, REPLACEMENT, REPLACEMENT_BYTES) + REPLACEMENT_BYTES;
	return json_stringn(pen.at, (size_t)(at - pen.at));
}

__attribute__((noinline, cold)) static char *write_escaped(struct pen pen, struct view text)
{
	size_t room = (size_t)(pen.end - pen.at), n;
	json_t *value = json_stringn(text.p, text.n);

	CHECK(text.n <= room / REPLACEMENT_BYTES);
	if (value == NULL)
		value = replaced(pen, text);
	n = value == NULL ? 0 : json_dumpb(value, pen.at, room, JSON_ENCODE_ANY);
	CHECK(n <= room);
	json_decref(value);
	return n == 0 ? NULL : pen.at + n;
}

char *json_text_write(struct pen pen, struct view text)
{
	return pen_json_plain(&pen, text) ? pen.at : write_escaped(pen, text);
}
