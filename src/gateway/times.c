/*
 * Where an exchange's time goes (base/phase.h).
 *
 * Time passes only while something is waited for, and exchange_arm() says what that is. So it is there that the phase changes, and
 * all that has passed since it last did was spent in the phase before. What the exchange does when it is woken costs no time on the
 * loop's clock, which is the only one that is looked at.
 *
 *     started --reading--> arm(WAITING) --first_byte--> arm(RESPONDING) --upstream--> arm(RESPONDING, blocked) --client--> ended
 *
 * How much of the wait for a connection was connecting is known when the wait is over: until then it is the queue's.
 *
 * A request that is sent again was at several endpoints, each of which is told what it took itself: a try's phases are those of the
 * exchange less what was told before. A tunnel lasts as long as its ends like, which is nobody's latency: the books say how long it
 * took to open. The record says all.
 */
#include "gateway/exchange.h"

#include "base/check.h"
#include "base/planted.h"
#include "gateway/trace.h"

static uint64_t less(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline void spend(struct exchange *ex, unsigned phase, uint64_t us)
{
	if (us == 0)
		return;
	ex->phase_us[phase] += us;
	ex->spent |= (uint16_t)PHASE_BIT(phase);
}

/* Of a wait for a connection. The rest was the queue's. */
__attribute__((noinline)) static uint64_t spend_connecting(struct exchange *ex, uint64_t us)
{
	uint64_t connect_us = less(ex->lease.connect_us, us), tls_us = less(ex->lease.tls_us, connect_us);

	spend(ex, PHASE_TLS, tls_us);
	spend(ex, PHASE_CONNECT, connect_us - tls_us);
	return us - connect_us;
}

/* What has passed was spent in the phase that it is in. */
static inline void charge(struct exchange *ex)
{
	uint64_t now_us = io_now_us(ex->worker->io), us = now_us - ex->phase_since_us;

	if (us == 0)
		return;
	if (!PLANTED(PHASE_CHARGED_TWICE) || ex->phase != PHASE_FIRST_BYTE)
		ex->phase_since_us = now_us;
	if (ex->phase == PHASE_QUEUE)
		us = spend_connecting(ex, us);
	spend(ex, ex->phase, us);
}

void times_change(struct exchange *ex, enum phase phase)
{
	if (PLANTED(PHASE_BEFORE_ITS_STATE) && phase == PHASE_FIRST_BYTE)
		ex->phase = (uint8_t)phase;
	charge(ex);
	ex->phase = (uint8_t)phase;
}

void times_connect_failed(struct exchange *ex, enum cause cause)
{
	if (ex->phase != PHASE_QUEUE)
		return;
	if (cause == CAUSE_CONNECT_REFUSED || cause == CAUSE_CONNECT_TIMEOUT)
		ex->phase = PHASE_CONNECT;
	else if (cause == CAUSE_TLS_FAILED)
		ex->phase = PHASE_TLS;
}

/* --- the books ---------------------------------------------------------------------------------------------------------- */

/* What was spent since the last try was told is another one's, if there was one. */
static void tell_rest(struct exchange *ex, const struct upstream_lease *lease)
{
	struct try_book *book = upstream_times(lease);
	uint64_t rest_us[PHASE_COUNT], sum_us = 0;

	for (unsigned i = 0; i < PHASE_COUNT; i++)
		rest_us[i] = ex->phase_us[i] - (ex->tries_told && !PLANTED(TRY_TOLD_AGAIN) ? ex->told_us[i] : 0);
	for (unsigned i = PHASE_QUEUE; i <= PHASE_CLIENT; i++)
		sum_us += rest_us[i];
	if (book != NULL && (sum_us > 0 || !ex->tries_told))
		try_book_enter(book, rest_us);
}

void times_tell_try(struct exchange *ex, const struct upstream_lease *lease)
{
	charge(ex);
	tell_rest(ex, lease);
	memcpy(ex->told_us, ex->phase_us, sizeof(ex->told_us));
	ex->tries_told = ex->is_special = true;
}

void times_tell_beside(struct exchange *ex, const struct upstream_lease *first, uint64_t since_us)
{
	uint64_t now_us = io_now_us(ex->worker->io);

	times_tell_try(ex, first);
	ex->told_us[PHASE_FIRST_BYTE] -= less(now_us - since_us, ex->told_us[PHASE_FIRST_BYTE]);
}

static inline struct worker_book *worker_book(const struct exchange *ex)
{
	return ex->held->books[ex->route->index];
}

static inline struct time_book *route_book(const struct exchange *ex)
{
	return &worker_book(ex)->book;
}

void times_refused(struct exchange *ex, enum breaker_scope whose)
{
	route_book(ex)->refused[whose]++;
}

/* Most requests are not traced. */
__attribute__((noinline)) static void note_exemplar(const struct exchange *ex)
{
	struct io *io = ex->worker->io;
	struct time_exemplar exemplar = {
		.trace_high = ex->trace->id.high, .trace_low = ex->trace->id.low, .wall_us = io_wall_us(io)};

	for (unsigned i = 0; i < PHASE_COUNT; i++)
		exemplar.value_us += ex->phase_us[i];
	time_exemplars_enter(&worker_book(ex)->exemplars, &exemplar);
}

/* Of one that is not sampled nobody has spans. */
static inline void note_trace(const struct exchange *ex)
{
	if (ex->trace != NULL && ex->trace->flags & TRACE_SAMPLED)
		note_exemplar(ex);
}

static inline void tell(struct exchange *ex)
{
	charge(ex);
	if (ex->route == NULL)
		return;
	if (ex->tries_told)
		tell_rest(ex, &ex->lease);
	time_books_enter(route_book(ex), ex->tries_told ? NULL : upstream_times(&ex->lease), ex->phase_us, ex->spent);
}

void times_tell(struct exchange *ex)
{
	tell(ex);
}

void times_end(struct exchange *ex)
{
	if (ex->upgraded) {
		charge(ex);
		return;
	}
	tell(ex);
	if (ex->route != NULL)
		note_trace(ex);
}

void times_end_ordinary(struct exchange *ex)
{
	DEBUG_CHECK(ex->route != NULL && !ex->tries_told && !ex->upgraded);
	charge(ex);
	time_books_enter(route_book(ex), upstream_times(&ex->lease), ex->phase_us, ex->spent);
	note_trace(ex);
}
