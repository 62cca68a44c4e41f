/*
 * Complaints: what was found, what is allowed, what to do, and where.
 *
 * A complaint is made and the reading goes on, so that one run shows all of them. Nothing else records that a file is
 * bad: it is bad when there is a complaint (or memory ran out, which load.c turns into one).
 */
#ifndef WEIR_CONFIG_COMPLAIN_H
#define WEIR_CONFIG_COMPLAIN_H

#include <stdarg.h>

#include "config/config.h"
#include "config/tree.h"

#define COMPLAINTS_MAX 100

/* About a value: its place, its path. */
__attribute__((format(printf, 3, 4))) void complain(struct load *l, const struct node *at, const char *format, ...);

/* About a key: where the key stands (the value, when the node has no key). */
__attribute__((format(printf, 3, 4))) void complain_key(struct load *l, const struct node *at, const char *format, ...);

/* About a key that is not there: the mapping's place, the path that the key would have. */
__attribute__((format(printf, 4, 5))) void complain_missing(struct load *l, const struct node *map, const char *key,
	const char *format, ...);

/* About a path without a place ("" for the file as a whole): for what is not about one line. */
__attribute__((format(printf, 3, 4))) void complain_whole(struct config_complaints *complaints, const char *path,
	const char *format, ...);

/* Whether there is any, kept or counted. */
static inline bool complained(const struct config_complaints *complaints)
{
	return complaints->count + complaints->more > 0;
}

/*
 * Whether this value was complained about already: then nothing true can be said of it together with others. Also when so
 * many are kept that no further one would be. NULL (the key is not there): no.
 */
bool complained_of(const struct load *l, const struct node *value);

/* Whether further complaints would only be counted: then their preparation can be spared. */
static inline bool complaints_full(const struct config_complaints *complaints)
{
	return complaints->count == COMPLAINTS_MAX;
}

/* Where the value stands, for complaints that come later. */
void config_place_read(struct load *l, const struct node *at, struct config_place *out);

/* --- words for complaints --------------------------------------------------------------------------------------- */

/* Foreign text made fit for one line of a terminal: quoted, control bytes as \xNN, cut when long. */
struct quoted {
	char text[112];
};

const char *quote(struct quoted *q, struct view text);

/* What a node holds, in a few words: its quoted text, "nothing", "a list", "a mapping". */
const char *node_describe(struct quoted *q, const struct node *node);

/*
 * The nearest spelling: init with what was found, offer what would have been right. `hint` is then
 * " (did you mean `x`?)", or empty when nothing is near. When `l` keeps no more complaints nothing is looked for.
 */
struct nearest {
	struct view word;
	struct view best;
	unsigned distance;
	char hint[96];
};

void nearest_init(struct nearest *n, const struct load *l, struct view word);
void nearest_offer(struct nearest *n, struct view candidate);
const char *nearest_hint(struct nearest *n);

#endif
