#include "sim_tunnel.h"

#include <string.h>

#include "net/tls.h"
#include "sim_faults.h"
#include "sim_oracle.h"
#include "sim_world.h"

static uint64_t way_key(const struct sim_request *request, enum tunnel_way way)
{
	return way == WAY_UP ? tunnel_key(request) : tunnel_key_down(request);
}

/* --- drawing ------------------------------------------------------------------------------------------------------ */

/* 16 bytes in base64: 22 digits, of which the last has four bits that are none, and a filling. */
static void key_draw(char key[25])
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (int i = 0; i < 21; i++)
		key[i] = digits[world_below(64)];
	key[21] = "AQgw"[world_below(4)];
	memcpy(key + 22, "==", 3);
}

static uint64_t bytes_draw(void)
{
	switch (world_below(6)) {
	case 0: return 0;
	case 1: return world_between(1, 10);
	case 2:
	case 3: return world_below(5000);
	case 4: return world_below(30000);
	default: return world_below(plan.content_max < 150000 ? plan.content_max : 150000);
	}
}

static void end_draw(struct sim_tunnel *tunnel)
{
	tunnel->end = (enum tunnel_end)world_below(TUNNEL_SERVER_FIRST + 1);
	if (!world_chance(faults.answer_defect))
		return;
	tunnel->end = world_chance(750) ? TUNNEL_CUT : TUNNEL_SILENT;
	tunnel->cut_at = world_below(tunnel->ways[WAY_DOWN].bytes + 1);
	tunnel->cut_by_reset = world_chance(600);
}

void tunnel_draw(struct sim_request *request)
{
	struct sim_tunnel *tunnel = &request->tunnel;

	tunnel->websocket = plan.clients_h2 || world_chance(plan.servers_h2 ? 850 : 500);
	if (tunnel->websocket && !plan.clients_h2 && (!plan.servers_h2 || world_chance(900)))
		key_draw(tunnel->key);
	tunnel->passes = !plan.servers_h2 ||
	                 (plan.servers_tunnel && tunnel->websocket && (plan.clients_h2 || tunnel->key[0] != '\0'));
	tunnel->unproven = plan.clients_h2 && !plan.servers_h2 && world_chance(faults.answer_defect / 2);
	tunnel->early = world_chance(400);
	tunnel->ways[WAY_UP].bytes = bytes_draw();
	tunnel->ways[WAY_DOWN].bytes = bytes_draw();
	tunnel->piece = world_chance(500) ? 1 << 20 : 1 + tunnel->ways[WAY_DOWN].bytes / (1 + world_below(30));
	tunnel->pause_us = world_chance(500) ? 0 : world_below(3000);
	tunnel->deaf_us = world_chance(700) ? 0 : world_below(100000);
	end_draw(tunnel);
}

void tunnel_accept(const char *key, bool wrong, char accept[29])
{
	accept[0] = accept[28] = '\0';
	if (strlen(key) == TLS_WEBSOCKET_KEY_BYTES)
		SIM_CHECK(tls_websocket_accept((struct view){key, TLS_WEBSOCKET_KEY_BYTES}, accept));
	if (wrong && accept[0] != '\0')
		accept[0] = accept[0] == 'A' ? 'B' : 'A';
}

/* --- bytes -------------------------------------------------------------------------------------------------------- */

size_t tunnel_next(const struct sim_request *request, enum tunnel_way way, char *bytes, size_t n)
{
	const struct sim_way *w = &request->tunnel.ways[way];
	uint64_t left = w->ended ? 0 : w->bytes - w->said;

	if (way == WAY_DOWN && request->tunnel.end == TUNNEL_CUT && request->tunnel.cut_at - w->said < left)
		left = request->tunnel.cut_at - w->said;
	if (n > left)
		n = (size_t)left;
	pattern_fill(way_key(request, way), w->said, bytes, n);
	return n;
}

void tunnel_said(struct sim_request *request, enum tunnel_way way, size_t n)
{
	request->tunnel.ways[way].said += n;
}

static const char *way_name(enum tunnel_way way)
{
	return way == WAY_UP ? "up" : "down";
}

void tunnel_heard(struct sim_request *request, enum tunnel_way way, const char *bytes, size_t n)
{
	struct sim_way *w = &request->tunnel.ways[way];
	size_t right = pattern_check(way_key(request, way), w->arrived, bytes, n);

	if (way == WAY_DOWN ? !request->switched : !request->tunnel.passes)
		world_violation("4: nothing of a tunnel before its 101", "request %u", request->id);
	if (right != n || w->arrived + n > w->said)
		world_violation("2: every byte belongs where it is", "tunnel of request %u, %s: byte %llu of %llu",
			request->id, way_name(way), (unsigned long long)(w->arrived + right),
			(unsigned long long)w->said);
	w->arrived += n;
}

void tunnel_heard_end(struct sim_request *request, enum tunnel_way way)
{
	struct sim_way *w = &request->tunnel.ways[way];

	if (!w->ended || w->arrived != w->said)
		world_violation("2: what was cut short never looks complete",
			"tunnel of request %u, %s: ends after %llu of %llu bytes%s", request->id, way_name(way),
			(unsigned long long)w->arrived, (unsigned long long)w->said,
			w->ended ? "" : ", and nobody has ended it");
	w->seen = true;
}

/* --- ends --------------------------------------------------------------------------------------------------------- */

static bool all_said(const struct sim_way *way)
{
	return way->said == way->bytes;
}

bool tunnel_may_end(const struct sim_request *request, enum tunnel_way way)
{
	const struct sim_tunnel *tunnel = &request->tunnel;
	const struct sim_way *w = &tunnel->ways[way], *other = &tunnel->ways[1 - way];

	if (w->ended || !all_said(w))
		return false;
	if (other->seen)
		return true;
	if (way == WAY_DOWN)
		return tunnel->end == TUNNEL_SERVER_FIRST;
	return tunnel->end == TUNNEL_CLIENT_FIRST ||
	       (tunnel->end == TUNNEL_CLIENT_LAST && other->arrived == other->bytes);
}

bool tunnel_is_cut(const struct sim_request *request)
{
	return request->tunnel.end == TUNNEL_CUT && request->tunnel.ways[WAY_DOWN].said == request->tunnel.cut_at;
}

void tunnel_check_whole(const struct sim_request *request)
{
	const struct sim_tunnel *tunnel = &request->tunnel;

	if (!tunnel->open || tunnel->client_left || oracle_run_is_rough())
		return;
	for (int way = WAY_UP; way <= WAY_DOWN; way++) {
		const struct sim_way *w = &tunnel->ways[way];

		if (!w->ended || w->arrived != w->bytes)
			world_violation("1: a tunnel carries everything", "request %u, %s: %llu of %llu bytes", request->id,
				way_name((enum tunnel_way)way), (unsigned long long)w->arrived,
				(unsigned long long)w->bytes);
	}
}

/* Rule 6 for what has become a tunnel. */
void tunnel_check_record(const struct sim_request *request, int cause)
{
	const struct sim_tunnel *tunnel = &request->tunnel;
	bool in_order = tunnel->ways[WAY_UP].ended && tunnel->ways[WAY_DOWN].ended;
	bool may_fail = oracle_run_is_rough() || tunnel->client_left;

	if (request->kind != KIND_UPGRADE || !request->switched)
		world_violation("4: a tunnel begins with the server's 101", "request %u", request->id);
	if (cause == CAUSE_NONE ? !in_order : !may_fail || !oracle_tunnel_fits(request, (enum cause)cause))
		world_violation("6: the cause fits what went wrong", "the tunnel of request %u ends with %s", request->id,
			cause == CAUSE_NONE ? "no cause" : cause_info((enum cause)cause)->word);
}
