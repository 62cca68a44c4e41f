/*
 * Heads as they go upstream: who the client is, what is dropped and what is said anew, targets and locations. The
 * exchange is put together by hand, as far as forward.c looks at it.
 */
#include "../net/end.h"
#include "load.h"

#include "gateway/exchange.h"

struct scene {
	const struct config *config;
	struct router *router;
	struct h1_scratch *scratch;
	struct worker worker;
	struct worker_listener listener;
	struct client client;
	struct exchange exchange;
	struct upstream_conn upstream;
	struct view sent; /* the head as it goes upstream */
};

static struct scene scene;

#define LISTENER                                                                                               \
	"version: 1\nlisteners: [{name: l, address: 127.0.0.1:80, trusted_proxies: [10.0.0.0/8, 'fd00::/16', " \
	"192.168.1.1/32]}]\n"
#define FILE_WITH(route) LISTENER UPSTREAMS "routes: [{name: r, " route "}]\n"

static void scene_identify(const char *peer)
{
	struct address address = {.len = sizeof(sa_family_t), .u.any.sa_family = AF_UNIX};
	unsigned char bytes[16];

	if (address_bytes_parse(view_str(peer), bytes))
		address_from_bytes(&address, bytes, 1);
	client_identify(&scene.client, &address);
}

static void scene_open(const char *yaml, const char *peer)
{
	memset(&scene, 0, sizeof(scene));
	scene.config = load_good(yaml);
	scene.router = router_create(scene.config);
	scene.scratch = h1_scratch_create();
	assert_true(scene.router != NULL && scene.scratch != NULL);
	scene.worker.io = fixture.io;
	forward_init(&scene.worker);
	scene.listener.config = &scene.config->listeners[0];
	scene.client.worker = &scene.worker;
	scene.client.listener = &scene.listener;
	scene_identify(peer);
	scene.exchange.worker = &scene.worker;
	scene.exchange.client = &scene.client;
	scene.exchange.trusted = scene.client.trusted;
	scene.exchange.lease.conn = &scene.upstream;
	scene.exchange.lease.stream = &scene.upstream.h1.stream;
	scene.exchange.down = &scene.client.h1.stream;
}

static void scene_close(void)
{
	arena_release(&scene.exchange.arena);
	h1_conn_release(&scene.upstream.h1);
	h1_scratch_free(scene.scratch);
	router_free(scene.router);
	config_free(scene.config);
}

/* Takes a request as far as its route: NULL, or why it is refused. */
static const char *receive(const char *request)
{
	static const struct h1_limits limits = {
		.head_bytes_max = 65536, .field_count_max = 100, .target_bytes_max = 8192};
	static struct field fields[100];
	struct exchange *ex = &scene.exchange;
	struct message m = {.fields = fields, .field_max = COUNT(fields)};

	arena_release(&ex->arena);
	arena_init(&ex->arena, ex->first, sizeof(ex->first), 65536);
	assert_int_equal(h1_read_request(view_str(request), &limits, &m).status, H1_DONE);
	assert_true(message_copy(&ex->request, &m, &ex->arena, 0));
	assert_true(forward_identify(ex));
	ex->target = (struct target){0};
	const char *why = target_read(&ex->target, &ex->request, &ex->arena, NULL);
	if (why == NULL)
		why = forward_prepare(ex);
	if (why != NULL)
		return why;
	struct route_query query = exchange_query(ex);
	struct route_match match = router_find(scene.router, &query);
	assert_non_null(match.route);
	ex->route = match.route;
	ex->route_rest = match.rest;
	return forward_rewrite(ex);
}

/* And on: scene.sent is what goes upstream. */
static void forward(const char *request)
{
	const char *why = receive(request);

	if (why != NULL)
		fail_msg("%s\nis refused: %s", request, why);
	h1_conn_release(&scene.upstream.h1);
	h1_conn_init(&scene.upstream.h1, scene.scratch);
	assert_true(forward_request(&scene.exchange));
	scene.sent = view_of(scene.scratch->out, (size_t)(scene.scratch->at - scene.scratch->out));
}

/* `expected` is what stands before X-Request-Id, which ends the head. */
static void expect(const char *request, const char *expected)
{
	char whole[4096];

	forward(request);
	snprintf(whole, sizeof(whole), "%sX-Request-Id: %.*s\r\n\r\n", expected, (int)scene.exchange.request_id.n,
		scene.exchange.request_id.p);
	assert_view(scene.sent, whole);
}

static bool sent_has(const char *text)
{
	return memmem(scene.sent.p, scene.sent.n, text, strlen(text)) != NULL;
}

/* --- who the client is ------------------------------------------------------------------------------------------- */

struct walk {
	const char *peer;
	const char *fields;
	const char *client;
};

static void test_client_address(void **state)
{
	static const struct walk walks[] = {
		/* A peer that is no proxy of ours says what it likes: nobody listens. */
		{"203.0.113.9", "", "203.0.113.9"},
		{"203.0.113.9", "X-Forwarded-For: 1.1.1.1\r\n", "203.0.113.9"},
		{"11.0.0.1", "X-Forwarded-For: 1.1.1.1\r\n", "11.0.0.1"},
		{"192.168.1.2", "X-Forwarded-For: 1.1.1.1\r\n", "192.168.1.2"},
		{"10.0.0.1", "", "10.0.0.1"},
		{"10.0.0.1", "X-Forwarded-For: 1.1.1.1\r\n", "1.1.1.1"},
		{"192.168.1.1", "X-Forwarded-For: 1.1.1.1\r\n", "1.1.1.1"},
		{"fd00::5", "X-Forwarded-For: 2001:db8::7\r\n", "2001:db8::7"},
		{"fd01::5", "X-Forwarded-For: 2001:db8::7\r\n", "fd01::5"},
		/* The rightmost that is not one of ours; what stands left of it is hearsay. */
		{"10.0.0.1", "X-Forwarded-For: 9.9.9.9, 1.1.1.1\r\n", "1.1.1.1"},
		{"10.0.0.1", "X-Forwarded-For: 9.9.9.9, 1.1.1.1, 10.2.3.4\r\n", "1.1.1.1"},
		{"10.0.0.1", "X-Forwarded-For: 1.1.1.1,10.2.3.4 ,\t10.1.1.1\r\n", "1.1.1.1"},
		{"10.0.0.1", "X-Forwarded-For: 1.1.1.1, fd00::1, ::ffff:10.1.1.1\r\n", "1.1.1.1"},
		/* All are ours: the farthest. */
		{"10.0.0.1", "X-Forwarded-For: 10.3.3.3, 10.2.2.2\r\n", "10.3.3.3"},
		/* Several fields are one list. */
		{"10.0.0.1", "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 10.2.2.2\r\n", "1.1.1.1"},
		{"10.0.0.1", "X-Forwarded-For: 9.9.9.9\r\nx-forwarded-for: 1.1.1.1\r\n", "1.1.1.1"},
		{"10.0.0.1", "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For:\r\n", "1.1.1.1"},
		/* With the port, which is not the client. */
		{"10.0.0.1", "X-Forwarded-For: 1.1.1.1:80\r\n", "1.1.1.1"},
		{"10.0.0.1", "X-Forwarded-For: 9.9.9.9, 1.1.1.1:65535, 10.2.2.2:1\r\n", "1.1.1.1"},
		{"10.0.0.1", "X-Forwarded-For: [2001:db8::7]\r\n", "2001:db8::7"},
		{"10.0.0.1", "X-Forwarded-For: [2001:db8::7]:443\r\n", "2001:db8::7"},
		{"10.0.0.1", "X-Forwarded-For: 1.1.1.1, [fd00::1]:443\r\n", "1.1.1.1"},
		/* What is no address says that nobody knows. */
		{"10.0.0.1", "X-Forwarded-For: garbage\r\n", "unknown"},
		{"10.0.0.1", "X-Forwarded-For: 1.1.1.1, unknown\r\n", "unknown"},
		{"10.0.0.1", "X-Forwarded-For: 1.1.1.1, garbage, 10.2.2.2\r\n", "unknown"},
		{"10.0.0.1", "X-Forwarded-For: garbage, 1.1.1.1, 10.2.2.2\r\n", "1.1.1.1"},
		{"10.0.0.1", "X-Forwarded-For: 1.1.1.1, 10.2.2.2,\r\n", "unknown"},
		{"10.0.0.1", "X-Forwarded-For: ,\r\n", "unknown"},
		{"10.0.0.1", "X-Forwarded-For: 1.1.1\r\n", "unknown"},
		{"10.0.0.1", "X-Forwarded-For: 1.1.1.256\r\n", "unknown"},
		{"10.0.0.1", "X-Forwarded-For: 1.1.1.1 10.2.2.2\r\n", "unknown"},
		{"10.0.0.1", "X-Forwarded-For: 1.1.1.1;x\r\n", "unknown"},
		{"10.0.0.1", "X-Forwarded-For: 1.1.1.1:\r\n", "unknown"},
		{"10.0.0.1", "X-Forwarded-For: 1.1.1.1:x\r\n", "unknown"},
		{"10.0.0.1", "X-Forwarded-For: 1.1.1.1:65536\r\n", "unknown"},
		{"10.0.0.1", "X-Forwarded-For: 1.1.1.1:1:1\r\n", "unknown"},
		{"10.0.0.1", "X-Forwarded-For: :80\r\n", "unknown"},
		{"10.0.0.1", "X-Forwarded-For: []:80\r\n", "unknown"},
		{"10.0.0.1", "X-Forwarded-For: [2001:db8::7\r\n", "unknown"},
		{"10.0.0.1", "X-Forwarded-For: [2001:db8::7]443\r\n", "unknown"},
		{"10.0.0.1", "X-Forwarded-For: [1.1.1.1]\r\n", "unknown"},
		{"10.0.0.1", "X-Forwarded-For: [[2001:db8::7]]\r\n", "unknown"},
		{"10.0.0.1",
			"X-Forwarded-For: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n",
			"unknown"},
	};
	char request[512];

	for (size_t i = 0; i < COUNT(walks); i++) {
		scene_open(FILE_WITH("upstream: u"), walks[i].peer);
		snprintf(request, sizeof(request), "GET / HTTP/1.1\r\nHost: h\r\n%s\r\n", walks[i].fields);
		forward(request);
		if (!view_eq(scene.exchange.client_address, view_str(walks[i].client)))
			fail_msg("%s with %s is taken for %.*s", walks[i].peer, walks[i].fields,
				(int)scene.exchange.client_address.n, scene.exchange.client_address.p);
		scene_close();
	}
}

static void test_blocks(void **state)
{
	static const struct {
		const char *block, *first, *last; /* the addresses in it */
		const char *before, *behind; /* and those next to it */
	} cases[] = {
		{"172.16.0.0/12", "172.16.0.0", "172.31.255.255", "172.15.255.255", "172.32.0.0"},
		{"10.1.2.4/31", "10.1.2.4", "10.1.2.5", "10.1.2.3", "10.1.2.6"},
		{"10.1.2.4/32", "10.1.2.4", "10.1.2.4", "10.1.2.3", "10.1.2.5"},
		{"128.0.0.0/1", "128.0.0.0", "255.255.255.255", "127.255.255.255", "::"},
		{"0.0.0.0/0", "0.0.0.0", "255.255.255.255", "::1", "2001:db8::1"},
		{"2001:db8::/33", "2001:db8::", "2001:db8:7fff:ffff:ffff:ffff:ffff:ffff",
			"2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db8:8000::"},
		{"::1/128", "::1", "::1", "::", "::2"},
		{"::/0", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL, NULL},
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		const char *peers[] = {cases[i].first, cases[i].last, cases[i].before, cases[i].behind};

		for (size_t j = 0; j < COUNT(peers) && peers[j] != NULL; j++) {
			char yaml[512];

			snprintf(yaml, sizeof(yaml),
				"version: 1\nlisteners: [{name: l, address: 127.0.0.1:80, trusted_proxies: "
				"['%s']}]\n" UPSTREAMS "routes: [{name: r, upstream: u}]\n",
				cases[i].block);
			scene_open(yaml, peers[j]);
			if (scene.client.trusted != (j < 2))
				fail_msg("%s and %s", peers[j], cases[i].block);
			scene_close();
		}
	}
}

/* --- the request's id -------------------------------------------------------------------------------------------- */

static bool id_is_kept(const char *peer, const char *id)
{
	char request[512];

	scene_open(FILE_WITH("upstream: u"), peer);
	snprintf(request, sizeof(request), "GET / HTTP/1.1\r\nHost: h\r\nX-Request-Id: %s\r\n\r\n", id);
	forward(request);
	bool kept = view_eq(scene.exchange.request_id, view_str(id));
	snprintf(request, sizeof(request), "X-Request-Id: %.*s\r\n\r\n", (int)scene.exchange.request_id.n,
		scene.exchange.request_id.p);
	assert_true(sent_has(request));
	assert_int_equal(id[0] != '\0' && sent_has(id), kept);
	scene_close();
	return kept;
}

static void test_request_id(void **state)
{
	char longest[129 + 1];

	assert_true(id_is_kept("10.0.0.1", "abc-123/~!"));
	assert_false(id_is_kept("203.0.113.9", "abc-123"));
	assert_false(id_is_kept("10.0.0.1", ""));
	assert_false(id_is_kept("10.0.0.1", "with blank"));
	assert_false(id_is_kept("10.0.0.1", "with\"quote"));
	assert_false(id_is_kept("10.0.0.1", "with\\backslash"));
	assert_false(id_is_kept("10.0.0.1", "n\xc3\xbcll"));
	memset(longest, 'x', sizeof(longest));
	longest[129] = '\0';
	assert_false(id_is_kept("10.0.0.1", longest));
	longest[128] = '\0';
	assert_true(id_is_kept("10.0.0.1", longest));
}

static void test_new_ids_differ(void **state)
{
	enum { IDS = 200 };
	char ids[IDS][33] = {{0}};

	scene_open(FILE_WITH("upstream: u"), "203.0.113.9");
	for (size_t i = 0; i < IDS; i++) {
		forward("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
		assert_int_equal(scene.exchange.request_id.n, 32);
		memcpy(ids[i], scene.exchange.request_id.p, 32);
		assert_int_equal(strspn(ids[i], "0123456789abcdef"), 32);
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(ids[i], ids[j]);
	}
	scene_close();
}

/* --- fields ------------------------------------------------------------------------------------------------------ */

#define OURS(peer)                                                                                                 \
	"Via: 1.1 weir\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: h.example\r\nX-Forwarded-For: " peer "\r\n" \
	"Forwarded: for=" peer ";host=\"h.example\";proto=http\r\n"

static void test_order_and_spelling_are_kept(void **state)
{
	scene_open(FILE_WITH("upstream: u"), "203.0.113.9");
	expect("GET /a?b=c HTTP/1.1\r\nuser-AGENT: x\r\nHOST: h.example\r\nX-b: 1\r\nX-A:  2 \r\nX-b: "
	       "3\r\nX-Empty:\r\n\r\n",
		"GET /a?b=c HTTP/1.1\r\nHost: h.example\r\nuser-AGENT: x\r\nX-b: 1\r\nX-A: 2\r\nX-b: 3\r\nX-Empty: "
		"\r\n" OURS("203.0.113.9"));
	scene_close();
}

/* In one piece where it stands as it is written; whatever stands otherwise is written anew. */
static void test_start_stands_or_is_written(void **state)
{
	static const struct {
		const char *request, *sent;
	} cases[] = {
		{"GET /a HTTP/1.1\r\nHost: h.example\r\nA: 1\r\n", "GET /a HTTP/1.1\r\nHost: h.example\r\nA: 1\r\n"},
		{"PUT /a HTTP/1.1\r\nHost: h.example\r\n", "PUT /a HTTP/1.1\r\nHost: h.example\r\n"},
		{"GET /a HTTP/1.1\r\nhost: h.example\r\nA: 1\r\n", "GET /a HTTP/1.1\r\nHost: h.example\r\nA: 1\r\n"},
		{"GET /a HTTP/1.1\r\nHost: H.example\r\nA: 1\r\n", "GET /a HTTP/1.1\r\nHost: h.example\r\nA: 1\r\n"},
		{"GET /a HTTP/1.1\r\nHost:  h.example\r\nA: 1\r\n", "GET /a HTTP/1.1\r\nHost: h.example\r\nA: 1\r\n"},
		{"GET /%61 HTTP/1.1\r\nHost: h.example\r\nA: 1\r\n", "GET /a HTTP/1.1\r\nHost: h.example\r\nA: 1\r\n"},
		{"GET http://h.example/a HTTP/1.1\r\nHost: h.example\r\nA: 1\r\n", "GET /a HTTP/1.1\r\nHost: h.example\r\nA: 1\r\n"},
		{"GET /a HTTP/1.1\r\nA: 1\r\nHost: h.example\r\n", "GET /a HTTP/1.1\r\nHost: h.example\r\nA: 1\r\n"},
		{"GET /a HTTP/1.1\r\nConnection: close\r\nHost: h.example\r\nA: 1\r\n", "GET /a HTTP/1.1\r\nHost: h.example\r\nA: 1\r\n"},
		{"GET /a HTTP/1.1\r\nHost: h.example\r\nConnection: close\r\nA: 1\r\n", "GET /a HTTP/1.1\r\nHost: h.example\r\nA: 1\r\n"},
		{"GET /a HTTP/1.1\r\nHost: h.example\r\nA: 1\r\nX-Request-Id: x\r\n", "GET /a HTTP/1.1\r\nHost: h.example\r\nA: 1\r\n"},
	};
	char request[256], sent[512];

	scene_open(FILE_WITH("upstream: u"), "203.0.113.9");
	for (size_t i = 0; i < COUNT(cases); i++) {
		snprintf(request, sizeof(request), "%s\r\n", cases[i].request);
		snprintf(sent, sizeof(sent), "%s" OURS("203.0.113.9"), cases[i].sent);
		expect(request, sent);
	}
	scene_close();
}

static void test_hop_by_hop_fields_are_dropped(void **state)
{
	scene_open(FILE_WITH("upstream: u"), "203.0.113.9");
	expect("GET / HTTP/1.1\r\nHost: h.example\r\nConnection: keep-alive, X-Private, x-other\r\nX-Private: 1\r\n"
	       "Keep-Alive: 5\r\nProxy-Connection: x\r\nTE: trailers\r\nProxy-Authorization: y\r\nX-OTHER: 2\r\n"
	       "Upgrade: foo\r\nX-Stays: 3\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h.example\r\nX-Stays: 3\r\n" OURS("203.0.113.9"));
	scene_close();
}

static void test_fields_that_must_not_be_named(void **state)
{
	static const char *const names[] = {"Host", "Content-Length", "host", "X-Forwarded-For", "X-Request-Id", "Via"};
	char request[256];

	scene_open(FILE_WITH("upstream: u"), "203.0.113.9");
	for (size_t i = 0; i < COUNT(names); i++) {
		snprintf(request, sizeof(request), "GET / HTTP/1.1\r\nHost: h\r\nConnection: a, %s\r\n\r\n", names[i]);
		if (receive(request) == NULL)
			fail_msg("Connection: %s is let through", names[i]);
	}
	scene_close();
}

/* What an untrusted client says of itself is gone; what a trusted proxy says stays and is added to. */
static void test_forwarding_fields(void **state)
{
	static const char request[] =
		"GET / HTTP/1.1\r\nHost: h.example\r\nX-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Proto: https\r\n"
		"X-Forwarded-Host: outer\r\nForwarded: for=1.1.1.1\r\nX-Real-IP: 1.1.1.1\r\nVia: 1.1 before\r\n"
		"X-Forwarded-For: 2.2.2.2\r\n\r\n";

	scene_open(FILE_WITH("upstream: u"), "203.0.113.9");
	expect(request, "GET / HTTP/1.1\r\nHost: h.example\r\nVia: 1.1 before\r\n" OURS("203.0.113.9"));
	scene_close();
	scene_open(FILE_WITH("upstream: u"), "10.0.0.1");
	expect(request, "GET / HTTP/1.1\r\nHost: h.example\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: outer\r\n"
			"Forwarded: for=1.1.1.1\r\nX-Real-IP: 1.1.1.1\r\nVia: 1.1 before\r\nVia: 1.1 weir\r\n"
			"X-Forwarded-For: 1.1.1.1, 2.2.2.2, 10.0.0.1\r\nForwarded: "
			"for=10.0.0.1;host=\"h.example\";proto=http\r\n");
	scene_close();
}

static void test_ipv6_and_no_host(void **state)
{
	scene_open(FILE_WITH("upstream: u"), "2001:db8::7");
	expect("GET / HTTP/1.0\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: \r\nVia: 1.0 weir\r\nX-Forwarded-Proto: http\r\n"
		"X-Forwarded-For: 2001:db8::7\r\nForwarded: for=\"[2001:db8::7]\";proto=http\r\n");
	scene_close();
}

/* Who comes through a unix socket has no address. */
static void test_local_peer(void **state)
{
	scene_open(FILE_WITH("upstream: u"), "unix:");
	expect("GET / HTTP/1.1\r\nHost: h.example\r\n\r\n", "GET / HTTP/1.1\r\nHost: h.example\r\n" OURS("unknown"));
	scene_close();
}

static void test_framing_and_expectation(void **state)
{
	scene_open(FILE_WITH("upstream: u"), "203.0.113.9");
	expect("POST / HTTP/1.1\r\nHost: h.example\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: h.example\r\nContent-Length: 3\r\nExpect: 100-continue\r\n" OURS(
			"203.0.113.9"));
	assert_int_equal(scene.upstream.h1.out_framing, FRAMING_LENGTH);
	expect("POST / HTTP/1.1\r\nHost: h.example\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: h.example\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n" OURS(
			"203.0.113.9"));
	assert_int_equal(scene.upstream.h1.out_framing, FRAMING_CHUNKED);
	forward("POST / HTTP/1.0\r\nHost: h.example\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
	assert_false(sent_has("Expect"));
	scene_close();
}

static void test_upgrade(void **state)
{
	scene_open(FILE_WITH("upstream: u"), "203.0.113.9");
	expect("GET / HTTP/1.1\r\nHost: h.example\r\nConnection: upgrade, close\r\nUpgrade: websocket\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" OURS(
			"203.0.113.9"));
	static const char *const refused[] = {
		"Connection: upgrade\r\nUpgrade: h2c\r\n",
		"Connection: upgrade\r\nUpgrade: a/1, H2C\r\n",
		"Connection: upgrade\r\nUpgrade: a/1\r\nUpgrade: h2c\r\n",
		"Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n",
		"Upgrade: websocket\r\n",
	};
	for (size_t i = 0; i < COUNT(refused); i++) {
		char request[256];

		snprintf(request, sizeof(request), "GET / HTTP/1.1\r\nHost: h\r\n%s\r\n", refused[i]);
		forward(request);
		assert_false(sent_has("Upgrade:") || sent_has("Connection:"));
	}
	scene_close();
}

/* A head with as much as may be added to it does not overflow: it is refused. */
static void test_head_that_does_not_fit(void **state)
{
	scene_open(FILE_WITH("upstream: u"), "203.0.113.9");
	assert_null(receive("GET / HTTP/1.1\r\nHost: h\r\n\r\n"));
	char *large = calloc(1, H1_SCRATCH_OUT_BYTES);
	assert_non_null(large);
	assert_true(message_add(
		&scene.exchange.request, &scene.exchange.arena, VIEW("X"), view_of(large, H1_SCRATCH_OUT_BYTES)));
	h1_conn_init(&scene.upstream.h1, scene.scratch);
	assert_false(forward_request(&scene.exchange));
	free(large);
	scene_close();
}

/* --- targets and locations --------------------------------------------------------------------------------------- */

struct rewriting {
	const char *route; /* in the file */
	const char *request; /* what is asked for */
	const char *target; /* and what is forwarded, or where it is redirected to */
	const char *host; /* NULL: as it came */
};

static void test_rewrite(void **state)
{
	static const struct rewriting cases[] = {
		{"upstream: u", "/a?b", "/a?b", NULL},
		{"upstream: u", "/a/./b//c/../%7e", "/a/b/~", NULL},
		{"upstream: u, match: {path: '/v1/*'}, rewrite: {path: '/w/*'}", "/v1/x?q=1", "/w/x?q=1", NULL},
		{"upstream: u, match: {path: '/v1/*'}, rewrite: {path: '/w/*'}", "/v1", "/w", NULL},
		{"upstream: u, match: {path: '/v1/*'}, rewrite: {path: '/w/*'}", "/v1/", "/w/", NULL},
		{"upstream: u, match: {path: '/v1/*'}, rewrite: {path: '/w/*'}", "/v1?", "/w?", NULL},
		{"upstream: u, match: {path: '/v1/*'}, rewrite: {path: '/*'}", "/v1/x", "/x", NULL},
		{"upstream: u, match: {path: '/v1/*'}, rewrite: {path: '/*'}", "/v1", "/", NULL},
		{"upstream: u, match: {path: '/v1/*'}, rewrite: {path: '/*'}", "/v1/", "/", NULL},
		{"upstream: u, match: {path: '/v1/*'}, rewrite: {path: '/*'}", "/v1?q", "/?q", NULL},
		{"upstream: u, match: {path: '/v1/*'}, rewrite: {path: '/fixed'}", "/v1/x?q", "/fixed?q", NULL},
		{"upstream: u, match: {path: '/*'}, rewrite: {path: '/base/*'}", "/x/y", "/base/x/y", NULL},
		{"upstream: u, match: {path: '/*'}, rewrite: {path: '/base/*'}", "/", "/base/", NULL},
		{"upstream: u, match: {path: '/*'}, rewrite: {path: '/*'}", "/x", "/x", NULL},
		{"upstream: u, rewrite: {path: '/base/*'}", "/x", "/base/x", NULL},
		{"upstream: u, match: {path: '/a'}, rewrite: {path: '/b'}", "/a?q", "/b?q", NULL},
		{"upstream: u, rewrite: {host: 'In.Example:8080'}", "/a", "/a", "in.example:8080"},
		{"upstream: u, match: {path: '/v1/*'}, rewrite: {path: '/*', host: in.example}", "/v1/a", "/a",
			"in.example"},
	};
	char text[1024];

	for (size_t i = 0; i < COUNT(cases); i++) {
		snprintf(text, sizeof(text), FILE_WITH("%s"), cases[i].route);
		scene_open(text, "203.0.113.9");
		snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: H.example:81\r\n\r\n", cases[i].request);
		forward(text);
		assert_view(scene.exchange.forward_target, cases[i].target);
		snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: %s\r\nVia", cases[i].target,
			cases[i].host != NULL ? cases[i].host : "h.example:81");
		assert_true(view_starts(scene.sent, view_str(text)));
		/* The upstream learns what the client asked for. */
		assert_true(sent_has("X-Forwarded-Host: h.example:81\r\n"));
		scene_close();
	}
}

static void test_asterisk_is_not_rewritten(void **state)
{
	scene_open(FILE_WITH("upstream: u, rewrite: {path: '/base/*'}"), "203.0.113.9");
	forward("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n");
	assert_view(scene.exchange.forward_target, "*");
	scene_close();
}

static void test_redirect(void **state)
{
	static const struct rewriting cases[] = {
		{"redirect: {location: 'https://x.example/new'}, match: {path: '/a/*'}", "/a/b?q",
			"https://x.example/new", NULL},
		{"redirect: {location: 'https://x.example/new/*'}, match: {path: '/a/*'}", "/a/b?q",
			"https://x.example/new/b?q", NULL},
		{"redirect: {location: 'https://x.example/new/*'}, match: {path: '/a/*'}", "/a",
			"https://x.example/new", NULL},
		{"redirect: {location: 'https://x.example/*'}, match: {path: '/*'}", "/", "https://x.example/", NULL},
		{"redirect: {location: 'https://x.example/*'}, match: {path: '/*'}", "/a//b?", "https://x.example/a/b?",
			NULL},
		{"redirect: {location: '/new/*'}, match: {path: '/a/*'}", "/a/b", "/new/b", NULL},
		{"redirect: {location: '/*'}, match: {path: '/a/*'}", "/a/b", "/b", NULL},
		{"redirect: {location: '/*'}, match: {path: '/a/*'}", "/a", "/", NULL},
		{"redirect: {location: '/*'}, match: {path: '/a/*'}", "/a?q", "/?q", NULL},
		{"redirect: {location: '/x?y=1'}, match: {path: '/a'}", "/a?q", "/x?y=1", NULL},
	};
	char text[1024];

	for (size_t i = 0; i < COUNT(cases); i++) {
		snprintf(text, sizeof(text), FILE_WITH("%s"), cases[i].route);
		scene_open(text, "203.0.113.9");
		snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: h.example\r\n\r\n", cases[i].request);
		assert_null(receive(text));
		assert_int_equal(scene.exchange.answer.status, 302);
		assert_view(scene.exchange.answer.location, cases[i].target);
		scene_close();
	}
}

/* A location never becomes another host, whatever path was asked for. */
static void test_redirect_stays_here(void **state)
{
	scene_open(FILE_WITH("redirect: {location: '/*'}, match: {path: '/a/*'}"), "203.0.113.9");
	assert_null(receive("GET /a//evil.example HTTP/1.1\r\nHost: h\r\n\r\n"));
	assert_view(scene.exchange.answer.location, "/evil.example");
	scene_close();
}

/* What an exchange does not zero holds what another one left there. */
static void test_peer_without_memory(void **state)
{
	struct exchange *ex = &scene.exchange;
	struct view stale = VIEW("of another request");

	scene_open(FILE_WITH("match: {path: '/*'}, upstream: u"), "2001:db8::1");
	arena_init(&ex->arena, ex->first, 8, 8);
	ex->peer = ex->client_address = ex->request_id = stale;
	assert_false(forward_identify(ex));
	assert_int_equal(ex->peer.n + ex->client_address.n + ex->request_id.n, 0);
	scene_close();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOOP_TEST(test_client_address),
		LOOP_TEST(test_blocks),
		LOOP_TEST(test_request_id),
		LOOP_TEST(test_new_ids_differ),
		LOOP_TEST(test_order_and_spelling_are_kept),
		LOOP_TEST(test_start_stands_or_is_written),
		LOOP_TEST(test_hop_by_hop_fields_are_dropped),
		LOOP_TEST(test_fields_that_must_not_be_named),
		LOOP_TEST(test_forwarding_fields),
		LOOP_TEST(test_ipv6_and_no_host),
		LOOP_TEST(test_local_peer),
		LOOP_TEST(test_framing_and_expectation),
		LOOP_TEST(test_upgrade),
		LOOP_TEST(test_head_that_does_not_fit),
		LOOP_TEST(test_rewrite),
		LOOP_TEST(test_asterisk_is_not_rewritten),
		LOOP_TEST(test_redirect),
		LOOP_TEST(test_redirect_stays_here),
		LOOP_TEST(test_peer_without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
