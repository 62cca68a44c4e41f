/* See json_at.h. */
#include "app/json_at.h"

#include <stdbool.h>
#include <stdint.h>

/* U+0080 to U+009F in UTF-8. */
static bool is_c1(const char *text)
{
	return (unsigned char)text[0] == 0xc2 && (unsigned char)text[1] >= 0x80 && (unsigned char)text[1] <= 0x9f;
}

void text_tame(char *text)
{
	for (; *text != '\0'; text++) {
		if (is_c1(text)) {
			*text++ = '?';
			*text = '?';
		} else if ((unsigned char)*text < ' ' || *text == 0x7f) {
			*text = '?';
		}
	}
}

const char *text_of(const json_t *value, const char *otherwise)
{
	const char *text = json_string_value(value);

	if (text == NULL)
		return otherwise;
	/* It belongs to the string, whose length stays. */
	text_tame((char *)(uintptr_t)text);
	return text;
}
