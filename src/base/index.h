/*
 * An index: things by what they are called. However many there are, and in whatever order they stand, finding each of them takes as many
 * steps as there are things.
 *
 *     index_init --> index_put for each --> index_find, as often as wanted --> index_release
 *
 * What a thing is called is a name, and a part of it where that does not say it alone: of an endpoint, its upstream's name and its own
 * address. Both are borrowed. They are the operator's own words: nobody else chooses them so that they stand in each other's way.
 */
#ifndef WEIR_BASE_INDEX_H
#define WEIR_BASE_INDEX_H

#include "base/view.h"

struct indexed {
	struct view name, part;
	void *thing;
	size_t place;              /* how many were put before it */
};

struct index_slot;

/* Zero: nothing is in it. */
struct index {
	struct indexed *items;
	struct index_slot *slots;
	size_t count, mask;
	bool has_doubles;          /* some are called the same */
};

/* With room for so many. False: out of memory, and nothing is to be released. */
bool index_init(struct index *index, size_t room);

void index_put(struct index *index, struct view name, struct view part, void *thing);

/* NULL: there is none; of several the one that was put first. Any thread, once all are in it. */
const struct indexed *index_find(const struct index *index, struct view name, struct view part);

/* Legal on one that is zero, or was released. */
void index_release(struct index *index);

#endif
