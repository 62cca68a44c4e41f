/*
 * A request that is sent in the moment in which the backend closes the resting connection is lost, and one that must not
 * be sent twice fails. So connections are given up before the backend does it: the limit stays below what the backend
 * announces and below what it has been seen to do, less a margin for the way there and back.
 *
 * What is seen is an age: how long a connection had rested when the backend closed it. Not every age is the backend's idle
 * timeout. A restart closes connections of whatever age. The difference:
 *
 *   - A restart closes everything in one moment. All closes within MOMENT_US are one event; when their ages differ by more
 *     than jitter explains, the event says nothing, and what its first close seemed to say is taken back.
 *   - A timeout comes again at the same age. Only CONFIRMATIONS events in a row whose ages agree make one believed. Agreeing
 *     is loose, because timeouts have jitter; the shortest counts.
 *   - Nothing survives a timeout. A connection that has rested for half as long again and was good clears the candidate; and
 *     so do SURVIVORS that have rested as long, since the latest close. (A backend that closes what is of a certain age, or
 *     has served so many requests, closes at the ages that traffic has; most connections survive those.)
 *   - Nobody rests for less than LEARN_MIN_US on purpose: what is closed sooner is closed for another reason.
 *
 * While the limit is below the timeout nothing can be seen of it any more, so a longer one would never be noticed. So what
 * was learned is raised by a quarter from time to time, but only when a connection has rested right up to the limit. If the
 * timeout is still what it was, the first close says so (one event is enough: it agrees with what was known), and the next
 * try comes after twice the patience. Trying costs little: for the time of one close the odds are what they were before
 * anything was learned.
 *
 * The idea of probing upwards with growing patience is that of discovering a path's MTU (RFC 8899 §5.2, probing and
 * PMTU_RAISE_TIMER). Of a margin below the announced time: the fetch implementation of Node.js (undici,
 * keepAliveTimeoutThreshold).
 */
#include "upstream/idle_close.h"

#include "base/units.h"

#define MOMENT_US (100 * US_PER_MS)
#define SLACK_US (50 * US_PER_MS)  /* ages that differ by less are the same */
#define CONFIRMATIONS 3
#define SURVIVORS 8
#define LEARN_MIN_US (500 * US_PER_MS)
#define PATIENCE_MIN_US (60 * US_PER_S)
#define PATIENCE_MAX_US (16 * PATIENCE_MIN_US)
#define LIMIT_MIN_US (20 * US_PER_MS)
#define MARGIN_MAX_US (5 * US_PER_S)
#define DAY_S 86400u
#define DAY_US (DAY_S * US_PER_S)

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Up to a quarter apart. */
static bool agree(uint64_t shorter_us, uint64_t longer_us)
{
	return longer_us <= shorter_us + shorter_us / 4 + SLACK_US;
}

/* So long a connection may rest that is closed after `timeout_us`. */
static uint64_t below(uint64_t timeout_us)
{
	uint64_t margin_us = min_u64(timeout_us / 8 + MOMENT_US, MARGIN_MAX_US);

	return timeout_us < margin_us + LIMIT_MIN_US ? LIMIT_MIN_US : timeout_us - margin_us;
}

static void set_doubt(struct idle_close *ic)
{
	const struct idle_close_belief *b = &ic->belief;

	ic->doubt_us = b->agreeing > 0 ? b->candidate_us - 1 : UINT64_MAX;
	if (b->learned_us != 0)
		ic->doubt_us = min_u64(ic->doubt_us, below(b->learned_us) - 1);
}

void idle_close_init(struct idle_close *ic)
{
	*ic = (struct idle_close){.belief.patience_us = PATIENCE_MIN_US};
	set_doubt(ic);
}

/* --- closes --------------------------------------------------------------------------------------------------------- */

static void confirmed(struct idle_close_belief *b, uint64_t now_us)
{
	if (b->probing && b->candidate_us < b->learned_us) {
		b->probing = false;
		b->patience_us = min_u64(2 * b->patience_us, PATIENCE_MAX_US);
	}
	b->learned_us = b->candidate_us;
	b->probed_us = now_us;
}

static void believe(struct idle_close_belief *b, uint64_t now_us, uint64_t age_us)
{
	uint64_t shorter_us = min_u64(b->candidate_us, age_us), longer_us = b->candidate_us + age_us - shorter_us;

	if (b->agreeing > 0 && agree(shorter_us, longer_us)) {
		b->candidate_us = shorter_us;
		b->agreeing++;
	} else {
		b->candidate_us = age_us;
		b->agreeing = 1;
	}
	b->survivors = 0;
	if (b->agreeing >= CONFIRMATIONS)
		confirmed(b, now_us);
}

void idle_close_seen(struct idle_close *ic, uint64_t now_us, uint64_t age_us)
{
	if (age_us > DAY_US)
		return;
	if (ic->longest_us == 0 || now_us - ic->moment_us > MOMENT_US) {
		ic->moment_us = now_us;
		ic->before = ic->belief;
		ic->shortest_us = age_us;
		ic->longest_us = age_us + 1;
	} else {
		ic->shortest_us = min_u64(ic->shortest_us, age_us);
		ic->longest_us = age_us >= ic->longest_us ? age_us + 1 : ic->longest_us;
		ic->belief = ic->before;
	}
	if (ic->shortest_us >= LEARN_MIN_US && agree(ic->shortest_us, ic->longest_us))
		believe(&ic->belief, now_us, ic->shortest_us);
	set_doubt(ic);
}

/* --- survivors ------------------------------------------------------------------------------------------------------ */

/* Something has rested right up to the limit: is it time to try a longer one? */
static void probe(struct idle_close_belief *b, uint64_t now_us)
{
	if (now_us - b->probed_us < b->patience_us)
		return;
	if (b->probing)
		b->patience_us = PATIENCE_MIN_US;
	b->probing = true;
	b->probed_us = now_us;
	b->learned_us += b->learned_us < US_PER_S ? b->learned_us : b->learned_us / 4 + SLACK_US;
	if (b->learned_us > DAY_US)
		b->learned_us = 0;
}

void idle_close_survived(struct idle_close *ic, uint64_t now_us, uint64_t age_us)
{
	struct idle_close_belief *b = &ic->belief;

	if (age_us >= b->candidate_us)
		b->survivors++;
	if (b->survivors >= SURVIVORS || age_us > b->candidate_us + b->candidate_us / 2 + SLACK_US)
		b->agreeing = 0;
	if (b->learned_us != 0 && age_us >= below(b->learned_us))
		probe(b, now_us);
	set_doubt(ic);
}

uint64_t idle_close_limit(const struct idle_close *ic, uint64_t configured_us)
{
	uint64_t limit_us = configured_us != 0 ? configured_us : UINT64_MAX;

	if (ic->announced_us != 0)
		limit_us = min_u64(limit_us, below(ic->announced_us));
	if (ic->belief.learned_us != 0)
		limit_us = min_u64(limit_us, below(ic->belief.learned_us));
	return limit_us != UINT64_MAX ? limit_us : 0;
}

/* --- what it says of itself ------------------------------------------------------------------------------------------- */

bool idle_close_parse(struct view keep_alive, uint64_t *shortest_us)
{
	static const struct view name = {"timeout=", 8};
	struct view element;
	uint64_t seconds = 0;

	while (view_next_element(&keep_alive, &element)) {
		if (element.n < name.n || !view_eq_nocase(view_of(element.p, name.n), name))
			continue;
		if (!view_parse_u64(view_from(element, name.n), &seconds) || seconds == 0 || seconds > DAY_S)
			return false;
		*shortest_us = min_u64(*shortest_us, seconds * US_PER_S);
	}
	return true;
}
