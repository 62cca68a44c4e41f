/*
 * The headers filter: on messages by itself, and on what goes through a worker.
 */
#include "../gateway/gateway.h"

#include "filters/filters.h"

#define ROUTE(edits) LISTENERS UPSTREAMS "routes: [{name: r, upstream: u, filters: [{headers: {" edits "}}]}]\n"

/* --- by itself --------------------------------------------------------------------------------------------------- */

struct scene {
	const struct config *config;
	struct arena arena;
	char first[4096];
	struct field fields[32];
	struct message message;
	struct filter_call call;
};

/* `lines` are "Name: value\n". */
static void scene_open(struct scene *scene, const char *yaml, const char *lines, size_t arena_bytes)
{
	scene->config = load_good(yaml);
	arena_init(&scene->arena, scene->first, arena_bytes, 0);
	scene->message = (struct message){.fields = scene->fields, .field_max = COUNT(scene->fields)};
	while (*lines != '\0') {
		size_t name_n = strcspn(lines, ":"), line_n = strcspn(lines, "\n");
		struct view value = view_trim(view_of(lines + name_n + 1, line_n - name_n - 1));

		assert_true(message_add(&scene->message, &scene->arena, view_of(lines, name_n), value));
		lines += line_n + 1;
	}
	scene->call = (struct filter_call){.config = &scene->config->routes[0].filters[0], .arena = &scene->arena};
}

static void scene_close(struct scene *scene)
{
	arena_release(&scene->arena);
	config_free(scene->config);
}

static void assert_fields(const struct message *m, const char *lines)
{
	char text[1024] = "";
	size_t n = 0;

	for (uint32_t i = 0; i < m->field_count; i++)
		if (!m->fields[i].dropped)
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%.*s: %.*s\n", m->fields[i].name_len,
				m->fields[i].name, (int)m->fields[i].value_len, m->fields[i].value);
	assert_string_equal(text, lines);
}

struct edit {
	const char *edits;
	const char *before;
	const char *after;
};

/* The same edits say the same of requests and of responses, and nothing of the other side. */
static void check(const struct edit *e)
{
	static const char *const sides[] = {"request", "response"};

	for (size_t side = 0; side < 2; side++) {
		struct scene scene;
		char yaml[1024];

		snprintf(yaml, sizeof(yaml), ROUTE("%s: {%s}"), sides[side], e->edits);
		scene_open(&scene, yaml, e->before, sizeof(scene.first));
		scene.call.request = scene.call.response = &scene.message;
		assert_int_equal((side == 0 ? filter_headers.on_response : filter_headers.on_request)(&scene.call),
			FILTER_CONTINUE);
		assert_fields(&scene.message, e->before);
		assert_int_equal((side == 0 ? filter_headers.on_request : filter_headers.on_response)(&scene.call),
			FILTER_CONTINUE);
		assert_fields(&scene.message, e->after);
		scene_close(&scene);
	}
}

static void test_edits(void **state)
{
	static const struct edit edits[] = {
		{"remove: [X-A]", "X-A: 1\nX-B: 2\n", "X-B: 2\n"},
		{"remove: [x-a]", "X-A: 1\nX-B: 2\nX-a: 3\n", "X-B: 2\n"},
		{"remove: [X-C, X-B]", "X-A: 1\nX-B: 2\n", "X-A: 1\n"},
		{"set: {X-A: new}", "X-A: 1\nX-B: 2\n", "X-B: 2\nX-A: new\n"},
		{"set: {x-a: new}", "X-A: 1\nX-B: 2\nX-A: 3\n", "X-B: 2\nx-a: new\n"},
		{"set: {X-A: new}", "X-B: 2\n", "X-B: 2\nX-A: new\n"},
		{"add: {X-A: new}", "X-A: 1\n", "X-A: 1\nX-A: new\n"},
		{"add: {X-A: new}", "", "X-A: new\n"},
		{"set: {X-A: '1', X-B: '2'}, add: {X-C: '3', X-D: '4'}", "", "X-A: 1\nX-B: 2\nX-C: 3\nX-D: 4\n"},
		/* remove, then set, then add, in whatever order they stand in the file */
		{"add: {X-A: added}, set: {X-A: set}, remove: [X-A]", "X-A: 1\n", "X-A: set\nX-A: added\n"},
		{"add: {X-A: added}, remove: [x-A]", "X-A: 1\n", "X-A: added\n"},
		{"set: {X-A: ''}", "X-A: 1\n", "X-A: \n"},
		/* A field that the gateway knows by its id. */
		{"set: {USER-AGENT: weir}, remove: [referer]", "User-Agent: x\nReferer: y\nuser-agent: z\n",
			"USER-AGENT: weir\n"},
	};

	for (size_t i = 0; i < COUNT(edits); i++)
		check(&edits[i]);
}

/* Beside a head nothing is added, and nothing stays that is taken out of it or decided in it. */
static void test_aside(void **state)
{
	static const char *const sides[] = {"request", "response"};

	for (size_t side = 0; side < 2; side++) {
		struct scene scene;
		char yaml[1024];

		snprintf(yaml, sizeof(yaml), ROUTE("%s: {remove: [x-a, Server], set: {X-B: new}, add: {X-C: new}}"), sides[side]);
		scene_open(&scene, yaml, "X-A: 1\nx-b: 2\nX-C: 3\nserver: 4\nX-D: 5\nx-a: 6\n", sizeof(scene.first));
		scene.call.aside = &scene.message;
		(side == 0 ? filter_headers.on_response_aside : filter_headers.on_request_aside)(&scene.call);
		assert_fields(&scene.message, "X-A: 1\nx-b: 2\nX-C: 3\nserver: 4\nX-D: 5\nx-a: 6\n");
		(side == 0 ? filter_headers.on_request_aside : filter_headers.on_response_aside)(&scene.call);
		assert_fields(&scene.message, "X-C: 3\nX-D: 5\n");
		scene_close(&scene);
	}
}

/* Nothing to write the edited head into: the exchange ends with that cause. */
static void test_no_memory(void **state)
{
	static const char lines[] =
		"A: 1\nA: 2\nA: 3\nA: 4\nA: 5\nA: 6\nA: 7\nA: 8\nA: 9\nA: 10\nA: 11\nA: 12\nA: 13\nA: 14\n"
		"A: 15\nA: 16\nA: 17\nA: 18\nA: 19\nA: 20\nA: 21\nA: 22\nA: 23\nA: 24\nA: 25\nA: 26\nA: 27\nA: 28\nA: "
		"29\n"
		"A: 30\nA: 31\nA: 32\n";
	static const char *const edits[] = {"request: {set: {X: y}}", "request: {add: {X: y}}"};

	for (size_t i = 0; i < COUNT(edits); i++) {
		struct scene scene;
		char yaml[512];

		snprintf(yaml, sizeof(yaml), ROUTE("%s"), edits[i]);
		scene_open(&scene, yaml, lines, 64);
		scene.call.request = &scene.message;
		assert_int_equal(filter_headers.on_request(&scene.call), FILTER_ANSWER);
		assert_int_equal(scene.call.cause, CAUSE_MEMORY_EXHAUSTED);
		assert_non_null(scene.call.why);
		scene_close(&scene);
	}
}

static void test_table(void **state)
{
	assert_ptr_equal(filter_table[CONFIG_FILTER_HEADERS], &filter_headers);
	assert_string_equal(filter_headers.name, "headers");
}

/* --- through a worker -------------------------------------------------------------------------------------------- */

static void test_both_ways(void **state)
{
	struct end client, origin;
	struct gateway g;

	gateway_open(&g,
		ROUTE("request: {remove: [Cookie], set: {X-Tier: gold}, add: {X-Via: edge}}, "
		      "response: {remove: [server], set: {Cache-Control: no-store}, add: {Vary: Accept}}"),
		filter_table);
	client_open(
		&client, &g, "GET / HTTP/1.1\r\nHost: h\r\ncookie: secret\r\nx-tier: admin\r\nX-Via: first\r\n\r\n");
	origin_take(&origin, &g);
	assert_false(end_has(&origin, "secret"));
	assert_false(end_has(&origin, "admin"));
	assert_true(end_has(&origin, "\r\nX-Via: first\r\nX-Tier: gold\r\nX-Via: edge\r\n"));
	end_send(&origin, "HTTP/1.1 200 OK\r\nServer: old\r\nVary: Origin\r\ncache-control: "
			  "max-age=9\r\nContent-Length: 2\r\n\r\nok");
	end_await(&client, "\r\n\r\nok");
	assert_false(end_has(&client, "Server: old"));
	assert_false(end_has(&client, "max-age"));
	assert_true(end_has(&client, "Vary: Origin\r\n"));
	assert_true(end_has(&client, "Cache-Control: no-store\r\nVary: Accept\r\n"));
	end_close(&client);
	end_close(&origin);
	gateway_close(&g);
}

/* Filters in a row see what those before them did: requests forward, responses backward. */
static void test_in_a_row(void **state)
{
	struct end client, origin;
	struct gateway g;

	gateway_open(&g,
		LISTENERS UPSTREAMS "routes: [{name: r, upstream: u, filters: ["
				    "{headers: {request: {set: {X-A: first}}, response: {set: {X-A: first}}}}, "
				    "{headers: {request: {set: {X-A: second}}, response: {set: {X-A: second}}}}]}]\n",
		filter_table);
	client_open(&client, &g, GET);
	origin_take(&origin, &g);
	assert_true(end_has(&origin, "X-A: second\r\n"));
	assert_false(end_has(&origin, "X-A: first\r\n"));
	end_send(&origin, OK);
	end_await(&client, "\r\n\r\nok");
	assert_true(end_has(&client, "X-A: first\r\n"));
	assert_false(end_has(&client, "X-A: second\r\n"));
	end_close(&client);
	end_close(&origin);
	gateway_close(&g);
}

/* The gateway's own answers are edited like any other; its error answers are not. */
static void test_own_answers(void **state)
{
	struct end client;
	struct gateway g;

	gateway_open(&g,
		LISTENERS "routes: [{name: r, match: {path: /own}, respond: {body: own}, filters: ["
			  "{headers: {response: {set: {Content-Type: text/html}, add: {X-A: new}}}}]}]\n",
		filter_table);
	client_open(&client, &g, "GET /own HTTP/1.1\r\nHost: h\r\n\r\n");
	end_await(&client, "\r\n\r\nown");
	assert_true(end_has(&client, "Content-Type: text/html\r\nX-A: new\r\n"));
	assert_false(end_has(&client, "text/plain"));
	end_forget(&client);
	end_send(&client, GET);
	end_await(&client, "no_route");
	assert_false(end_has(&client, "X-A: new"));
	end_close(&client);
	gateway_close(&g);
}

/* What the operator sets is what the upstream gets, whatever the client sent and whoever it is. */
static void test_operator_has_the_last_word(void **state)
{
	static const char *const fields[] = {"X-Forwarded-Proto", "X-Forwarded-Host", "X-Real-IP"};

	for (size_t i = 0; i < COUNT(fields); i++) {
		struct end client, origin;
		struct gateway g;
		char text[512];

		snprintf(text, sizeof(text), ROUTE("request: {set: {%s: operator}}"), fields[i]);
		gateway_open(&g, text, filter_table);
		snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: h\r\n%s: client\r\n\r\n", fields[i]);
		client_open(&client, &g, text);
		origin_take(&origin, &g);
		assert_false(end_has(&origin, ": client\r\n"));
		if (!end_has(&origin, ": operator\r\n"))
			fail_msg("%s is not what the operator set:\n%.*s", fields[i], (int)buf_len(&origin.got),
				buf_view(&origin.got).p);
		end_close(&client);
		end_close(&origin);
		gateway_close(&g);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_edits),
		cmocka_unit_test(test_aside),
		cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_table),
		LOOP_TEST(test_both_ways),
		LOOP_TEST(test_in_a_row),
		LOOP_TEST(test_own_answers),
		LOOP_TEST(test_operator_has_the_last_word),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
