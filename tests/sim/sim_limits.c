#include "sim_limits.h"

#include <stdlib.h>

#include "gateway/state.h"
#include "sim_model.h"
#include "sim_oracle.h"
#include "sim_text.h"
#include "sim_world.h"

enum algorithm { TOKEN_BUCKET, SLIDING_WINDOW, LEAKY_BUCKET, CONCURRENT, ALGORITHMS };

#define WINDOW_US 200000
/* Of what fills no whole window seven eighths count as one (sliding_window.c). */
#define WINDOW_PART_US (WINDOW_US / 8 * 7)
#define SLACK_US 25000

static struct {
	enum algorithm algorithm;
	unsigned rate, burst, delay_ms, running_max;
	uint64_t began_us, passed;
} limit;

/* As much as the few requests of a client that comes when nobody else is there. */
void limits_draw_plan(uint64_t seed)
{
	uint64_t also = world_also(seed, ALSO_REFUSALS);

	plan.refuses = oracle_run_is_rough() && also % 4 == 0;
	limit.algorithm = (enum algorithm)(also / 4 % ALGORITHMS);
	limit.rate = 20 + (unsigned)(also / 16 % 41);
	limit.burst = 4 + (unsigned)(also / 1024 % 5);
	limit.delay_ms = 60 + (unsigned)(also / 8192 % 140);
	limit.running_max = 3 + (unsigned)(also / 0x200000 % 3);
	limit.began_us = world_now_us();
	limit.passed = 0;
}

void limits_write(struct sim_text *text)
{
	if (!plan.refuses)
		return;
	text_printf(text, "      - rate_limit: {key: route, ");
	switch (limit.algorithm) {
	case TOKEN_BUCKET: text_printf(text, "rate: %u/s, burst: %u}\n", limit.rate, limit.burst); break;
	case SLIDING_WINDOW:
		text_printf(text, "algorithm: sliding_window, rate: %u/%ums}\n", limit.burst, WINDOW_US / 1000);
		break;
	case LEAKY_BUCKET:
		text_printf(text, "algorithm: leaky_bucket, rate: %u/s, max_delay: %ums}\n", limit.rate, limit.delay_ms);
		break;
	default: text_printf(text, "algorithm: concurrent, max_concurrent: %u}\n", limit.running_max); break;
	}
}

static bool passes_the_route(const struct sim_request *request)
{
	return request->upstream == 0 && (request->kind == KIND_PROXIED || request->kind == KIND_UPGRADE ||
						 request->kind == KIND_BAD_CONTENT);
}

bool limits_may_refuse(const struct sim_request *request)
{
	return plan.refuses && passes_the_route(request);
}

void limits_check_refused(const struct sim_request *request, const struct sim_reader *reader)
{
	const char *text = "";
	unsigned count = reader_field(reader, "Retry-After", &text);

	if (request->try_count > 0)
		world_violation("4: nothing of a refused request arrives", "request %u is beyond the rate limit", request->id);
	if (!request->call.is && (count != 1 || atoi(text) < 1 || atoi(text) > 1 + (int)limit.burst))
		world_violation("6: a failure names its cause", "request %u: 429, %u Retry-After, %s", request->id, count, text);
}

/* As many as may have passed since the run has begun; who has passed may have waited for a connection. */
static uint64_t passes_max(void)
{
	uint64_t since_us = world_now_us() - limit.began_us;

	switch (limit.algorithm) {
	case TOKEN_BUCKET: return limit.burst + since_us * limit.rate / 1000000 + 1;
	case SLIDING_WINDOW: return (since_us / WINDOW_PART_US + 2) * limit.burst;
	case LEAKY_BUCKET: return since_us * limit.rate / 1000000 + 2;
	default: return UINT64_MAX;
	}
}

void limits_check_passed(const struct sim_request *request)
{
	if (!limits_may_refuse(request) || ++limit.passed <= passes_max())
		return;
	world_violation("12: no more pass than a rate limit allows", "%llu, where %llu may, with request %u",
		(unsigned long long)limit.passed, (unsigned long long)passes_max(), request->id);
}

static bool runs(const struct exchange *ex)
{
	return ex->state > EXCHANGE_FILTERING && ex->state < EXCHANGE_FLUSHING && ex->route != NULL && ex->route->filter_count > 0;
}

static void check_delay(const struct exchange *ex, uint64_t now_us)
{
	uint64_t most_us = limit.algorithm == LEAKY_BUCKET ? 1000ULL * limit.delay_ms : 0;

	if (ex->state == EXCHANGE_FILTERING && now_us > ex->head_us + most_us + SLACK_US)
		world_violation("12: nobody is delayed for longer than max_delay", "since %llu us",
			(unsigned long long)ex->head_us);
}

void limits_check_turn(struct worker *const *workers, unsigned count)
{
	unsigned running = 0;

	for (unsigned i = 0; i < count && plan.refuses; i++) {
		list_each_safe(&workers[i]->exchanges, node, next) {
			const struct exchange *ex = container_of(node, struct exchange, node);

			running += runs(ex);
			/* Others let nobody wait, but for those limits that refuse nobody. */
			if (!plan.limits)
				check_delay(ex, io_now_us(workers[i]->io));
		}
	}
	if (limit.algorithm == CONCURRENT && running > limit.running_max)
		world_violation("12: no more pass than a rate limit allows", "%u run at once, %u may", running,
			limit.running_max);
}
