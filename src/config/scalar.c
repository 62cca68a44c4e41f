/*
 * One table a kind of number: reading looks a unit up by name, writing takes the largest that divides the value.
 */
#include "config/scalar.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/units.h"

struct unit {
	const char *name;
	uint64_t factor;
};

/* From small to large; the first one is what values are kept in. */
struct unit_table {
	const struct unit *units;
	size_t count;
	size_t written_count;      /* the first of them, which values are written in */
	const char *words;
};

static const struct unit time_units[] = {
	{"us", 1}, {"ms", US_PER_MS}, {"s", US_PER_S}, {"m", 60 * US_PER_S}, {"h", 3600 * US_PER_S}, {"d", 86400 * US_PER_S}};
static const struct unit byte_units[] = {{"B", 1}, {"KiB", KIB}, {"MiB", MIB}, {"GiB", GIB}};
static const struct unit share_units[] = {{"%", 1}};
static const struct unit no_units[] = {{"", 1}};

static const struct unit_table tables[] = {
	[UNIT_NONE] = {no_units, 1, 1, ""},
	[UNIT_TIME] = {time_units, 6, 5, "us, ms, s, m, h or d"},
	[UNIT_BYTES] = {byte_units, 4, 4, "B, KiB, MiB or GiB"},
	[UNIT_SHARE] = {share_units, 1, 1, "%"},
};

static const struct unit *unit_find(const struct unit_table *table, struct view name)
{
	for (size_t i = 0; i < table->count; i++)
		if (view_eq(view_str(table->units[i].name), name))
			return &table->units[i];
	return NULL;
}

/* How many decimal digits the text begins with. */
static size_t digits_count(struct view text)
{
	size_t n = 0;

	while (n < text.n && text.p[n] >= '0' && text.p[n] <= '9')
		n++;
	return n;
}

enum scalar_status scalar_parse(enum scalar_unit unit, struct view text, uint64_t *value)
{
	const struct unit_table *table = &tables[unit];
	size_t digits = digits_count(text);
	uint64_t number;

	if (digits > 0 && view_starts(view_from(text, digits), VIEW(".")))
		return SCALAR_NOT_WHOLE;
	if (digits == 0 || (unit == UNIT_NONE && digits != text.n))
		return SCALAR_NOT_A_NUMBER;
	if (!view_parse_u64(view_of(text.p, digits), &number))
		return SCALAR_TOO_LARGE;
	if (number == 0 && digits == text.n) {
		*value = 0;
		return SCALAR_OK;
	}
	const struct unit *found = unit_find(table, view_from(text, digits));
	if (found == NULL)
		return digits == text.n ? SCALAR_WITHOUT_UNIT : SCALAR_UNKNOWN_UNIT;
	if (number > UINT64_MAX / found->factor)
		return SCALAR_TOO_LARGE;
	*value = number * found->factor;
	return SCALAR_OK;
}

const char *scalar_format(enum scalar_unit unit, uint64_t value, char text[SCALAR_TEXT_MAX])
{
	const struct unit_table *table = &tables[unit];
	size_t i = table->written_count - 1;

	while (value % table->units[i].factor != 0)
		i--;
	snprintf(text, SCALAR_TEXT_MAX, "%" PRIu64 "%s", value / table->units[i].factor,
		value == 0 ? "" : table->units[i].name);
	return text;
}

const char *scalar_units(enum scalar_unit unit)
{
	return tables[unit].words;
}
