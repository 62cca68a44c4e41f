/*
 * Routing: the rules one by one, and then thousands of random questions to random routes, answered a second time by the
 * simplest router that follows router.h: look at every route and keep the best.
 */
#include "load.h"

#include <stdlib.h>

#include "base/units.h"
#include "gateway/router.h"

static struct route_query query_of(const char *method, const char *host, const char *path)
{
	return (struct route_query){.host = view_str(host),
		.path = view_str(path),
		.method = method_of(view_str(method)),
		.method_name = view_str(method)};
}

/* --- the rules, one by one --------------------------------------------------------------------------------------- */

struct question {
	const char *method, *host, *path;
	const char *route; /* NULL: none */
	const char *rest; /* when there is a route */
	const char *allow; /* when there is none but for the method: what Allow says; NULL: none at all */
};

static void on_method(void *context, struct view method)
{
	char *text = context;

	sprintf(text + strlen(text), "%s%.*s", text[0] != '\0' ? ", " : "", (int)method.n, method.p);
}

static void ask(const struct router *router, const struct question *q)
{
	struct route_query query = query_of(q->method, q->host, q->path);
	struct route_match match = router_find(router, &query);
	const char *name = q->route == NULL ? "none" : q->route;
	struct view found = match.route == NULL ? VIEW("none") : match.route->name;

	if (!view_eq(found, view_str(name)))
		fail_msg("%s http://%s%s goes to %.*s and should to %s", q->method, q->host, q->path, (int)found.n,
			found.p, name);
	if (q->route == NULL) {
		char allow[256] = "";

		router_methods(router, &query, on_method, allow);
		assert_int_equal(match.wrong_method, q->allow != NULL);
		assert_string_equal(allow, q->allow != NULL ? q->allow : "");
		return;
	}
	assert_false(match.wrong_method);
	if (!view_eq(match.rest, view_str(q->rest)))
		fail_msg("%s http://%s%s: the rest is \"%.*s\" and should be \"%s\"", q->method, q->host, q->path,
			(int)match.rest.n, match.rest.p, q->rest);
}

static void ask_all(const char *routes, const struct question *questions, size_t count)
{
	char yaml[8192];

	snprintf(yaml, sizeof(yaml), LISTENERS UPSTREAMS "routes:\n%s", routes);
	const struct config *config = load_good(yaml);
	struct router *router = router_create(config);

	assert_non_null(router);
	for (size_t i = 0; i < count; i++)
		ask(router, &questions[i]);
	router_free(router);
	config_free(config);
}

static void test_hosts(void **state)
{
	static const struct question questions[] = {
		{"GET", "a.example", "/", "exact", "/", NULL},
		{"GET", "b.example", "/", "suffix", "/", NULL},
		{"GET", "x.b.example", "/", "longer", "/", NULL},
		{"GET", "y.x.b.example", "/", "longer", "/", NULL},
		/* A suffix stands for at least one label. */
		{"GET", "example", "/", "any", "/", NULL},
		{"GET", ".example", "/", "any", "/", NULL},
		{"GET", "bexample", "/", "any", "/", NULL},
		{"GET", "a.example.org", "/", "any", "/", NULL},
		{"GET", "", "/", "any", "/", NULL},
		{"GET", "a.example.", "/", "any", "/", NULL},
		{"GET", "[::1]", "/", "v6", "/", NULL},
	};

	ask_all("- {name: any, upstream: u}\n"
		"- {name: suffix, match: {host: '*.example'}, upstream: u}\n"
		"- {name: longer, match: {host: '*.b.example'}, upstream: u}\n"
		"- {name: exact, match: {host: a.example}, upstream: u}\n"
		"- {name: v6, match: {host: '[::1]'}, upstream: u}\n",
		questions, COUNT(questions));
}

static void test_paths(void **state)
{
	static const struct question questions[] = {
		{"GET", "h", "/a/b", "exact", "", NULL},
		{"GET", "h", "/a/b/", "long", "/", NULL},
		{"GET", "h", "/a/b/c", "long", "/c", NULL},
		{"GET", "h", "/a/b/c/d", "long", "/c/d", NULL},
		{"GET", "h", "/a", "short", "", NULL},
		{"GET", "h", "/a/", "short", "/", NULL},
		{"GET", "h", "/a/bc", "short", "/bc", NULL},
		/* Segments, not letters. */
		{"GET", "h", "/ab", "any", "/ab", NULL},
		{"GET", "h", "/", "any", "/", NULL},
		{"OPTIONS", "h", "*", "any", "*", NULL},
		{"GET", "h", "/A", "any", "/A", NULL},
		{"GET", "h", "/slash/", "slash", "", NULL},
		{"GET", "h", "/slash", "any", "/slash", NULL},
	};

	ask_all("- {name: any, match: {path: '/*'}, upstream: u}\n"
		"- {name: short, match: {path: '/a/*'}, upstream: u}\n"
		"- {name: long, match: {path: '/a/b/*'}, upstream: u}\n"
		"- {name: exact, match: {path: '/a/b'}, upstream: u}\n"
		"- {name: slash, match: {path: '/slash/'}, upstream: u}\n",
		questions, COUNT(questions));
}

/* What takes everything is found without looking, but only where nothing else stands beside it that could be more specific. */
static void test_one_for_all(void **state)
{
	static const struct question questions[] = {
		{"GET", "h", "/a/b", "all", "/a/b", NULL},
		{"PURGE", "", "/", "all", "/", NULL},
		{"OPTIONS", "h", "*", "all", "*", NULL},
	};
	static const struct question of_two[] = {
		{"GET", "h", "/a", "get", "/a", NULL},
		{"POST", "h", "/a", "all", "/a", NULL},
	};

	ask_all("- {name: all, upstream: u}\n", questions, COUNT(questions));
	ask_all("- {name: all, upstream: u}\n- {name: get, match: {methods: [GET]}, upstream: u}\n", of_two, COUNT(of_two));
}

/* The host decides before the path does. */
static void test_host_before_path(void **state)
{
	static const struct question questions[] = {
		{"GET", "a.example", "/x", "host", "/x", NULL},
		{"GET", "b.example", "/x", "suffix", "/x", NULL},
		{"GET", "other", "/x", "path", "", NULL},
		{"GET", "other", "/y", NULL, NULL, NULL},
	};

	ask_all("- {name: path, match: {path: '/x'}, upstream: u}\n"
		"- {name: suffix, match: {host: '*.example'}, upstream: u}\n"
		"- {name: host, match: {host: a.example}, upstream: u}\n",
		questions, COUNT(questions));
}

static void test_methods(void **state)
{
	static const struct question questions[] = {
		{"GET", "h", "/a", "get", "", NULL},
		{"POST", "h", "/a", "all", "", NULL},
		{"PURGE", "h", "/a", "purge", "", NULL},
		{"purge", "h", "/a", "all", "", NULL},
		{"GET", "h", "/b", "b-get", "", NULL},
		{"PUT", "h", "/b", "b-put", "", NULL},
		{"DELETE", "h", "/b", NULL, NULL, "GET, HEAD, PUT"},
		{"PURGE", "h", "/b", NULL, NULL, "GET, HEAD, PUT"},
		{"GET", "h", "/c", NULL, NULL, NULL},
		/* A method that is wrong for the better route falls to the next. */
		{"PUT", "h", "/d/e", "d-all", "/e", NULL},
		{"GET", "h", "/d/e", "d-exact", "", NULL},
		{"PURGE", "h", "/e", "e", "", NULL},
		{"GET", "h", "/e", NULL, NULL, "PURGE"},
		{"HEAD", "h", "/f", NULL, NULL, "PURGE, LIST, GREET, PUT"},
	};

	ask_all("- {name: all, match: {path: '/a'}, upstream: u}\n"
		"- {name: get, match: {path: '/a', methods: [GET]}, upstream: u}\n"
		"- {name: purge, match: {path: '/a', methods: [PURGE]}, upstream: u}\n"
		"- {name: b-get, match: {path: '/b', methods: [GET, HEAD]}, upstream: u}\n"
		"- {name: b-put, match: {path: '/b', methods: [PUT, GET]}, upstream: u}\n"
		"- {name: d-all, match: {path: '/d/*'}, upstream: u}\n"
		"- {name: d-exact, match: {path: '/d/e', methods: [GET]}, upstream: u}\n"
		"- {name: e, match: {path: '/e', methods: [PURGE]}, upstream: u}\n"
		"- {name: f-one, match: {path: '/f', methods: [PURGE, LIST]}, upstream: u}\n"
		"- {name: f-two, match: {path: '/f', methods: [PUT, GREET, PURGE]}, upstream: u}\n",
		questions, COUNT(questions));
}

/* Methods of every route that would match, over all hosts: that is what Allow says. */
static void test_allow_over_all_hosts(void **state)
{
	static const struct question questions[] = {
		{"PATCH", "a.example", "/x", NULL, NULL, "GET, POST, PUT, DELETE"},
		{"PATCH", "a.example", "/y", NULL, NULL, "POST, DELETE"},
	};

	ask_all("- {name: one, match: {host: a.example, path: '/x', methods: [GET]}, upstream: u}\n"
		"- {name: two, match: {host: '*.example', methods: [POST]}, upstream: u}\n"
		"- {name: three, match: {path: '/x', methods: [PUT]}, upstream: u}\n"
		"- {name: four, match: {methods: [DELETE]}, upstream: u}\n",
		questions, COUNT(questions));
}

/* As deep as a prefix may be, and a path that goes on from there. */
static void test_deep_prefix(void **state)
{
	char yaml[2048], path[4 * CONFIG_PATH_DEPTH_MAX + 16] = "";
	size_t n = 0;

	for (int i = 0; i < CONFIG_PATH_DEPTH_MAX; i++)
		n += (size_t)snprintf(path + n, sizeof(path) - n, "/s%d", i % 10);
	snprintf(yaml, sizeof(yaml),
		LISTENERS UPSTREAMS "routes:\n- {name: deep, match: {path: '%s/*'}, upstream: u}\n"
				    "- {name: top, match: {path: '/s0/*'}, upstream: u}\n",
		path);
	const struct config *config = load_good(yaml);
	struct router *router = router_create(config);

	ask(router, &(struct question){"GET", "h", path, "deep", "", NULL});
	snprintf(path + n, sizeof(path) - n, "/x");
	ask(router, &(struct question){"GET", "h", path, "deep", "/x", NULL});
	path[n] = '\0';
	path[n - 1] = 'x';
	ask(router, &(struct question){"GET", "h", path, "top", path + 3, NULL});

	/* Far deeper than any route: the cost and the answer do not depend on it. */
	char *endless = malloc(8192 + 1);
	assert_non_null(endless);
	for (size_t i = 0; i < 8192; i++)
		endless[i] = "/s0"[i % 3];
	endless[8192] = '\0';
	ask(router, &(struct question){"GET", "h", endless, "top", endless + 3, NULL});
	free(endless);
	router_free(router);
	config_free(config);
}

static void test_no_routes(void **state)
{
	struct config config = {0};
	struct router *router = router_create(&config);

	assert_non_null(router);
	ask(router, &(struct question){"GET", "h", "/", NULL, NULL, NULL});
	router_free(router);
	router_free(NULL);
}

/* --- against the simplest router --------------------------------------------------------------------------------- */

static uint64_t chance = 20240607;

static size_t random_below(size_t n)
{
	chance = chance * 6364136223846793005ULL + 1442695040888963407ULL;
	return (size_t)(chance >> 33) % n;
}

static bool plain_matches(const struct config_route *r, const struct route_query *q)
{
	bool host = r->host_match == HOST_ANY || (r->host_match == HOST_EXACT && view_eq(r->host, q->host)) ||
		    (r->host_match == HOST_SUFFIX && q->host.n > r->host.n &&
			    memcmp(q->host.p + q->host.n - r->host.n, r->host.p, r->host.n) == 0);
	bool path = r->path_match == PATH_ANY || (r->path_match == PATH_EXACT && view_eq(r->path, q->path)) ||
		    (r->path_match == PATH_PREFIX && q->path.n >= r->path.n &&
			    memcmp(q->path.p, r->path.p, r->path.n) == 0 &&
			    (q->path.n == r->path.n || q->path.p[r->path.n] == '/'));

	return host && path;
}

static bool plain_takes_method(const struct config_route *r, const struct route_query *q)
{
	bool other = false;

	for (size_t i = 0; i < r->other_method_count; i++)
		other |= view_eq(r->other_methods[i], q->method_name);
	return r->methods == 0 || other ||
	       (q->method != METHOD_OTHER && r->methods >> q->method & 1);
}

/* How specific, the most weighty criterion first. */
static uint64_t plain_rank(const struct config_route *r, size_t count)
{
	uint64_t rank = r->host_match == HOST_EXACT ? 2 : r->host_match == HOST_SUFFIX ? 1 : 0;

	rank = rank << 10 | (r->host_match == HOST_SUFFIX ? r->host.n : 0);
	rank = rank << 2 | (r->path_match == PATH_EXACT ? 2 : r->path_match == PATH_PREFIX ? 1 : 0);
	rank = rank << 10 | (r->path_match == PATH_PREFIX ? r->path.n : 0);
	rank = rank << 1 | (r->methods != 0);
	return rank << 16 | (count - r->index);
}

static struct route_match plain_find(const struct config *config, const struct route_query *q)
{
	struct route_match m = {0};

	for (size_t i = 0; i < config->route_count; i++) {
		const struct config_route *r = &config->routes[i];

		if (!plain_matches(r, q))
			continue;
		if (!plain_takes_method(r, q)) {
			m.wrong_method = true;
		} else if (m.route == NULL ||
			   plain_rank(r, config->route_count) > plain_rank(m.route, config->route_count)) {
			m.route = r;
		}
	}
	if (m.route != NULL)
		m.rest = m.route->path_match == PATH_EXACT ? VIEW("") : view_from(q->path, m.route->path.n);
	return m;
}

static const char *const labels[] = {"a", "b", "c", "aa", "example"};
static const char *const segments[] = {"/a", "/b", "/ab", "/", "/c"};
static struct view purge[] = {{"PURGE", 5}, {"LIST", 4}};

/* Few words, so that many routes and questions meet. */
static struct view random_words(const char *const words[5], size_t count_max, const char *between, char *text)
{
	size_t count = 1 + random_below(count_max), n = 0;

	for (size_t i = 0; i < count; i++)
		n += (size_t)sprintf(text + n, "%s%s", i > 0 ? between : "", words[random_below(5)]);
	return view_of(text, n);
}

static void random_route(struct config_route *r, size_t index, char *text)
{
	char *host = text, *path = text + 256;

	*r = (struct config_route){.index = (uint32_t)index, .name = VIEW("r")};
	r->host_match = (enum config_host_match)random_below(3);
	if (r->host_match == HOST_EXACT)
		r->host = random_words(labels, 4, ".", host);
	if (r->host_match == HOST_SUFFIX) {
		host[0] = '.';
		r->host = random_words(labels, 3, ".", host + 1);
		r->host = view_of(host, r->host.n + 1);
	}
	r->path_match = (enum config_path_match)random_below(3);
	if (r->path_match != PATH_ANY)
		r->path = random_words(segments, 5, "", path);
	if (random_below(2) == 0)
		r->methods = (uint32_t)(1 + random_below((1u << METHOD_COUNT) / 2 - 1)) << 1;
	if (random_below(4) == 0) {
		r->methods |= 1u << METHOD_OTHER;
		r->other_methods = purge;
		r->other_method_count = 1 + random_below(2);
	}
}

static struct route_query random_query(char *text)
{
	static const char *const methods[] = {"GET", "POST", "PURGE", "DELETE", "LIST", "HEAD", "FIND"};
	struct route_query q = query_of(methods[random_below(COUNT(methods))], "", "*");

	if (random_below(20) > 0)
		q.host = random_words(labels, 5, ".", text);
	if (random_below(50) > 0)
		q.path = random_words(segments, 7, "", text + 256);
	return q;
}

struct explained {
	const struct config *config;
	const struct route_query *query;
	const struct route_match *match;
	size_t count, chosen;
};

static void on_route(void *context, const struct config_route *route, bool chosen, const char *verdict)
{
	struct explained *e = context;
	bool matches = plain_matches(route, e->query), takes = plain_takes_method(route, e->query);

	assert_ptr_equal(route, &e->config->routes[e->count++]);
	assert_int_equal(chosen, route == e->match->route);
	e->chosen += chosen;
	assert_int_equal(strcmp(verdict, "chosen") == 0, chosen);
	if (!matches)
		assert_true(strstr(verdict, "host does not") != NULL || strstr(verdict, "path does not") != NULL);
	else if (!takes)
		assert_non_null(strstr(verdict, "method"));
	else if (!chosen)
		assert_non_null(strstr(verdict, "would match too"));
}

/* Each method that is told is one that the simplest router would let through; and each of those is told, once. */
static void compare_methods(const struct config *config, const struct router *router, const struct route_query *q)
{
	static const char *const all[] = {
		"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE", "PURGE", "LIST"};
	char told[256] = "";
	size_t allowed = 0, count = 0;

	router_methods(router, q, on_method, told);
	for (size_t i = 0; i < COUNT(all); i++) {
		struct route_query with = {.host = q->host,
			.path = q->path,
			.method_name = view_str(all[i]),
			.method = method_of(view_str(all[i]))};

		allowed += plain_find(config, &with).route != NULL;
		assert_int_equal(strstr(told, all[i]) != NULL, plain_find(config, &with).route != NULL);
	}
	for (const char *at = told; *at != '\0'; at++)
		count += *at == ',';
	assert_int_equal(allowed, told[0] == '\0' ? 0 : count + 1);
}

static void compare(const struct config *config, const struct router *router, const struct route_query *q, bool explain)
{
	struct route_match found = router_find(router, q), plain = plain_find(config, q);
	struct explained explained = {.config = config, .query = q, .match = &found};

	if (found.route != plain.route)
		fail_msg("%.*s http://%.*s%.*s: route %d, and %d by the simplest router", (int)q->method_name.n,
			q->method_name.p, (int)q->host.n, q->host.p, (int)q->path.n, q->path.p,
			found.route == NULL ? -1 : (int)found.route->index,
			plain.route == NULL ? -1 : (int)plain.route->index);
	if (found.route != NULL) {
		assert_false(found.wrong_method);
		assert_true(view_eq(found.rest, plain.rest));
	} else {
		assert_int_equal(found.wrong_method, plain.wrong_method);
		compare_methods(config, router, q);
	}
	if (!explain)
		return;
	router_explain(router, q, on_route, &explained);
	assert_int_equal(explained.count, config->route_count);
	assert_int_equal(explained.chosen, found.route != NULL);
}

static void random_round(size_t routes, size_t queries)
{
	struct config config = {.routes = calloc(routes, sizeof(*config.routes)), .route_count = routes};
	char *texts = malloc(routes * 512), text[512];

	assert_true(config.routes != NULL && texts != NULL);
	for (size_t i = 0; i < routes; i++)
		random_route(&config.routes[i], i, texts + 512 * i);
	struct router *router = router_create(&config);

	assert_non_null(router);
	for (size_t i = 0; i < queries; i++) {
		struct route_query q = random_query(text);

		compare(&config, router, &q, i % 16 == 0);
	}
	router_free(router);
	free(config.routes);
	free(texts);
}

static void test_random_few_routes(void **state)
{
	for (int i = 0; i < 300; i++)
		random_round(1 + random_below(20), 100);
}

static void test_random_many_routes(void **state)
{
	random_round(1000, 5000);
	random_round(100, 5000);
}

/* A thousand routes as a configuration has them: each is found, and nothing else. */
static void test_a_thousand_routes(void **state)
{
	enum { ROUTES = 1000 };
	char *yaml = malloc(ROUTES * 120), name[16], host[32], path[32];

	assert_non_null(yaml);
	size_t n = (size_t)sprintf(yaml, LISTENERS UPSTREAMS "routes:\n");
	for (int i = 0; i < ROUTES; i++)
		n += (size_t)sprintf(yaml + n,
			"- {name: r%d, match: {host: h%d.example, path: '/p%d/*'}, upstream: u}\n", i, i % 100, i);
	const struct config *config = load_good(yaml);
	struct router *router = router_create(config);

	assert_non_null(router);
	for (int i = 0; i < ROUTES; i++) {
		sprintf(name, "r%d", i);
		sprintf(host, "h%d.example", i % 100);
		sprintf(path, "/p%d/x", i);
		ask(router, &(struct question){"GET", host, path, name, "/x", NULL});
		sprintf(host, "h%d.example", (i + 1) % 100);
		ask(router, &(struct question){"GET", host, path, NULL, NULL, NULL});
	}
	router_free(router);
	config_free(config);
	free(yaml);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hosts),
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_one_for_all),
		cmocka_unit_test(test_host_before_path),
		cmocka_unit_test(test_methods),
		cmocka_unit_test(test_allow_over_all_hosts),
		cmocka_unit_test(test_deep_prefix),
		cmocka_unit_test(test_no_routes),
		cmocka_unit_test(test_random_few_routes),
		cmocka_unit_test(test_random_many_routes),
		cmocka_unit_test(test_a_thousand_routes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
