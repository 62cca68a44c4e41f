/* See options.h. */
#include "options.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void take(const struct option *option, char *text)
{
	switch (option->kind) {
	case OPTION_UNSIGNED: *(unsigned *)option->value = (unsigned)atoi(text); return;
	case OPTION_U64: *(uint64_t *)option->value = strtoull(text, NULL, 10); return;
	case OPTION_I64: *(int64_t *)option->value = atoll(text); return;
	case OPTION_REAL: *(double *)option->value = atof(text); return;
	case OPTION_TEXT: *(const char **)option->value = text; return;
	}
}

static bool read_one(const struct option *options, size_t count, const char *name, char *text)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(options[i].name, name) == 0) {
			take(&options[i], text);
			return true;
		}
	return false;
}

int options_read(const struct option *options, size_t count, int argc, char **argv)
{
	bool good = argc >= 2 && argc % 2 == 0;

	for (int i = 2; good && i < argc; i += 2)
		good = read_one(options, count, argv[i], argv[i + 1]);
	return good ? atoi(argv[1]) : 0;
}
