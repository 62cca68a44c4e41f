/* What loads are told: PORT [OPTION VALUE]..., each option at most a line of a table. */
#ifndef WEIR_BENCH_OPTIONS_H
#define WEIR_BENCH_OPTIONS_H

#include <stddef.h>

enum option_kind {
	OPTION_UNSIGNED, /* unsigned */
	OPTION_U64,      /* uint64_t */
	OPTION_I64,      /* int64_t */
	OPTION_REAL,     /* double */
	OPTION_TEXT,     /* const char *, borrowed */
};

struct option {
	const char *name; /* "--clients" */
	enum option_kind kind;
	void *value; /* stays what it is when the option is not there */
};

/* The port; 0: something is not understood. */
int options_read(const struct option *options, size_t count, int argc, char **argv);

#endif
