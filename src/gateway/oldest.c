/*
 * Who holds what, and for how long: told to the operator when somebody asks (oldest.h), and when the pool finds that a
 * lease is overdue (exchange_overdue). A backend that hangs may make thousands overdue at once: OVERDUE_TOLD lines are
 * written in a second, the others are counted.
 */
#include "gateway/oldest.h"

#include <stdio.h>

#include "gateway/exchange.h"

#define SHOW(v) (int)(v).n, (v).p

enum { OVERDUE_TOLD = 20 };
#define OVERDUE_COUNTED_US (1 * US_PER_S)

static const char *const stages[] = {
	[EXCHANGE_NEW] = "new",
	[EXCHANGE_FILTERING] = "filtering",
	[EXCHANGE_LEASING] = "leasing",
	[EXCHANGE_BACKING_OFF] = "backing_off",
	[EXCHANGE_EXPECTING] = "expecting",
	[EXCHANGE_REQUESTING] = "requesting",
	[EXCHANGE_WAITING] = "waiting",
	[EXCHANGE_RESPONDING] = "responding",
	[EXCHANGE_TUNNELLING] = "tunnelling",
	[EXCHANGE_FLUSHING] = "flushing",
	[EXCHANGE_ENDED] = "ended",
};

static const char *const client_stages[] = {
	[CLIENT_HANDSHAKE] = "handshake",
	[CLIENT_IDLE] = "idle",
	[CLIENT_HEAD] = "head",
	[CLIENT_EXCHANGE] = "exchange",
	[CLIENT_SESSION] = "session",
	[CLIENT_DISCARDING] = "discarding",
	[CLIENT_FLUSHING] = "flushing",
	[CLIENT_LINGERING] = "lingering",
	[CLIENT_NAMING] = "naming",
	[CLIENT_CLOSED] = "closed",
};

/* Cut to what fits, with "..." where that is less; what is not printable ASCII becomes '?'. */
static void text_copy(char *to, size_t bytes, struct view text)
{
	size_t n = text.n < bytes ? text.n : bytes - 1;

	for (size_t i = 0; i < n; i++)
		to[i] = text.p[i] >= ' ' && text.p[i] <= '~' ? text.p[i] : '?';
	to[n] = '\0';
	if (n < text.n)
		memcpy(to + n - 3, "...", 3);
}

#define TEXT_COPY(to, text) text_copy(to, sizeof(to), text)

/* --- one entry ---------------------------------------------------------------------------------------------------- */

static void entry_name_endpoint(struct oldest_entry *e, const struct endpoint_name *name)
{
	TEXT_COPY(e->upstream, name->upstream);
	TEXT_COPY(e->endpoint, name->address_text);
}

static void entry_of_exchange(struct oldest_entry *e, const struct exchange *ex)
{
	uint64_t now_us = io_now_us(ex->worker->io);
	bool held = ex->lease.stage == LEASE_HELD;

	*e = (struct oldest_entry){.age_us = now_us - ex->started_us,
		.quiet_us = now_us - ex->moved_us,
		.held_us = held ? now_us - ex->lease.held_since_us : UINT64_MAX,
		.worker = ex->worker->index};
	TEXT_COPY(e->stage, view_str(stages[ex->state]));
	TEXT_COPY(e->request_id, ex->request_id);
	TEXT_COPY(e->method, ex->request.method_name);
	TEXT_COPY(e->path, ex->target.path);
	TEXT_COPY(e->client, ex->client_address);
	if (ex->route == NULL)
		return;
	TEXT_COPY(e->route, ex->route->name);
	if (ex->upstream != NULL && ex->lease.picked != NULL)
		entry_name_endpoint(e, ex->lease.picked);
}

/* Since its last request began; one that lingers has forgotten that. */
static uint64_t client_age_us(const struct client *c)
{
	bool is_known = c->state != CLIENT_LINGERING && c->head_us != 0;

	return is_known ? io_now_us(c->worker->io) - c->head_us : UINT64_MAX;
}

static void entry_of_client(struct oldest_entry *e, const struct client *c)
{
	char peer[ADDRESS_HOST_MAX];

	*e = (struct oldest_entry){.age_us = client_age_us(c),
		.quiet_us = UINT64_MAX,
		.held_us = UINT64_MAX,
		.worker = c->worker->index};
	TEXT_COPY(e->stage, view_str(client_stages[c->state]));
	TEXT_COPY(e->client, client_peer(c, peer));
}

/* Of a lease that no exchange has: the stage says who. */
static void entry_of_nobody(struct oldest_entry *e, const struct worker *w, const struct upstream_held *held, struct view stage)
{
	*e = (struct oldest_entry){.age_us = UINT64_MAX,
		.quiet_us = UINT64_MAX,
		.held_us = io_now_us(w->io) - held->since_us,
		.worker = w->index};
	TEXT_COPY(e->stage, stage);
	entry_name_endpoint(e, held->name);
}

/* --- sorted ------------------------------------------------------------------------------------------------------- */

/* By which of an entry's times they are sorted. */
static uint64_t sort_time(const struct oldest_entry *e, size_t offset)
{
	uint64_t us;

	memcpy(&us, (const char *)e + offset, sizeof(us));
	return us;
}

#define BY(member) offsetof(struct oldest_entry, member)

/* Puts `one` behind those that are as old; the youngest falls out when there are too many. */
static void insert(struct oldest_entry *entries, uint32_t *count, const struct oldest_entry *one, size_t by)
{
	uint64_t us = sort_time(one, by);
	uint32_t at = *count;

	if (*count == OLDEST_MAX) {
		at--;
		if (sort_time(&entries[at], by) >= us)
			return;
	} else {
		++*count;
	}
	for (; at > 0 && sort_time(&entries[at - 1], by) < us; at--)
		entries[at] = entries[at - 1];
	entries[at] = *one;
}

static void time_later(uint64_t *us, uint64_t by_us)
{
	if (*us != UINT64_MAX)
		*us += by_us;
}

/* As it would have been said so much later. */
static void entries_later(struct oldest_entry *entries, uint32_t count, uint64_t by_us)
{
	for (uint32_t i = 0; i < count; i++) {
		time_later(&entries[i].age_us, by_us);
		time_later(&entries[i].quiet_us, by_us);
		time_later(&entries[i].held_us, by_us);
	}
}

static void insert_later(
	struct oldest_entry *entries, uint32_t *count, const struct oldest_entry *one, size_t by, uint64_t by_us)
{
	struct oldest_entry e = *one;

	entries_later(&e, 1, by_us);
	insert(entries, count, &e, by);
}

void oldest_clear(struct oldest *oldest)
{
	oldest->lease_count = oldest->exchange_count = oldest->stuck_count = oldest->stuck_client_count = 0;
}

void oldest_merge(struct oldest *to, const struct oldest *from)
{
	uint64_t at_us = to->at_us > from->at_us ? to->at_us : from->at_us;

	entries_later(to->leases, to->lease_count, at_us - to->at_us);
	entries_later(to->exchanges, to->exchange_count, at_us - to->at_us);
	entries_later(to->stuck, to->stuck_count, at_us - to->at_us);
	entries_later(to->stuck_clients, to->stuck_client_count, at_us - to->at_us);
	to->at_us = at_us;
	for (uint32_t i = 0; i < from->stuck_client_count; i++)
		insert_later(to->stuck_clients, &to->stuck_client_count, &from->stuck_clients[i], BY(age_us), at_us - from->at_us);
	for (uint32_t i = 0; i < from->stuck_count; i++)
		insert_later(to->stuck, &to->stuck_count, &from->stuck[i], BY(quiet_us), at_us - from->at_us);
	for (uint32_t i = 0; i < from->lease_count; i++)
		insert_later(to->leases, &to->lease_count, &from->leases[i], BY(held_us), at_us - from->at_us);
	for (uint32_t i = 0; i < from->exchange_count; i++)
		insert_later(to->exchanges, &to->exchange_count, &from->exchanges[i], BY(age_us), at_us - from->at_us);
}

void worker_oldest(const struct worker *w, struct oldest *oldest)
{
	struct upstream_held held[OLDEST_MAX];
	size_t count = upstreams_oldest(w->upstreams, held, OLDEST_MAX);
	struct oldest_entry entry;
	uint32_t seen = 0;

	oldest->at_us = io_now_us(w->io);
	oldest->lease_count = oldest->exchange_count = 0;
	for (size_t i = 0; i < count; i++) {
		if (held[i].lease == NULL)
			entry_of_nobody(&entry, w, &held[i], VIEW("nobody"));
		else if (exporter_holds(held[i].lease))
			entry_of_nobody(&entry, w, &held[i], VIEW("exporting spans"));
		else
			entry_of_exchange(&entry, exchange_of_lease(held[i].lease));
		insert(oldest->leases, &oldest->lease_count, &entry, BY(held_us));
	}
	/* They stand in the order in which they began. */
	list_each_safe(&w->exchanges, node, next) {
		if (seen++ == OLDEST_MAX)
			break;
		entry_of_exchange(&entry, container_of(node, struct exchange, node));
		insert(oldest->exchanges, &oldest->exchange_count, &entry, BY(age_us));
	}
}

/* --- stuck -------------------------------------------------------------------------------------------------------- */

static bool is_late(const struct io_timer *timer, uint64_t now_us)
{
	return now_us >= deadline_after(timer->deadline_us, STUCK_LATE_US);
}

static bool exchange_is_stuck(const struct exchange *ex, uint64_t now_us)
{
	return ex->state != EXCHANGE_ENDED && (!exchange_has_deadline(ex) || is_late(ex->timer, now_us));
}

/* Where an exchange runs it is the exchange that has a deadline. */
static bool client_is_stuck(const struct client *c, uint64_t now_us)
{
	if (c->state == CLIENT_EXCHANGE || c->state == CLIENT_CLOSED)
		return false;
	if (io_timer_armed(&c->timer))
		return is_late(&c->timer, now_us);
	return c->state != CLIENT_SESSION || !client_session_carries(c);
}

void worker_stuck(const struct worker *w, struct oldest *oldest)
{
	struct oldest_entry entry;

	oldest->at_us = io_now_us(w->io);
	oldest->stuck_count = oldest->stuck_client_count = 0;
	list_each_safe(&w->exchanges, node, next) {
		const struct exchange *ex = container_of(node, struct exchange, node);

		if (!exchange_is_stuck(ex, oldest->at_us))
			continue;
		entry_of_exchange(&entry, ex);
		insert(oldest->stuck, &oldest->stuck_count, &entry, BY(quiet_us));
	}
	list_each_safe(&w->clients, node, next) {
		const struct client *c = container_of(node, struct client, node);

		if (!client_is_stuck(c, oldest->at_us))
			continue;
		entry_of_client(&entry, c);
		insert(oldest->stuck_clients, &oldest->stuck_client_count, &entry, BY(age_us));
	}
}

/* --- overdue ------------------------------------------------------------------------------------------------------ */

/* "301.500 s" */
struct span_text {
	char text[32];
};

static const char *span_print(struct span_text *s, uint64_t us)
{
	snprintf(s->text, sizeof(s->text), "%llu.%03llu s", (unsigned long long)(us / US_PER_S),
		(unsigned long long)(us % US_PER_S / US_PER_MS));
	return s->text;
}

void worker_on_overdue_told(struct io_timer *timer)
{
	struct worker *w = container_of(timer, struct worker, overdue_timer);
	char text[200];

	if (w->overdue_untold > 0) {
		snprintf(text, sizeof(text),
			"%u more requests have had their connections for long and nothing has moved; `weir leaks` tells of the oldest",
			w->overdue_untold);
		w->observer.on_event(w->observer.context, LEVEL_WARNING, text);
	}
	w->overdue_told = w->overdue_untold = 0;
}

/* Whether there is room for one more line in this second. */
static bool overdue_count(struct worker *w)
{
	if (!io_timer_armed(&w->overdue_timer))
		io_timer_set(w->io, &w->overdue_timer, deadline_after(io_now_us(w->io), OVERDUE_COUNTED_US));
	if (w->overdue_told == OVERDUE_TOLD) {
		w->overdue_untold++;
		return false;
	}
	w->overdue_told++;
	return true;
}

static void tell_overdue(const struct exchange *ex, const char *consequence)
{
	const struct worker_observer *observer = &ex->worker->observer;
	struct span_text held, quiet;
	struct oldest_entry e;
	char text[1000];

	if (!overdue_count(ex->worker))
		return;
	entry_of_exchange(&e, ex);
	snprintf(text, sizeof(text),
		"upstream %s, endpoint %s: a request has had its connection for %s and nothing has moved for %s%s: "
		"request %s, %s %s, route %s, is %s",
		e.upstream, e.endpoint, span_print(&held, e.held_us), span_print(&quiet, e.quiet_us), consequence,
		e.request_id, e.method, e.path, e.route[0] != '\0' ? e.route : "without a name", e.stage);
	observer->on_event(observer->context, LEVEL_WARNING, text);
}

bool exchange_overdue(struct upstream_lease *lease, enum weir_pool_overdue what, uint64_t quiet_max_us)
{
	struct exchange *ex = container_of(lease, struct exchange, lease);
	uint64_t quiet_us = io_now_us(ex->worker->io) - ex->moved_us;

	if (quiet_us < quiet_max_us)
		return true;
	if (what == WEIR_POOL_LEAKING) {
		tell_overdue(ex, "");
	} else {
		tell_overdue(ex, "; it is ended (reclaim_after)");
		exchange_finish(ex, CAUSE_REQUEST_DEADLINE, "it held its connection for longer than the pool's reclaim_after");
	}
	return false;
}

bool exchange_waits_for_client(struct upstream_lease *lease)
{
	const struct exchange *ex = container_of(lease, struct exchange, lease);

	if (ex->state == EXCHANGE_RESPONDING)
		return stream_blocked(ex->down);
	return ex->state == EXCHANGE_REQUESTING && ex->sent_us == 0 && !stream_blocked(lease->stream);
}

uint64_t exchange_owed_since(struct upstream_lease *lease)
{
	const struct exchange *ex = container_of(lease, struct exchange, lease);

	return ex->state == EXCHANGE_WAITING && ex->first_byte_us == UINT64_MAX ? ex->sent_us : 0;
}
