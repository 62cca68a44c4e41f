/*
 * Token bucket: a bucket holds `burst` tokens, `count` flow in evenly in each period, a request takes one or is refused. In any span
 * of t there pass at most burst + count * t / period_us requests, and when more are asked for, exactly that many.
 *
 * Source: J. Turner, "New directions in communications (or which way to the information age?)", IEEE Communications Magazine 24(10),
 * 1986; as a meter in RFC 2697. No task fills the buckets: what has flowed in is worked out when somebody asks.
 *
 * Tokens are counted in parts of 1/period_us, of which `count` flow in with each microsecond: so nothing is rounded, and nothing
 * is lost however often somebody asks. What is kept is how much is missing, which is nothing for a key that was never seen.
 *
 * Weak points: right after a rest a key may have twice its rate in one period (the burst, and what flows in meanwhile). A burst
 * arrives at the upstream as a burst.
 */
#include "limits/rule.h"

static void refill(struct token_bucket *b, const struct limit_rule *rule, uint64_t now_us)
{
	uint64_t elapsed_us;

	if (now_us <= b->updated_us)
		return;
	elapsed_us = now_us - b->updated_us;
	b->missing = elapsed_us > b->missing / rule->count ? 0 : b->missing - elapsed_us * rule->count;
	b->updated_us = now_us;
}

struct limit_answer token_bucket_take(struct token_bucket *b, const struct limit_rule *rule, uint64_t now_us)
{
	uint64_t size = rule->burst * rule->period_us;
	struct limit_answer answer = {.verdict = LIMIT_PASSES};

	refill(b, rule, now_us);
	if (b->missing + rule->period_us <= size) {
		b->missing += rule->period_us;
	} else {
		answer.verdict = LIMIT_REFUSED;
		answer.retry_us = limit_divide_up(b->missing + rule->period_us - size, rule->count);
	}
	answer.remaining = (size - b->missing) / rule->period_us;
	answer.reset_us = limit_divide_up(b->missing, rule->count);
	return answer;
}

bool token_bucket_is_fresh(const struct token_bucket *b, const struct limit_rule *rule, uint64_t now_us)
{
	return b->missing == 0 ||
	       (now_us > b->updated_us && now_us - b->updated_us >= limit_divide_up(b->missing, rule->count));
}
