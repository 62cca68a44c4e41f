/*
 * An index: things by what they are called, sorted once and found by halving from then on. So however many there are, and in whatever
 * order they stand, finding each of them takes n log n steps.
 *
 *     index_init --> index_put for each --> index_sort --> index_find, as often as wanted --> index_release
 *
 * What a thing is called is a name, and a part of it where that does not say it alone: of an endpoint, its upstream's name and its own
 * address. Both are borrowed.
 */
#ifndef WEIR_BASE_INDEX_H
#define WEIR_BASE_INDEX_H

#include "base/view.h"

struct indexed {
	struct view name, part;
	void *thing;
	size_t place;              /* how many were put before it */
};

/* Zero: nothing is in it. */
struct index {
	struct indexed *items;
	size_t count;
};

/* With room for so many. False: out of memory. */
bool index_init(struct index *index, size_t room);

void index_put(struct index *index, struct view name, struct view part, void *thing);

/* False: some are called the same. */
bool index_sort(struct index *index);

/* NULL: there is none; of several the one that was put first. Any thread, once it is sorted. */
const struct indexed *index_find(const struct index *index, struct view name, struct view part);

/* Legal on one that is zero, or was released. */
void index_release(struct index *index);

#endif
