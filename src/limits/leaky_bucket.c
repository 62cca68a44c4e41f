/*
 * Leaky bucket, as a queue: requests leave it one by one, period_us / count apart, and who comes meanwhile waits, up to
 * delay_max_us; who would have to wait longer is refused. What comes out is even, however it went in.
 *
 *     slots   0    1    2    3    4    5    6          slot k is the time base_us + k * period_us / count
 *             |    x    |    o    x    x    .          x: somebody waits for it; o: given back, a hole; .: the tail
 *                  ^ now
 *
 * Source: J. Turner (as in token_bucket.c) for the bucket; for the queue worked out by one addition, instead of being kept, the
 * virtual scheduling of ITU-T I.371 (Annex A), there a meter. nginx's limit_req is of this kind.
 *
 * When the queue has run dry slot 0 is the present: whoever comes passes at once. Otherwise one takes the tail, or rather the first
 * hole in front of it: a slot is given back by whoever leaves before its time, and if it was the last one the queue is so much
 * shorter. Times come from a division that nothing is added up of, so nothing is rounded away.
 *
 * Weak points: who takes a hole overtakes those behind it. Only the last 256 slots can be given back; with a longer queue an earlier
 * one passes unused. A key at its limit makes each of its requests wait, with memory for each.
 */
#include "limits/rule.h"

#include <string.h>

static uint64_t slot_us(const struct limit_rule *rule, uint64_t base_us, uint64_t index)
{
	uint64_t part = index % rule->count * rule->period_us;

	return base_us + index / rule->count * rule->period_us + limit_divide_up(part, rule->count);
}

static bool is_dry(const struct leaky_bucket *b, const struct limit_rule *rule, uint64_t now_us)
{
	return slot_us(rule, b->base_us, b->tail) <= now_us;
}

static uint64_t *hole_word(struct leaky_bucket *b, uint64_t index)
{
	return &b->holes[index % LEAKY_HOLES / 64];
}

static bool is_hole(const struct leaky_bucket *b, uint64_t index)
{
	return b->holes[index % LEAKY_HOLES / 64] >> index % 64 & 1;
}

static void hole_close(struct leaky_bucket *b, uint64_t index)
{
	*hole_word(b, index) &= ~(UINT64_C(1) << index % 64);
}

/* The first slot that is not over yet. */
static uint64_t first_ahead(const struct leaky_bucket *b, const struct limit_rule *rule, uint64_t now_us)
{
	uint64_t index;

	if (now_us <= b->base_us)
		return 0;
	index = limit_scale(now_us - b->base_us, rule->count, rule->period_us);
	return slot_us(rule, b->base_us, index) < now_us ? index + 1 : index;
}

/* The first hole ahead; the tail, when there is none. */
static uint64_t free_slot(const struct leaky_bucket *b, const struct limit_rule *rule, uint64_t now_us)
{
	uint64_t any = 0, index;

	for (unsigned i = 0; i < LEAKY_HOLES / 64; i++)
		any |= b->holes[i];
	if (any == 0)
		return b->tail;
	index = first_ahead(b, rule, now_us);
	if (b->tail > LEAKY_HOLES && index < b->tail - LEAKY_HOLES)
		index = b->tail - LEAKY_HOLES;
	while (index < b->tail && !is_hole(b, index))
		index++;
	return index < b->tail ? index : b->tail;
}

/* How many more would find a place, holes not counted. */
static uint64_t places_left(const struct leaky_bucket *b, const struct limit_rule *rule, uint64_t now_us)
{
	uint64_t latest_us = now_us + rule->delay_max_us, last;

	if (latest_us < slot_us(rule, b->base_us, b->tail))
		return 0;
	last = limit_scale(latest_us - b->base_us, rule->count, rule->period_us);
	return last >= b->tail ? last - b->tail + 1 : 0;
}

static void dry(struct leaky_bucket *b, uint64_t now_us)
{
	memset(b, 0, sizeof(*b));
	b->base_us = now_us;
}

struct limit_answer leaky_bucket_take(
	struct leaky_bucket *b, const struct limit_rule *rule, uint64_t now_us, struct limit_slot *slot)
{
	struct limit_answer answer = {.verdict = LIMIT_PASSES};

	if (is_dry(b, rule, now_us))
		dry(b, now_us);

	uint64_t index = free_slot(b, rule, now_us), time_us = slot_us(rule, b->base_us, index);
	uint64_t wait_us = time_us > now_us ? time_us - now_us : 0;

	if (wait_us > rule->delay_max_us) {
		answer.verdict = LIMIT_REFUSED;
		answer.retry_us = wait_us - rule->delay_max_us;
	} else {
		answer.verdict = wait_us > 0 ? LIMIT_WAITS : LIMIT_PASSES;
		answer.wait_us = wait_us;
		hole_close(b, index);
		b->tail += index == b->tail;
		*slot = (struct limit_slot){b->base_us, index};
	}
	answer.remaining = places_left(b, rule, now_us);
	answer.reset_us = is_dry(b, rule, now_us) ? 0 : slot_us(rule, b->base_us, b->tail) - now_us;
	return answer;
}

void leaky_bucket_leave(
	struct leaky_bucket *b, const struct limit_rule *rule, uint64_t now_us, const struct limit_slot *slot)
{
	if (b->base_us != slot->base_us || slot->index >= b->tail || slot_us(rule, b->base_us, slot->index) <= now_us)
		return;
	if (slot->index + 1 < b->tail) {
		if (b->tail - slot->index <= LEAKY_HOLES)
			*hole_word(b, slot->index) |= UINT64_C(1) << slot->index % 64;
		return;
	}
	b->tail--;
	while (b->tail > 0 && is_hole(b, b->tail - 1))
		hole_close(b, --b->tail);
}

bool leaky_bucket_is_fresh(const struct leaky_bucket *b, const struct limit_rule *rule, uint64_t now_us)
{
	return is_dry(b, rule, now_us);
}
