/* See route_table.h. */
#include "gateway/route_table.h"

#include <stdlib.h>

#define UNIT sizeof(uint32_t)

/* Half of the slots at least stay empty: so a look-up ends soon. */
bool route_table_init(struct route_table *table, size_t count, size_t text_bytes)
{
	size_t slots = 16, units = count * (sizeof(struct route_entry) / UNIT + 1) + text_bytes / UNIT;

	while (slots < 2 * count)
		slots *= 2;
	*table = (struct route_table){.mask = slots - 1};
	table->slots = calloc(slots, sizeof(*table->slots));
	table->entries = malloc((units + 1) * UNIT);
	return table->slots != NULL && table->entries != NULL;
}

void route_table_release(struct route_table *table)
{
	free(table->slots);
	free(table->entries);
	*table = (struct route_table){0};
}

static struct route_slot entry_add(struct route_table *table, const struct route_key *key)
{
	struct route_slot slot = {.tag = (uint32_t)(key->hash >> 32), .at = (uint32_t)table->used + 1};
	struct route_entry *entry = route_table_entry(table, slot);

	*entry = (struct route_entry){.scope = key->scope, .kind = key->kind, .value = ROUTE_NONE, .n = (uint32_t)key->text.n};
	if (key->text.n > 0)
		memcpy(entry->text, key->text.p, key->text.n);
	table->used += (sizeof(*entry) + key->text.n + UNIT - 1) / UNIT;
	return slot;
}

uint32_t *route_table_put(struct route_table *table, const struct route_key *key)
{
	struct route_slot *slot = route_table_slot(table, key);

	if (slot->at == 0)
		*slot = entry_add(table, key);
	return &route_table_entry(table, *slot)->value;
}
