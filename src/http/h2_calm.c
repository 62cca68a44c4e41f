/*
 * What a peer may cost us.
 *
 *     noise   <- earned by heads received and content sent; spent by frames that carry nothing
 *     glitch  <- noise that was not earned, streams reset too early, refused or malformed, empty frames
 *     debt    <- glitches, less those forgiven by time and by streams that came to their proper end
 *
 * Half of the debt that is allowed begins a drain: a client that is only unlucky opens another connection and loses
 * nothing. All of it ends the session.
 *
 * Work is not paid for but spread: it is counted in fields while bytes are being received, and when there were many of
 * them the rest of the bytes waits, so that one connection's flood is no other's delay.
 *
 * Memory: everything that nghttp2 asks for goes through an allocator that counts and says no.
 */
#include <malloc.h>
#include <stdlib.h>

#include "base/planted.h"
#include "base/units.h"
#include "http/h2_state.h"

void h2_budget_init(struct h2_session *s)
{
	s->budget = (struct h2_budget){.forgiven_us = s->now_us, .noise = H2_NOISE_FIRST};
}

/* What time forgives, in whole glitches. */
static void forgive_by_time(struct h2_session *s)
{
	struct h2_budget *b = &s->budget;
	uint64_t per_s = s->limits.glitches_forgiven_per_s;
	uint64_t since_us = s->now_us - b->forgiven_us;

	if (per_s == 0 || b->debt == 0 || since_us / US_PER_S >= b->debt / per_s + 1) {
		b->debt = per_s == 0 ? b->debt : 0;
		b->forgiven_us = s->now_us;
		return;
	}
	uint64_t forgiven = since_us * per_s / US_PER_S;

	b->debt -= forgiven < b->debt ? forgiven : b->debt;
	b->forgiven_us += forgiven * US_PER_S / per_s;
}

void h2_glitch(struct h2_session *s)
{
	struct h2_budget *b = &s->budget;

	if (PLANTED(FLOOD_BORNE))
		return;
	forgive_by_time(s);
	b->glitches++;
	b->debt++;
	if (b->debt > s->limits.glitches_max) {
		/* For all that it did, and not for the last of it. */
		s->frame_id = 0;
		h2_session_fail(s, H2_ENHANCE_YOUR_CALM, "the peer has used up what it may cost");
	} else if (b->debt > s->limits.glitches_max / 2 && s->drain == H2_DRAIN_NONE && s->role == H2_SERVER) {
		h2_session_drain(s);
	}
}

void h2_noise(struct h2_session *s)
{
	if (s->budget.noise == 0)
		h2_glitch(s);
	else
		s->budget.noise--;
}

void h2_noise_of_bytes(struct h2_session *s, size_t n)
{
	struct h2_budget *b = &s->budget;

	for (b->barren_bytes += n; b->barren_bytes >= H2_NOISE_BYTES; b->barren_bytes -= H2_NOISE_BYTES)
		h2_noise(s);
}

void h2_allow(struct h2_session *s, uint32_t noise)
{
	uint32_t room = H2_NOISE_MAX - s->budget.noise;

	s->budget.noise += noise < room ? noise : room;
}

void h2_earn(struct h2_session *s, uint32_t noise)
{
	s->budget.barren = false;
	s->budget.barren_bytes = 0;
	h2_allow(s, noise);
}

/* A proxy may have a crowd of requests for a new connection, before it has heard of our limit. */
void h2_glitch_of_refusal(struct h2_session *s)
{
	if (!s->acknowledged && s->budget.refused_early < H2_REFUSED_EARLY_MAX)
		s->budget.refused_early++;
	else
		h2_glitch(s);
}

/* A client has few servers, and has chosen them. */
void h2_work_of_head(struct h2_session *s)
{
	if (s->role == H2_SERVER)
		s->budget.work += H2_WORK_PER_HEAD;
}

bool h2_work_of_field(struct h2_session *s)
{
	if (s->role != H2_SERVER)
		return true;
	s->budget.work += ++s->block.fields_seen > H2_WORK_CROWD_FIELDS ? H2_WORK_PER_CROWDED : 1;
	return s->budget.work < H2_WORK_MAX;
}

void h2_forgive(struct h2_session *s)
{
	s->budget.debt -= s->budget.debt > 0;
}

/* --- memory ----------------------------------------------------------------------------------------------------- */

/* What malloc may give beyond what it was asked for, and is counted: a page, where it maps. */
enum { SLACK_BYTES = 4096 + 64 };

static bool has_room(const struct h2_session *s, size_t n)
{
	if (__builtin_add_overflow(n, SLACK_BYTES, &n))
		return false;
	return n <= s->limits.memory_bytes_max && s->memory_bytes <= s->limits.memory_bytes_max - n;
}

static void *counted(struct h2_session *s, void *p)
{
	if (p != NULL)
		s->memory_bytes += malloc_usable_size(p);
	return p;
}

static void *memory_malloc(size_t n, void *context)
{
	struct h2_session *s = context;

	return has_room(s, n) ? counted(s, malloc(n)) : NULL;
}

static void *memory_calloc(size_t count, size_t n, void *context)
{
	struct h2_session *s = context;
	size_t all;

	if (__builtin_mul_overflow(count, n, &all) || !has_room(s, all))
		return NULL;
	return counted(s, calloc(count, n));
}

static void memory_free(void *p, void *context)
{
	struct h2_session *s = context;

	if (p != NULL)
		s->memory_bytes -= malloc_usable_size(p);
	free(p);
}

static void *memory_realloc(void *p, size_t n, void *context)
{
	struct h2_session *s = context;
	size_t before = p != NULL ? malloc_usable_size(p) : 0;
	void *moved = has_room(s, n > before ? n - before : 0) ? realloc(p, n > 0 ? n : 1) : NULL;

	if (moved == NULL)
		return NULL;
	s->memory_bytes -= before;
	return counted(s, moved);
}

nghttp2_mem h2_memory(struct h2_session *s)
{
	return (nghttp2_mem){
		.mem_user_data = s,
		.malloc = memory_malloc,
		.free = memory_free,
		.calloc = memory_calloc,
		.realloc = memory_realloc,
	};
}
