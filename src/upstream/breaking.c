/*
 * The breakers of endpoints (breaker.h): what one that has opened means for the endpoint.
 *
 * One that is shut stands in the budget's `out`, so the balancers of all workers pass it by; half open it is picked again for
 * as many trials as there may be. Who has opened it, or has made the last of the trials, sets a timer for when others may be made;
 * the timers of several workers do no harm.
 */
#include "upstream/endpoint.h"

/*
 * `out` says what the breaker says. Others may change both at the same time: who comes last has looked last, since each looks
 * again after writing.
 */
static void show(struct endpoint *ep)
{
	struct shared_breaker *b = &ep->budget->breaker;
	bool shut;

	do {
		shut = atomic_load(&b->shut);
		endpoint_budget_set_out(ep->budget, OUT_BREAKER, shut);
	} while (atomic_load(&b->shut) != shut);
}

/* One that is drained may be gone before its breaker may be tried: who has come in its place has the same one. */
static struct endpoint *in_service(struct endpoint *ep)
{
	if (ep->state == ENDPOINT_SERVING)
		return ep;
	list_each_safe(&ep->ups->endpoints, node, next) {
		struct endpoint *other = container_of(node, struct endpoint, node);

		if (other->budget == ep->budget && other->state == ENDPOINT_SERVING)
			return other;
	}
	return ep;
}

/* It is tried as soon as it may be; at once, where that time came while nobody had it in service. */
static void plan(struct endpoint *ep)
{
	uint64_t at_us = shared_breaker_look_again_us(&ep->budget->breaker);

	if (at_us != DEADLINE_NEVER)
		io_timer_set(ep->ups->io, &ep->breaker_timer, at_us);
}

static void tell_change(struct endpoint *ep)
{
	const struct config_breaker *s;
	const struct breaker_counts *c;
	struct breaker b;

	shared_breaker_look(&ep->budget->breaker, &b);
	s = &b.settings;
	c = &b.verdict;
	ep->stats.breaker_opened += b.state == BREAKER_OPEN;
	if (b.state == BREAKER_OPEN)
		endpoint_tell(ep, LEVEL_WARNING, "gets no requests, its breaker has opened: of %u calls %u failed and %u were slow "
			"(allowed: less than %u%% and %u%%); it is tried again in %llu ms", c->calls, c->failed, c->slow,
			s->failure_percent, s->slow_percent, (unsigned long long)((b.until_us - b.since_us) / US_PER_MS));
	else if (b.state == BREAKER_HALF_OPEN)
		endpoint_tell(ep, LEVEL_INFO, "is tried again: its breaker is half open, for %u calls", s->half_open_calls);
	else
		endpoint_tell(ep, LEVEL_INFO, "is back in service, its breaker has closed: of %u trials %u failed and %u were slow",
			c->calls, c->failed, c->slow);
}

static void changed(struct endpoint *ep)
{
	show(ep);
	plan(in_service(ep));
	tell_change(ep);
}

static void on_timer(struct io_timer *timer)
{
	struct endpoint *ep = container_of(timer, struct endpoint, breaker_timer);

	if (shared_breaker_wake(&ep->budget->breaker, io_now_us(ep->ups->io)))
		changed(ep);
	else
		show(ep);
	/* Another may have opened it again meanwhile. */
	plan(ep);
}

void endpoint_breaker_begin(struct endpoint *ep, const struct config_breaker *settings)
{
	ep->breaker_timer.on_fire = on_timer;
	shared_breaker_set(&ep->budget->breaker, settings, io_now_us(ep->ups->io));
	show(ep);
	plan(ep);
}

void endpoint_breaker_stop(struct endpoint *ep)
{
	io_timer_cancel(ep->ups->io, &ep->breaker_timer);
}

/* Away from what every request goes through. */
__attribute__((noinline)) bool endpoint_breaker_try(struct endpoint *ep, struct upstream_lease *lease)
{
	uint64_t now_us = io_now_us(ep->ups->io);
	bool admitted = shared_breaker_try(&ep->budget->breaker, &lease->breaker_call, now_us);

	if (!admitted)
		lease->breaker_call = 0;
	if (lease->breaker_call != 0 && shared_breaker_state(&ep->budget->breaker) != BREAKER_CLOSED) {
		show(ep);
		plan(ep);
	}
	return admitted;
}

void endpoint_breaker_report(struct endpoint *ep, struct upstream_lease *lease, struct upstream_result result)
{
	struct io *io = ep->ups->io;
	uint32_t call = lease->breaker_call;

	lease->breaker_call = 0;
	if (shared_breaker_report(&ep->budget->breaker, &ep->breaker_side, call, upstream_result_failed(result), result.waited_us,
		io_now_us(io), io_random(io)))
		changed(ep);
}

void endpoint_breaker_leave(struct endpoint *ep, struct upstream_lease *lease)
{
	if (lease->breaker_call == 0)
		return;
	shared_breaker_abandon(&ep->budget->breaker, lease->breaker_call);
	lease->breaker_call = 0;
	show(ep);
}

/* Its breaker alone keeps it from serving: in panic the others do not count. */
static bool only_breaker(unsigned out)
{
	return out == OUT_BREAKER || (out & (OUT_BREAKER | OUT_PANIC | OUT_DISABLED)) == (OUT_BREAKER | OUT_PANIC);
}

uint64_t group_breaker_wait_us(const struct endpoint_group *group)
{
	uint64_t least_us = UINT64_MAX;

	for (size_t i = 0; group != NULL && i < group->count; i++) {
		const struct endpoint *ep = group->endpoints[i];
		uint64_t wait_us = shared_breaker_wait_us(&ep->budget->breaker, io_now_us(ep->ups->io));

		if (only_breaker(endpoint_budget_out(ep->budget)) && wait_us < least_us)
			least_us = wait_us;
	}
	return least_us;
}
