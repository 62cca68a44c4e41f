#include "sim_collector.h"

#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "sim_io.h"
#include "sim_memory.h"
#include "sim_world.h"

struct taking {
	struct list_node node;
	struct sim_end *end;
	struct sim_event wake;
	char *bytes;
	size_t n, room;
	size_t body_at, whole_at;  /* of the request that is being read; 0: not known yet */
	const char *answer;        /* that is being sent; NULL: none */
	size_t answer_n, sent;
	bool ends;                 /* behind it */
	bool silent;
};

static struct {
	struct sim_port port;
	struct list takings;
	uint64_t taken;
	bool behaves;
} collector;

static void taking_end(struct taking *t, bool by_reset)
{
	world_cancel(&t->wake);
	t->end->on_change = NULL;
	if (by_reset)
		end_reset(t->end, RESET_AFTER_BYTES);
	else
		end_close(t->end);
	list_remove(&t->node);
	sim_free(t->bytes);
	sim_free(t);
}

/* --- the question ------------------------------------------------------------------------------------------------- */

static uint64_t spans_in(const char *body)
{
	uint64_t spans = 0;

	for (const char *p = body; (p = strstr(p, "\"spanId\"")) != NULL; p++)
		spans++;
	return spans;
}

/* False: it is not whole yet. */
static bool is_whole(struct taking *t)
{
	const char *end, *length;

	if (t->n == 0)
		return false;
	t->bytes[t->n] = '\0';
	end = strstr(t->bytes, "\r\n\r\n");
	if (end == NULL)
		return false;
	length = strstr(t->bytes, "\r\nContent-Length: ");
	if (strncmp(t->bytes, "POST /v1/traces HTTP/1.1\r\n", 26) != 0 || length == NULL || length > end)
		world_violation("14: what the collector gets is a request of spans", "%.60s", t->bytes);
	t->body_at = (size_t)(end + 4 - t->bytes);
	t->whole_at = t->body_at + strtoull(length + 18, NULL, 10);
	if (t->n > t->whole_at)
		world_violation("14: what the collector gets is a request of spans", "%zu bytes behind it", t->n - t->whole_at);
	return t->n == t->whole_at;
}

static void check_body(const struct taking *t)
{
	const char *body = t->bytes + t->body_at;
	size_t n = t->whole_at - t->body_at;

	if (strncmp(body, "{\"resourceSpans\":[", 18) != 0 || n < 24 || memcmp(body + n - 6, "]}]}]}", 6) != 0 || spans_in(body) == 0)
		world_violation("14: what the collector gets is a request of spans", "%zu bytes: %.60s", n, body);
}

/* --- the answer --------------------------------------------------------------------------------------------------- */

struct kind {
	const char *text;
	bool takes, ends;
};

static const struct kind kinds[] = {
	{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", true, false},
	{"HTTP/1.1 200 OK\r\nContent-Length: 42\r\n\r\n{\"partialSuccess\":{\"rejectedSpans\":\"1\"}}  ", true, false},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", true, false},
	{"HTTP/1.0 200 OK\r\n\r\nwell", true, true},
	{"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n", true, true},
	{"HTTP/1.1 503 Later\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n", false, false},
	{"HTTP/1.1 429 Less\r\nContent-Length: 4\r\n\r\nless", false, false},
	{"HTTP/1.1 400 No\r\nContent-Length: 0\r\n\r\n", false, false},
	{"HTTP/1.1 302 Elsewhere\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", false, false},
	{"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", true, false},
	{"HTTQ/1.1 200 OK\r\n\r\n", false, true},
	{"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", false, true},
	{"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n", false, true},
	{"HTTP/1.1 200 OK\r\nContent-Le", false, true},
	{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}and more", true, true},
	{"", false, true},
};

enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

/* False: the connection has ended. */
static bool take(struct taking *t)
{
	unsigned which = collector.behaves || world_chance(500) ? 0 : (unsigned)world_below(KINDS + 2);

	check_body(t);
	if (which == KINDS) {
		taking_end(t, true);
		return false;
	}
	if (which > KINDS) {
		t->silent = true;
		return true;
	}
	if (kinds[which].takes)
		collector.taken += spans_in(t->bytes + t->body_at);
	t->answer = kinds[which].text;
	t->answer_n = strlen(t->answer);
	t->sent = 0;
	t->ends = kinds[which].ends;
	t->n = 0;
	return true;
}

static bool send_answer(struct taking *t)
{
	ssize_t sent = end_send(t->end, t->answer + t->sent, t->answer_n - t->sent);

	if (sent > 0)
		t->sent += (size_t)sent;
	if (t->sent < t->answer_n && (sent >= 0 || sent == -11))
		return true;
	t->answer = NULL;
	if (!t->ends)
		return true;
	taking_end(t, false);
	return false;
}

static void make_room(struct taking *t)
{
	if (t->room - t->n > 8192)
		return;
	t->room = 2 * t->room + 16384;
	t->bytes = sim_resize(t->bytes, t->room);
}

static void on_wake(struct sim_event *event)
{
	struct taking *t = container_of(event, struct taking, wake);
	ssize_t got;

	if (t->answer != NULL && !send_answer(t))
		return;
	do {
		make_room(t);
		got = end_recv(t->end, t->bytes + t->n, 8192);
		t->n += got > 0 ? (size_t)got : 0;
	} while (got > 0);
	if (got == 0 || got != -11) {
		taking_end(t, false);
		return;
	}
	if (t->silent || t->answer != NULL)
		return;
	if (is_whole(t)) {
		if (take(t) && t->answer != NULL)
			send_answer(t);
		return;
	}
	if (!collector.behaves && world_chance(20))
		taking_end(t, world_chance(500));
}

static void on_change(struct sim_end *end, unsigned changes)
{
	struct taking *t = end->owner;

	world_schedule(&t->wake, world_now_us());
}

static void on_accept(struct sim_port *port, struct sim_end *end)
{
	struct taking *t = sim_alloc(sizeof(*t));

	memset(t, 0, sizeof(*t));
	t->end = end;
	t->wake.on_due = on_wake;
	end->owner = t;
	end->on_change = on_change;
	list_push_back(&collector.takings, &t->node);
}

/* --- its life ----------------------------------------------------------------------------------------------------- */

void collector_begin(bool behaves)
{
	memset(&collector, 0, sizeof(collector));
	collector.port = (struct sim_port){.port = COLLECTOR_PORT, .held_max = 64, .aside = true, .reloaded = true, .on_accept = on_accept};
	list_init(&collector.takings);
	collector.behaves = behaves;
	sim_serve(&collector.port);
}

void collector_recover(void)
{
	collector.behaves = true;
}

uint64_t collector_taken(void)
{
	return collector.taken;
}

void collector_end(void)
{
	list_each_safe(&collector.takings, node, next)
		taking_end(container_of(node, struct taking, node), false);
}
