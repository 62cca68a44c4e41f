/* See replay.h. A record holds the canonical target, and the host as it was routed on: so the routers are asked as they were then. */
#include "app/replay.h"

#include <stdlib.h>
#include <string.h>

#include "gateway/router.h"

enum { LINE_BYTES_MAX = 1 << 20, LABEL_BYTES = 160 };

/* Behind the routes' labels. */
enum { NO_ROUTE, WRONG_METHOD, BESIDE_ROUTES };

/* --- what routes are called ---------------------------------------------------------------------------------------------- */

static char *label_of(const struct config_route *route)
{
	char text[LABEL_BYTES], name[64];

	if (route->name.n > 0)
		snprintf(name, sizeof(name), "%.*s", (int)route->name.n, route->name.p);
	else
		snprintf(name, sizeof(name), "routes[%u]", route->index);
	switch (route->action) {
	case ACTION_UPSTREAM:
		snprintf(text, sizeof(text), "%s (upstream %.*s)", name, (int)route->upstream->name.n, route->upstream->name.p);
		break;
	case ACTION_RESPOND: snprintf(text, sizeof(text), "%s (responds %u)", name, route->respond.status); break;
	case ACTION_REDIRECT:
		snprintf(text, sizeof(text), "%s (redirects to %.*s)", name, (int)route->redirect.location.n,
			route->redirect.location.p);
		break;
	}
	return strdup(text);
}

static bool labels_make(struct replay *r, int side, const struct config *config)
{
	static const char *const beside[BESIDE_ROUTES] = {
		[NO_ROUTE] = "no route (404)", [WRONG_METHOD] = "no method of any route (405)"};

	r->labels[side] = calloc(config->route_count + BESIDE_ROUTES, sizeof(char *));
	if (r->labels[side] == NULL)
		return false;
	r->label_count[side] = config->route_count + BESIDE_ROUTES;
	for (size_t i = 0; i < r->label_count[side]; i++) {
		r->labels[side][i] = i < config->route_count ? label_of(&config->routes[i])
		                                             : strdup(beside[i - config->route_count]);
		if (r->labels[side][i] == NULL)
			return false;
	}
	return true;
}

static const char *label_at(const struct replay *r, int side, const struct config *config, const struct route_match *match)
{
	size_t at = match->route != NULL ? match->route->index : config->route_count + (match->wrong_method ? WRONG_METHOD : NO_ROUTE);

	return r->labels[side][at];
}

/* --- counting ------------------------------------------------------------------------------------------------------------ */

static struct replay_pair *pair_of(struct replay *r, const char *from, const char *to)
{
	for (size_t i = 0; i < r->pair_count; i++)
		if (r->pairs[i].from == from && r->pairs[i].to == to)
			return &r->pairs[i];
	if (r->pair_count == REPLAY_PAIRS_MAX)
		return NULL;
	struct replay_pair *pair = &r->pairs[r->pair_count++];

	*pair = (struct replay_pair){.from = from, .to = to};
	return pair;
}

static void count(struct replay *r, const char *from, const char *to, const char *example)
{
	struct replay_pair *pair;

	r->requests++;
	if (strcmp(from, to) == 0) {
		r->same++;
		return;
	}
	r->elsewhere++;
	pair = pair_of(r, from, to);
	if (pair == NULL) {
		r->others++;
		return;
	}
	pair->count++;
	for (unsigned i = 0; i < pair->example_count; i++)
		if (strcmp(pair->examples[i], example) == 0)
			return;
	if (pair->example_count < REPLAY_EXAMPLES)
		snprintf(pair->examples[pair->example_count++], REPLAY_EXAMPLE_BYTES, "%s", example);
}

static int most_first(const void *a, const void *b)
{
	const struct replay_pair *x = a, *y = b;

	return x->count < y->count ? 1 : x->count > y->count ? -1 : 0;
}

/* --- reading ------------------------------------------------------------------------------------------------------------- */

struct sides {
	const struct config *config[2];
	struct router *router[2];
};

static const char *text_at(const json_t *record, const char *key)
{
	return json_string_value(json_object_get(record, key));
}

/* False: there is nothing to be routed. */
static bool replay_record(struct replay *r, const struct sides *sides, const json_t *record)
{
	const char *method = text_at(record, "method"), *host = text_at(record, "host"), *target = text_at(record, "target");
	const char *cause = text_at(record, "cause"), *labels[2];
	char example[REPLAY_EXAMPLE_BYTES];

	if (method == NULL || target == NULL || (*target != '/' && strcmp(target, "*") != 0) ||
		(cause != NULL && strcmp(cause, "bad_request") == 0))
		return false;
	const struct route_query query = {
		.host = view_str(host != NULL ? host : ""),
		.path = view_of(target, strcspn(target, "?")),
		.method = method_of(view_str(method)),
		.method_name = view_str(method),
	};

	for (int i = 0; i < 2; i++) {
		const struct route_match match = router_find(sides->router[i], &query);

		labels[i] = label_at(r, i, sides->config[i], &match);
	}
	/* Without the query: it may hold anything. */
	snprintf(example, sizeof(example), "%s %s%.*s", method, host != NULL ? host : "", (int)query.path.n, query.path.p);
	/* It goes to a terminal, and anybody may have written the file. */
	for (char *p = example; *p != '\0'; p++)
		if (*p < ' ' || *p > '~')
			*p = '?';
	count(r, labels[0], labels[1], example);
	return true;
}

static void replay_line(struct replay *r, const struct sides *sides, const char *line, size_t n)
{
	json_error_t error;
	json_t *record = json_loadb(line, n, 0, &error);

	if (record == NULL || !replay_record(r, sides, record))
		r->unread++;
	json_decref(record);
}

/* One line without its newline; what is beyond LINE_BYTES_MAX of it is only counted. False: there is none any more. */
static bool line_read(FILE *log, char *line, size_t *n)
{
	int c;

	for (*n = 0; (c = getc_unlocked(log)) != EOF && c != '\n'; ++*n)
		if (*n < LINE_BYTES_MAX)
			line[*n] = (char)c;
	return c != EOF || *n > 0;
}

static void replay_lines(struct replay *r, const struct sides *sides, FILE *log, char *line)
{
	size_t n;

	while (line_read(log, line, &n))
		if (n > LINE_BYTES_MAX)
			r->unread++;
		else if (n > 0)
			replay_line(r, sides, line, n);
}

bool replay_run(struct replay *r, const struct config *before, const struct config *after, FILE *log)
{
	struct sides sides = {{before, after}, {router_create(before), router_create(after)}};
	char *line = malloc(LINE_BYTES_MAX);

	*r = (struct replay){.pairs = calloc(REPLAY_PAIRS_MAX, sizeof(*r->pairs))};
	bool fine = line != NULL && r->pairs != NULL && sides.router[0] != NULL && sides.router[1] != NULL &&
	            labels_make(r, 0, before) && labels_make(r, 1, after);

	if (fine)
		replay_lines(r, &sides, log, line);
	if (fine)
		qsort(r->pairs, r->pair_count, sizeof(*r->pairs), most_first);
	for (int i = 0; i < 2; i++)
		router_free(sides.router[i]);
	free(line);
	return fine;
}

void replay_release(struct replay *r)
{
	for (int side = 0; side < 2; side++) {
		for (size_t i = 0; i < r->label_count[side]; i++)
			free(r->labels[side][i]);
		free(r->labels[side]);
	}
	free(r->pairs);
	*r = (struct replay){0};
}
