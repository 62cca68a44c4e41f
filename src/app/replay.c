/*
 * See replay.h. A record holds the canonical target, and the host as it was routed on: so the routers are asked as they were then. Where
 * a request goes is what is done with it, the upstream, and the target and host as they are rewritten; what the route is called is not.
 */
#include "app/replay.h"

#include <stdlib.h>
#include <string.h>

#include "gateway/router.h"

#define SHOW(v) (int)(v).n, (v).p

enum { LINE_BYTES_MAX = 1 << 20, LABEL_BYTES = 160, BODY_SHOWN = 32 };

/* Behind the routes' labels. */
enum { NO_ROUTE, WRONG_METHOD, BESIDE_ROUTES };

/* It goes to a terminal, and anybody may have written the file. */
static void printable(char *text)
{
	for (; *text != '\0'; text++)
		if (*text < ' ' || *text > '~')
			*text = '?';
}

/* --- what routes are called ---------------------------------------------------------------------------------------------- */

/* What an answer says, as far as there is room and it can be printed. */
static const char *beginning(const struct config_respond *respond, char text[BODY_SHOWN + 6])
{
	struct view body = respond->body;
	size_t n = body.n < BODY_SHOWN ? body.n : BODY_SHOWN;

	if (body.n == 0)
		return "no body";
	snprintf(text, BODY_SHOWN + 6, "\"%.*s\"%s", (int)n, body.p, n < body.n ? "..." : "");
	printable(text);
	return text;
}

static char *label_of(const struct config_route *route)
{
	char text[LABEL_BYTES], name[64], body[BODY_SHOWN + 6];

	if (route->name.n > 0)
		snprintf(name, sizeof(name), "%.*s", (int)route->name.n, route->name.p);
	else
		snprintf(name, sizeof(name), "routes[%u]", route->index);
	switch (route->action) {
	case ACTION_UPSTREAM:
		snprintf(text, sizeof(text), "%s (upstream %.*s%s%.*s%s%s%.*s)", name, SHOW(route->upstream->name),
			route->rewrite.path_set ? ", path " : "", SHOW(route->rewrite.path), route->rewrite.path_keeps_rest ? "/*" : "",
			route->rewrite.host.n > 0 ? ", host " : "", SHOW(route->rewrite.host));
		break;
	case ACTION_RESPOND:
		snprintf(text, sizeof(text), "%s (responds %u, %s)", name, route->respond.status,
			beginning(&route->respond, body));
		break;
	case ACTION_REDIRECT:
		snprintf(text, sizeof(text), "%s (redirects with %u to %.*s%s)", name, route->redirect.status,
			SHOW(route->redirect.location), route->redirect.location_keeps_rest ? "/*" : "");
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

/* --- where a request goes ------------------------------------------------------------------------------------------------ */

/* What is configured, with what the '*' of the match stands for behind it. */
struct joined {
	struct view base, rest;
};

static struct joined joined_of(struct view base, bool keeps_rest, const struct route_match *match)
{
	if (!keeps_rest)
		return (struct joined){base, VIEW("")};
	/* No rest behind no base is the root. */
	return (struct joined){base, base.n == 0 && match->rest.n == 0 ? VIEW("/") : match->rest};
}

static bool joined_eq(struct joined a, struct joined b)
{
	if (a.base.n > b.base.n)
		return joined_eq(b, a);
	struct view over = view_from(b.base, a.base.n);

	return a.base.n + a.rest.n == b.base.n + b.rest.n && view_eq(a.base, view_of(b.base.p, a.base.n)) &&
	       view_starts(a.rest, over) && view_eq(view_from(a.rest, over.n), b.rest);
}

static struct joined target_of(const struct route_match *match, struct view path)
{
	const struct config_rewrite *rewrite = &match->route->rewrite;

	if (!rewrite->path_set || view_eq(path, VIEW("*")))
		return (struct joined){path, VIEW("")};
	return joined_of(rewrite->path, rewrite->path_keeps_rest, match);
}

static struct joined location_of(const struct route_match *match)
{
	return joined_of(match->route->redirect.location, match->route->redirect.location_keeps_rest, match);
}

static bool same_answer(const struct config_respond *a, const struct config_respond *b)
{
	return a->status == b->status && view_eq(a->body, b->body) && view_eq(a->content_type, b->content_type);
}

static bool same_place(const struct route_match *a, const struct route_match *b, struct view path)
{
	if (a->route == NULL || b->route == NULL)
		return a->route == b->route && a->wrong_method == b->wrong_method;
	if (a->route->action != b->route->action)
		return false;
	switch (a->route->action) {
	case ACTION_UPSTREAM:
		return view_eq(a->route->upstream->name, b->route->upstream->name) &&
		       view_eq(a->route->rewrite.host, b->route->rewrite.host) && joined_eq(target_of(a, path), target_of(b, path));
	case ACTION_RESPOND: return same_answer(&a->route->respond, &b->route->respond);
	case ACTION_REDIRECT:
		return a->route->redirect.status == b->route->redirect.status &&
		       a->route->redirect.location_keeps_rest == b->route->redirect.location_keeps_rest &&
		       joined_eq(location_of(a), location_of(b));
	}
	return false;
}

/* What has no name is not known by it. */
static bool same_name(const struct route_match *a, const struct route_match *b)
{
	return a->route == NULL || b->route == NULL || view_eq(a->route->name, b->route->name);
}

/* --- counting ------------------------------------------------------------------------------------------------------------ */

static struct replay_pair *pair_of(struct replay *r, enum replay_outcome outcome, const char *from, const char *to)
{
	for (size_t i = 0; i < r->pair_count; i++)
		if (r->pairs[i].from == from && r->pairs[i].to == to && r->pairs[i].outcome == outcome)
			return &r->pairs[i];
	if (r->pair_count == REPLAY_PAIRS_MAX)
		return NULL;
	struct replay_pair *pair = &r->pairs[r->pair_count++];

	*pair = (struct replay_pair){.outcome = outcome, .from = from, .to = to};
	return pair;
}

static void example_keep(struct replay_pair *pair, const char *example)
{
	pair->count++;
	for (unsigned i = 0; i < pair->example_count; i++)
		if (strcmp(pair->examples[i], example) == 0)
			return;
	if (pair->example_count < REPLAY_EXAMPLES)
		snprintf(pair->examples[pair->example_count++], REPLAY_EXAMPLE_BYTES, "%s", example);
}

static void count(struct replay *r, enum replay_outcome outcome, const char *from, const char *to, const char *example)
{
	struct replay_pair *pair;

	r->requests++;
	r->counts[outcome]++;
	if (outcome == REPLAY_SAME)
		return;
	pair = pair_of(r, outcome, from, to);
	if (pair != NULL)
		example_keep(pair, example);
	else
		r->others++;
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

/* Whether it has what routing asks for; that may be null. */
static bool has_fields(const json_t *record)
{
	return json_object_get(record, "method") != NULL && json_object_get(record, "host") != NULL &&
	       json_object_get(record, "target") != NULL;
}

/* As it stands: it is routed by it. NULL: it is no text. */
static const char *as_said(const json_t *record, const char *key)
{
	return json_string_value(json_object_get(record, key));
}

static enum replay_outcome outcome_of(const struct route_match matches[2], struct view path)
{
	if (!same_place(&matches[0], &matches[1], path))
		return REPLAY_ELSEWHERE;
	return same_name(&matches[0], &matches[1]) ? REPLAY_SAME : REPLAY_RENAMED;
}

/* False: there is nothing to be routed. */
static bool replay_record(struct replay *r, const struct sides *sides, const json_t *record)
{
	const char *method = as_said(record, "method"), *host = as_said(record, "host"), *target = as_said(record, "target");
	const char *cause = as_said(record, "cause"), *labels[2];
	struct route_match matches[2];
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
		matches[i] = router_find(sides->router[i], &query);
		labels[i] = label_at(r, i, sides->config[i], &matches[i]);
	}
	/* Without the query: it may hold anything. */
	snprintf(example, sizeof(example), "%s %s%.*s", method, host != NULL ? host : "", (int)query.path.n, query.path.p);
	printable(example);
	count(r, outcome_of(matches, query.path), labels[0], labels[1], example);
	return true;
}

static void replay_line(struct replay *r, const struct sides *sides, const char *line, size_t n)
{
	json_error_t error;
	json_t *record = json_loadb(line, n, 0, &error);

	if (json_is_object(record) && !has_fields(record))
		r->lacking++;
	if (!json_is_object(record) || !has_fields(record) || !replay_record(r, sides, record))
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
