/*
 * The table of what the administration answers, and how a path finds its row. GET /v1 tells the table itself.
 */
#include "control/state.h"

/* A file of the live page: whoever may not ask for what it shows may see it empty. */
#define PAGE_FILE(path, summary) \
	{METHOD_GET, path, NULL, RESOURCE_OPEN, RESOURCE_ASKS_NOBODY, SNAPSHOT_NOTHING, answer_page, summary}

const struct resource resources[] = {
	PAGE_FILE("/", "the live page"),
	PAGE_FILE("/page.js", "what the live page does"),
	PAGE_FILE("/page.css", "how the live page looks"),
	PAGE_FILE("/icon.svg", "the live page's icon"),
	PAGE_FILE("/licences.txt", "of what the live page is made of"),
	{METHOD_GET, "/healthz", NULL, RESOURCE_OPEN, RESOURCE_ASKS_WORKERS, SNAPSHOT_NOTHING, answer_health,
		"200 while the loop of every worker answers within a second"},
	{METHOD_GET, "/readyz", NULL, RESOURCE_OPEN, RESOURCE_ASKS_NOBODY, SNAPSHOT_NOTHING, answer_ready,
		"200 until draining begins"},
	{METHOD_GET, "/metrics", NULL, RESOURCE_GUARDED, RESOURCE_ASKS_WORKERS, SNAPSHOT_COUNTERS, answer_metrics,
		"everything that is counted, in Prometheus' text format or in OpenMetrics"},
	{METHOD_GET, "/v1", NULL, RESOURCE_GUARDED, RESOURCE_ASKS_NOBODY, SNAPSHOT_NOTHING, answer_index,
		"what there is"},
	{METHOD_GET, "/v1/leaks", NULL, RESOURCE_GUARDED, RESOURCE_ASKS_WORKERS, SNAPSHOT_OLDEST, answer_leaks,
		"the connections that are leased longest, and the oldest requests"},
	{METHOD_GET, "/v1/live", "", RESOURCE_GUARDED, RESOURCE_ASKS_NOBODY, SNAPSHOT_NOTHING, answer_live,
		"what the live page is told: an event each second"},
	{METHOD_GET, "/v1/why", "window upstream", RESOURCE_GUARDED, RESOURCE_ASKS_NOBODY, SNAPSHOT_NOTHING, answer_why,
		"why the throughput is not higher: ranked verdicts with their arithmetic"},
	{METHOD_GET, "/v1/stuck", "", RESOURCE_GUARDED, RESOURCE_ASKS_WORKERS, SNAPSHOT_STUCK, answer_stuck,
		"requests without a deadline, or long beyond it: there is none unless something is wrong"},
	{METHOD_GET, "/v1/status", "", RESOURCE_GUARDED, RESOURCE_ASKS_WORKERS, SNAPSHOT_COUNTERS, answer_status,
		"the gateway in a few numbers"},
	{METHOD_GET, "/v1/config", "", RESOURCE_GUARDED, RESOURCE_ASKS_WORKERS, SNAPSHOT_NOTHING, answer_config,
		"the configuration in force, with its defaults and without its secrets"},
	{METHOD_GET, "/v1/routes", "", RESOURCE_GUARDED, RESOURCE_ASKS_WORKERS, SNAPSHOT_COUNTERS, answer_routes,
		"every route, and how many requests it has had"},
	{METHOD_GET, "/v1/pools", "", RESOURCE_GUARDED, RESOURCE_ASKS_WORKERS, SNAPSHOT_COUNTERS, answer_pools,
		"the connections of every endpoint, and who waits for one"},
	{METHOD_GET, "/v1/limits", "", RESOURCE_GUARDED, RESOURCE_ASKS_WORKERS, SNAPSHOT_COUNTERS, answer_limits,
		"rate limits of routes, and how many requests at once endpoints get"},
	{METHOD_GET, "/v1/breakers", "", RESOURCE_GUARDED, RESOURCE_ASKS_WORKERS, SNAPSHOT_COUNTERS, answer_breakers,
		"breakers of routes and endpoints"},
	{METHOD_GET, "/v1/explain", "method url client", RESOURCE_GUARDED, RESOURCE_ASKS_WORKERS, SNAPSHOT_NOTHING, answer_explain,
		"which route a request takes, and why not the others"},
	{METHOD_GET, "/v1/upstreams", "", RESOURCE_GUARDED, RESOURCE_ASKS_WORKERS, SNAPSHOT_COUNTERS, answer_upstreams,
		"every upstream with its endpoints"},
	{METHOD_GET, "/v1/upstreams/{upstream}", "", RESOURCE_GUARDED, RESOURCE_ASKS_WORKERS, SNAPSHOT_COUNTERS,
		answer_upstream, "one of them"},
	{METHOD_GET, "/v1/upstreams/{upstream}/endpoints/{address*}", "", RESOURCE_GUARDED, RESOURCE_ASKS_WORKERS,
		SNAPSHOT_COUNTERS, answer_endpoint, "one endpoint"},
	{METHOD_PATCH, "/v1/upstreams/{upstream}/endpoints/{address*}", "", RESOURCE_GUARDED, RESOURCE_ASKS_WORKERS,
		SNAPSHOT_COUNTERS, answer_set_endpoint, "take it out of service, drain it, or give it another weight"},
	{METHOD_GET, "/v1/log/level", "", RESOURCE_GUARDED, RESOURCE_ASKS_NOBODY, SNAPSHOT_NOTHING, answer_log_level,
		"how much the event log tells"},
	{METHOD_PUT, "/v1/log/level", "", RESOURCE_GUARDED, RESOURCE_ASKS_NOBODY, SNAPSHOT_NOTHING, answer_set_log_level,
		"have it tell more or less, until the next start, or a reload with another"},
	{METHOD_POST, "/v1/log/reopen", "", RESOURCE_GUARDED, RESOURCE_ASKS_NOBODY, SNAPSHOT_NOTHING, answer_reopen,
		"open the log files anew, after they were renamed"},
	{METHOD_GET, "/v1/reload", "", RESOURCE_GUARDED, RESOURCE_ASKS_NOBODY, SNAPSHOT_NOTHING, answer_reload_receipt,
		"the receipt of the last reload"},
	{METHOD_POST, "/v1/reload", "", RESOURCE_GUARDED, RESOURCE_ASKS_NOBODY, SNAPSHOT_NOTHING, answer_reload,
		"read the configuration again; answers when every worker has taken it, or when it was refused"},
	{METHOD_POST, "/v1/drain", "", RESOURCE_GUARDED, RESOURCE_ASKS_NOBODY, SNAPSHOT_NOTHING, answer_drain,
		"let the gateway finish what runs and end, as SIGTERM does"},
	{METHOD_POST, "/v1/upgrade", "", RESOURCE_GUARDED, RESOURCE_ASKS_NOBODY, SNAPSHOT_NOTHING, answer_upgrade,
		"hand over to a new process of the program that stands at this one's path by now"},
};

const size_t resource_count = sizeof(resources) / sizeof(resources[0]);

/* Takes what stands for the braces at `pattern` off the front of *path. Returns where the pattern goes on; NULL: nothing does. */
static const char *take_segment(const char *pattern, struct view *path, struct view *segment)
{
	const char *end = strchr(pattern, '}');
	const char *slash = end[-1] == '*' || path->n == 0 ? NULL : memchr(path->p, '/', path->n);

	*segment = view_of(path->p, slash != NULL ? (size_t)(slash - path->p) : path->n);
	*path = view_from(*path, segment->n);
	return segment->n > 0 ? end + 1 : NULL;
}

static bool pattern_matches(const char *pattern, struct view path, struct view *segments)
{
	unsigned count = 0;

	memset(segments, 0, RESOURCE_SEGMENTS_MAX * sizeof(*segments));
	while (pattern != NULL && *pattern != '\0') {
		if (*pattern == '{') {
			pattern = take_segment(pattern, &path, &segments[count++]);
		} else if (path.n > 0 && *path.p == *pattern) {
			path = view_from(path, 1);
			pattern++;
		} else {
			return false;
		}
	}
	return pattern != NULL && path.n == 0;
}

const struct resource *resource_find(enum method method, struct view path, struct view *segments, unsigned *methods)
{
	*methods = 0;
	method = method == METHOD_HEAD ? METHOD_GET : method;
	for (size_t i = 0; i < resource_count; i++) {
		if (!pattern_matches(resources[i].pattern, path, segments))
			continue;
		if (resources[i].method == method)
			return &resources[i];
		*methods |= 1u << resources[i].method;
	}
	return NULL;
}

static json_t *row_of(const struct resource *resource)
{
	struct view method = method_name(resource->method);

	return json_pack("{s:s%, s:s, s:s}", "method", method.p, method.n, "path", resource->pattern, "summary",
		resource->summary);
}

void answer_index(struct admin_conn *c)
{
	json_t *rows = json_array();

	for (size_t i = 0; i < resource_count && rows != NULL; i++)
		if (json_array_append_new(rows, row_of(&resources[i])) < 0) {
			json_decref(rows);
			rows = NULL;
		}
	admin_answer_json(c, 200, json_pack("{s:o}", "resources", rows));
}
