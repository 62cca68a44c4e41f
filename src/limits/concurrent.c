/*
 * Concurrent requests: at most `count` of a key are under way at once, whatever their rate. A semaphore (E. W. Dijkstra, "Cooperating
 * sequential processes", 1965) that nobody waits for: who finds it taken is refused.
 *
 * Weak points: it is only as good as the counting of ends is; the store never forgets a key of which requests run. When a place
 * becomes free nobody knows, so there is nothing to tell of when to come again.
 */
#include "base/check.h"
#include "limits/rule.h"

struct limit_answer concurrent_take(struct concurrent *c, const struct limit_rule *rule)
{
	struct limit_answer answer = {.verdict = c->running < rule->count ? LIMIT_PASSES : LIMIT_REFUSED};

	c->running += answer.verdict == LIMIT_PASSES;
	answer.remaining = rule->count - c->running;
	return answer;
}

void concurrent_leave(struct concurrent *c)
{
	CHECK(c->running > 0);
	c->running--;
}

bool concurrent_is_fresh(const struct concurrent *c)
{
	return c->running == 0;
}
