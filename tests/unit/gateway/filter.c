/*
 * The filter cursor, with filters that do what the configuration tells them: the first field that a `headers` filter
 * would set is its label and what it does with requests, and the same for responses. A trace says who was asked, in order.
 */
#include "gateway.h"

enum { LABELS = 26 };

static char trace[256];
static struct exchange_ref refs[LABELS][64]; /* of those who paused, by label */
static size_t ref_count[LABELS];

struct seen {
	unsigned char untouched[64];
	char label;
};

static void trace_add(const char *format, char label)
{
	size_t n = strlen(trace);

	assert_true(n + 4 < sizeof(trace));
	snprintf(trace + n, sizeof(trace) - n, format, label);
}

static char label_of(const struct filter_call *call)
{
	return call->config->u.headers.request.set[0].name.p[0];
}

static enum filter_verdict obey(struct filter_call *call, struct view verb)
{
	size_t at = (size_t)(label_of(call) - 'a');

	if (view_eq(verb, VIEW("pause"))) {
		refs[at][ref_count[at]] = exchange_pause_ref(call->exchange);
		assert_true(refs[at][ref_count[at]++].slot != 0);
		io_stop(fixture.io);
		return FILTER_PAUSE;
	}
	/* What no filter may do: a reference goes with a pause. */
	if (view_eq(verb, VIEW("mislead")))
		exchange_pause_ref(call->exchange);
	if (view_eq(verb, VIEW("answer"))) {
		call->cause = CAUSE_FORBIDDEN;
		call->why = "the test says no";
		return FILTER_ANSWER;
	}
	return view_eq(verb, VIEW("fail")) ? FILTER_ANSWER : FILTER_CONTINUE;
}

static enum filter_verdict on_request(struct filter_call *call)
{
	static const struct seen fresh;
	struct seen *seen = call->state;

	trace_add("%c> ", label_of(call));
	assert_memory_equal(seen, &fresh, sizeof(fresh));
	seen->label = label_of(call);
	assert_null(call->response);
	assert_view(call->target->path, "/");
	return obey(call, call->config->u.headers.request.set[0].value);
}

static enum filter_verdict on_response(struct filter_call *call)
{
	trace_add("<%c ", label_of(call));
	assert_int_equal(((struct seen *)call->state)->label, label_of(call));
	assert_non_null(call->response);
	if (call->config->u.headers.response.set_count == 0)
		return FILTER_CONTINUE;
	return obey(call, call->config->u.headers.response.set[0].value);
}

static void on_finish(struct filter_call *call)
{
	trace_add("%c! ", label_of(call));
	assert_int_equal(((struct seen *)call->state)->label, label_of(call));
	memset(call->state, 0xff, sizeof(struct seen));
}

static const struct filter_ops obedient = {.name = "obedient",
	.state_bytes = sizeof(struct seen),
	.on_request = on_request,
	.on_response = on_response,
	.on_finish = on_finish};
static const struct filter_ops *const table[] = {[CONFIG_FILTER_HEADERS] = &obedient};

#define DOES(label, verb) "{headers: {request: {set: {" label ": " verb "}}}}"
#define DOES_BOTH(label, verb, response) \
	"{headers: {request: {set: {" label ": " verb "}}, response: {set: {" label ": " response "}}}}"
#define TO_UPSTREAM(filters) LISTENERS UPSTREAMS "routes: [{name: r, upstream: u, filters: [" filters "]}]\n"
#define TO_ITSELF(filters) LISTENERS "routes: [{name: r, respond: {body: own}, filters: [" filters "]}]\n"

static void scene_open(struct gateway *g, const char *yaml)
{
	trace[0] = '\0';
	memset(ref_count, 0, sizeof(ref_count));
	gateway_open(g, yaml, table);
}

static void await_pause(struct gateway *g, char label, size_t count)
{
	while (ref_count[label - 'a'] < count)
		io_run(fixture.io);
	step(g);
}

static bool resume(struct gateway *g, char label, size_t i)
{
	bool resumed = exchange_resume(refs[label - 'a'][i], FILTER_CONTINUE, CAUSE_NONE, NULL);

	step(g);
	return resumed;
}

static uint64_t stale(const struct gateway *g)
{
	return worker_stats(g->worker)->exchange_stale_resume;
}

/* --- order ------------------------------------------------------------------------------------------------------- */

static void test_order(void **state)
{
	struct end client, origin;
	struct gateway g;

	scene_open(&g, TO_UPSTREAM(DOES("a", "go") "," DOES("b", "go") "," DOES("c", "go")));
	client_open(&client, &g, GET);
	origin_take(&origin, &g);
	assert_string_equal(trace, "a> b> c> ");
	end_send(&origin, OK);
	end_await(&client, "ok");
	assert_string_equal(trace, "a> b> c> <c <b <a a! b! c! ");
	assert_int_equal(g.cause, CAUSE_NONE);
	/* And once more on the same connections: nothing is left of the first. */
	end_send(&client, GET);
	end_forget(&origin);
	end_await(&origin, "\r\n\r\n");
	assert_string_equal(trace, "a> b> c> <c <b <a a! b! c! a> b> c> ");
	end_close(&client);
	end_close(&origin);
	gateway_close(&g);
}

static void test_own_answers_are_walked_too(void **state)
{
	struct end client;
	struct gateway g;

	scene_open(&g, TO_ITSELF(DOES("a", "go") "," DOES("b", "go")));
	client_open(&client, &g, GET);
	end_await(&client, "own");
	assert_string_equal(trace, "a> b> <b <a a! b! ");
	end_close(&client);
	gateway_close(&g);
}

/* --- pausing ----------------------------------------------------------------------------------------------------- */

static void test_pause_and_resume(void **state)
{
	struct end client, origin;
	struct gateway g;

	scene_open(&g, TO_UPSTREAM(DOES("a", "go") "," DOES("b", "pause") "," DOES("c", "go")));
	client_open(&client, &g, GET);
	await_pause(&g, 'b', 1);
	run_pending();
	assert_string_equal(trace, "a> b> ");
	assert_true(resume(&g, 'b', 0));
	assert_string_equal(trace, "a> b> c> ");
	origin_take(&origin, &g);
	end_send(&origin, OK);
	end_await(&client, "ok");
	assert_string_equal(trace, "a> b> c> <c <b <a a! b! c! ");
	assert_int_equal(stale(&g), 0);
	end_close(&client);
	end_close(&origin);
	gateway_close(&g);
}

static void test_two_pauses(void **state)
{
	struct end client;
	struct gateway g;

	scene_open(&g, TO_ITSELF(DOES("a", "pause") "," DOES("b", "pause")));
	client_open(&client, &g, GET);
	await_pause(&g, 'a', 1);
	assert_true(resume(&g, 'a', 0));
	assert_int_equal(ref_count[1], 1);
	/* The first has had its turn: a second call is late, though the exchange pauses again, in the same place. */
	assert_false(resume(&g, 'a', 0));
	assert_int_equal(stale(&g), 1);
	assert_string_equal(trace, "a> b> ");
	assert_true(resume(&g, 'b', 0));
	end_await(&client, "own");
	assert_false(resume(&g, 'b', 0));
	assert_int_equal(stale(&g), 2);
	assert_string_equal(trace, "a> b> <b <a a! b! ");
	end_close(&client);
	gateway_close(&g);
}

static void test_resume_with_an_answer(void **state)
{
	struct end client;
	struct gateway g;

	scene_open(&g, TO_ITSELF(DOES("a", "pause") "," DOES("b", "go")));
	client_open(&client, &g, GET);
	await_pause(&g, 'a', 1);
	assert_true(exchange_resume(refs[0][0], FILTER_ANSWER, CAUSE_RATE_LIMITED, "the test says later"));
	end_await(&client, "the test says later");
	assert_true(end_has(&client, "HTTP/1.1 429 "));
	assert_string_equal(trace, "a> a! ");
	assert_int_equal(g.cause, CAUSE_RATE_LIMITED);
	end_close(&client);
	gateway_close(&g);
}

/* The client leaves while a filter waits: the late answer finds nobody, and is counted. */
static void test_late_resume(void **state)
{
	struct end client;
	struct gateway g;

	scene_open(&g, TO_UPSTREAM(DOES("a", "go") "," DOES("b", "pause")));
	client_open(&client, &g, GET);
	await_pause(&g, 'b', 1);
	end_abort(&client);
	gateway_await_finished(&g, 1);
	assert_int_equal(g.cause, CAUSE_CLIENT_GONE);
	assert_string_equal(trace, "a> b> a! b! ");
	assert_false(resume(&g, 'b', 0));
	assert_int_equal(stale(&g), 1);
	assert_string_equal(trace, "a> b> a! b! ");
	gateway_close(&g);
}

/* Another exchange has taken the place of the one that left: the late answer is not taken for its own. */
static void test_late_resume_into_a_taken_place(void **state)
{
	struct end first, second;
	struct gateway g;

	scene_open(&g, TO_ITSELF(DOES("a", "pause")));
	client_open(&first, &g, GET);
	await_pause(&g, 'a', 1);
	end_abort(&first);
	gateway_await_finished(&g, 1);
	client_open(&second, &g, GET);
	await_pause(&g, 'a', 2);
	assert_int_equal(refs[0][0].slot, refs[0][1].slot);
	assert_false(resume(&g, 'a', 0));
	run_pending();
	assert_int_equal(g.finished, 1);
	assert_true(resume(&g, 'a', 1));
	end_await(&second, "own");
	end_close(&second);
	gateway_close(&g);
}

/* More than one table of places holds; resumed in another order than they came. */
static void test_many_pauses(void **state)
{
	enum { CLIENTS = 60 };
	static struct end clients[CLIENTS];
	struct gateway g;

	scene_open(&g, TO_ITSELF(DOES("a", "pause")));
	for (size_t i = 0; i < CLIENTS; i++) {
		trace[0] = '\0';
		client_open(&clients[i], &g, GET);
		await_pause(&g, 'a', i + 1);
	}
	for (size_t i = CLIENTS; i-- > 0;) {
		trace[0] = '\0';
		assert_true(resume(&g, 'a', i));
		end_await(&clients[i], "own");
		assert_int_equal(g.finished, CLIENTS - i);
	}
	assert_int_equal(stale(&g), 0);
	for (size_t i = 0; i < CLIENTS; i++)
		end_close(&clients[i]);
	gateway_close(&g);
}

static void test_refs_that_name_nothing(void **state)
{
	struct end client;
	struct gateway g;

	scene_open(&g, TO_ITSELF(DOES("a", "pause")));
	client_open(&client, &g, GET);
	await_pause(&g, 'a', 1);
	struct exchange_ref wrong = refs[0][0];
	wrong.slot = 0;
	assert_false(exchange_resume(wrong, FILTER_CONTINUE, CAUSE_NONE, NULL));
	wrong.slot = 1000000;
	assert_false(exchange_resume(wrong, FILTER_CONTINUE, CAUSE_NONE, NULL));
	wrong = refs[0][0];
	wrong.generation++;
	assert_false(exchange_resume(wrong, FILTER_CONTINUE, CAUSE_NONE, NULL));
	assert_int_equal(stale(&g), 3);
	assert_true(resume(&g, 'a', 0));
	end_await(&client, "own");
	end_close(&client);
	gateway_close(&g);
}

/* A paused exchange does not outlive its worker. */
static void test_stop_while_paused(void **state)
{
	struct end client;
	struct gateway g;

	scene_open(&g, TO_ITSELF(DOES("a", "pause")));
	client_open(&client, &g, GET);
	await_pause(&g, 'a', 1);
	worker_stop(g.worker);
	end_await(&client, "draining");
	assert_string_equal(trace, "a> a! ");
	assert_false(resume(&g, 'a', 0));
	end_close(&client);
	gateway_close(&g);
}

/* A pause takes of the time that the request has, and no more. */
static void test_deadline_while_paused(void **state)
{
	struct end client;
	struct gateway g;

	scene_open(&g, LISTENERS "upstreams: [{name: u, endpoints: [{address: \"127.0.0.1:1\"}], timeouts: {request: 20ms}}]\n"
		"routes: [{name: r, upstream: u, filters: [" DOES("a", "pause") "]}]\n");
	client_open(&client, &g, GET);
	await_pause(&g, 'a', 1);
	end_await(&client, "request_deadline");
	assert_string_equal(trace, "a> a! ");
	assert_false(resume(&g, 'a', 0));
	end_close(&client);
	gateway_close(&g);
}

/* --- answering --------------------------------------------------------------------------------------------------- */

static void test_answer_to_a_request(void **state)
{
	struct end client;
	struct gateway g;

	scene_open(&g, TO_UPSTREAM(DOES("a", "go") "," DOES("b", "answer") "," DOES("c", "go")));
	client_open(&client, &g, GET GET);
	end_await(&client, "the test says no");
	assert_true(end_has(&client, "HTTP/1.1 403 "));
	gateway_await_finished(&g, 2);
	/* The connection is kept, and the next request is asked about anew. */
	assert_string_equal(trace, "a> b> a! b! a> b> a! b! ");
	assert_int_equal(g.cause, CAUSE_FORBIDDEN);
	assert_int_equal(worker_stats(g.worker)->exchanges_by_cause[CAUSE_FORBIDDEN], 2);
	end_close(&client);
	gateway_close(&g);
}

static void test_answer_without_a_cause(void **state)
{
	struct end client;
	struct gateway g;

	scene_open(&g, TO_UPSTREAM(DOES("a", "fail")));
	client_open(&client, &g, GET);
	end_await(&client, "filter_failed");
	assert_true(end_has(&client, "HTTP/1.1 500 "));
	assert_int_equal(g.cause, CAUSE_FILTER_FAILED);
	end_close(&client);
	gateway_close(&g);
}

/* The response is not passed on, nor are its connection's bytes taken for another's. */
static void test_answer_to_a_response(void **state)
{
	struct end client, origin;
	struct gateway g;

	scene_open(&g, TO_UPSTREAM(DOES("a", "go") "," DOES_BOTH("b", "go", "answer") "," DOES("c", "go")));
	client_open(&client, &g, GET);
	origin_take(&origin, &g);
	end_send(&origin, OK);
	end_await(&client, "the test says no");
	assert_true(end_has(&client, "HTTP/1.1 403 "));
	assert_false(end_has(&client, "200 OK"));
	assert_string_equal(trace, "a> b> c> <c <b a! b! c! ");
	assert_int_equal(g.cause, CAUSE_FORBIDDEN);
	end_await_gone(&origin);
	end_close(&client);
	end_close(&origin);
	gateway_close(&g);
}

/* The same for an answer of the gateway's own. */
static void test_answer_to_an_own_answer(void **state)
{
	struct end client;
	struct gateway g;

	scene_open(&g, TO_ITSELF(DOES("a", "go") "," DOES_BOTH("b", "go", "answer")));
	client_open(&client, &g, GET);
	end_await(&client, "the test says no");
	assert_true(end_has(&client, "HTTP/1.1 403 "));
	assert_string_equal(trace, "a> b> <b a! b! ");
	assert_int_equal(g.cause, CAUSE_FORBIDDEN);
	assert_int_equal(worker_stats(g.worker)->exchanges_by_cause[CAUSE_FORBIDDEN], 1);
	end_close(&client);
	gateway_close(&g);
}

/* --- bugs of filters --------------------------------------------------------------------------------------------- */

static void resume_with_a_pause(void *with)
{
	exchange_resume(*(struct exchange_ref *)with, FILTER_PAUSE, CAUSE_NONE, NULL);
}

static void test_resume_with_a_pause(void **state)
{
	struct end client;
	struct gateway g;

	scene_open(&g, TO_ITSELF(DOES("a", "pause")));
	client_open(&client, &g, GET);
	await_pause(&g, 'a', 1);
	assert_check_fails(resume_with_a_pause, &refs[0][0], "verdict != FILTER_PAUSE");
	assert_true(resume(&g, 'a', 0));
	end_await(&client, "own");
	end_close(&client);
	gateway_close(&g);
}

static void serve(void *with)
{
	for (;;)
		io_run(with);
}

/* It would be resumed while it runs; the culprit is known where it happens. */
static void test_reference_without_a_pause(void **state)
{
	struct end client;
	struct gateway g;

	scene_open(&g, TO_ITSELF(DOES("a", "mislead")));
	client_open(&client, &g, GET);
	assert_check_fails(serve, fixture.io, "verdict == FILTER_PAUSE");
	end_close(&client);
	gateway_close(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOOP_TEST(test_order),
		LOOP_TEST(test_own_answers_are_walked_too),
		LOOP_TEST(test_pause_and_resume),
		LOOP_TEST(test_two_pauses),
		LOOP_TEST(test_resume_with_an_answer),
		LOOP_TEST(test_late_resume),
		LOOP_TEST(test_late_resume_into_a_taken_place),
		LOOP_TEST(test_many_pauses),
		LOOP_TEST(test_refs_that_name_nothing),
		LOOP_TEST(test_resume_with_a_pause),
		LOOP_TEST(test_reference_without_a_pause),
		LOOP_TEST(test_stop_while_paused),
		LOOP_TEST(test_deadline_while_paused),
		LOOP_TEST(test_answer_to_a_request),
		LOOP_TEST(test_answer_without_a_cause),
		LOOP_TEST(test_answer_to_a_response),
		LOOP_TEST(test_answer_to_an_own_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
