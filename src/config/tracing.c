/*
 * `tracing`: which requests are told of to a collector of traces, whom it is to be believed that they belong to one already, and
 * how the spans get there. The collector is an upstream like every other: addresses, TLS, timeouts and limits stand there.
 */
#include "base/units.h"
#include "config/read.h"

#define PATH_ALLOWED "a path such as /v1/traces, up to 500 visible ASCII characters and no '#'"
#define SERVICE_ALLOWED "a name of 1 to 500 bytes without control characters"
#define SAMPLE_PRESET_PPM 10000

/* --- what stands in one key ------------------------------------------------------------------------------------------ */

static void upstream_read(struct load *l, const struct node *node, void *out)
{
	((struct config *)out)->tracing.upstream = upstream_named(l, node);
}

static bool is_path(struct view text)
{
	if (text.n == 0 || text.n > CONFIG_TRACE_TEXT_MAX || text.p[0] != '/')
		return false;
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] <= ' ' || text.p[i] > '~' || text.p[i] == '#')
			return false;
	return true;
}

static void path_read(struct load *l, const struct node *node, void *out)
{
	struct view text = text_read(l, node, PATH_ALLOWED);
	struct quoted q;

	if (text.p == NULL)
		return;
	if (is_path(text))
		((struct config *)out)->tracing.path = load_copy(l, text);
	else
		complain(l, node, "found %s; allowed: " PATH_ALLOWED, quote(&q, text));
}

static void service_read(struct load *l, const struct node *node, void *out)
{
	struct view text = text_read(l, node, SERVICE_ALLOWED);
	bool good = text.n <= CONFIG_TRACE_TEXT_MAX;
	struct quoted q;

	if (text.p == NULL)
		return;
	for (size_t i = 0; i < text.n; i++)
		good &= (unsigned char)text.p[i] >= ' ' && text.p[i] != 0x7f;
	if (good)
		((struct config *)out)->tracing.service_name = load_copy(l, text);
	else
		complain(l, node, "found %s; allowed: " SERVICE_ALLOWED, quote(&q, text));
}

static void trace_sample_read(struct load *l, const struct node *node, void *out)
{
	sample_read(l, node, &((struct config *)out)->tracing.sample_ppm);
}

/* --- the fields of its requests ----------------------------------------------------------------------------------------- */

/* What the exporter says itself. */
static bool is_taken(struct view name)
{
	static const char *const taken[] = {"host", "content-length", "content-type", "content-encoding", "connection",
		"transfer-encoding", "te", "trailer", "upgrade", "keep-alive", "expect", "user-agent"};

	for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++)
		if (view_eq_nocase(name, view_str(taken[i])))
			return true;
	return false;
}

static void header_name_read(struct load *l, const struct node *node, void *out)
{
	static const char allowed[] = "the name of a header that the gateway does not write itself";
	struct view text = text_read(l, node, allowed);
	struct quoted q;

	if (text.p == NULL)
		return;
	if (token_is_valid(text) && text.n <= CONFIG_TRACE_TEXT_MAX && !is_taken(text))
		((struct config_trace_header *)out)->name = load_copy(l, text);
	else
		complain(l, node, "found %s; allowed: %s", quote(&q, text), allowed);
}

/* It may be a secret: complaints do not say it. */
static void header_value_read(struct load *l, const struct node *node, void *out)
{
	static const char allowed[] = "the value of a header, up to 8KiB";
	struct view text = text_read(l, node, allowed);

	if (text.p == NULL)
		return;
	if (field_value_is_valid(text) && text.n <= 8 * KIB)
		((struct config_trace_header *)out)->value = load_copy(l, text);
	else
		complain(l, node, "this is none; allowed: %s", allowed);
}

static const struct key header_keys[] = {
	{"name", KEY_OWN, .required = true, .read = header_name_read},
	{"value", KEY_OWN, .required = true, .read = header_value_read},
};

static const struct section header_section = {KEYS(header_keys)};

/* --- the section ------------------------------------------------------------------------------------------------------- */

#define EXPORT(field) FIELD(struct config, tracing.field)

static const struct key export_keys[] = {
	{"batch", KEY_NUMBER, EXPORT(batch), .min = 1, .max = 4096, .preset = 512},
	{"queue", KEY_NUMBER, EXPORT(queue_spans), .min = 1, .max = 1000000, .preset = 2048},
	{"queue_bytes", KEY_SIZE, EXPORT(queue_bytes), .min = 64 * KIB, .max = GIB, .preset = MIB},
	{"interval", KEY_DURATION, EXPORT(interval_us), .min = 10 * US_PER_MS, .max = 60 * US_PER_S, .preset = US_PER_S},
	{"timeout", KEY_DURATION, EXPORT(timeout_us), .min = 10 * US_PER_MS, .max = 300 * US_PER_S, .preset = 10 * US_PER_S},
};

static void export_check(struct load *l, const struct node *map, void *out)
{
	const struct config_tracing *t = &((struct config *)out)->tracing;
	const struct node *queue = node_find(map, VIEW("queue")), *batch = node_find(map, VIEW("batch"));

	if (t->queue_spans < t->batch && !complained_of(l, queue) && !complained_of(l, batch))
		complain(l, queue != NULL ? queue : batch, "a batch is %u spans, and %u may wait for it; raise queue, or lower batch",
			t->batch, t->queue_spans);
}

static const struct section export_section = {KEYS(export_keys), .check = export_check};

static const struct word parent_words[] = {{"follow", TRACE_PARENT_FOLLOW}, {"trusted", TRACE_PARENT_TRUSTED},
	{"ignore", TRACE_PARENT_IGNORE}, {0}};

static const struct key tracing_keys[] = {
	{"upstream", KEY_OWN, .required = true, .read = upstream_read, .hint = "the collector is one of `upstreams`"},
	{"path", KEY_OWN, .read = path_read},
	{"service_name", KEY_OWN, .read = service_read},
	{"sample", KEY_OWN, .read = trace_sample_read},
	{"on_error", KEY_CHOICE, FIELD(struct config, tracing.on_error), .words = truth_words, .preset = true},
	{"slow", KEY_DURATION, FIELD(struct config, tracing.slow_us), .min = US_PER_MS, .max = 24 * 3600 * US_PER_S, .preset = 0,
		.zero = "never"},
	{"parent", KEY_CHOICE, FIELD(struct config, tracing.parent), .words = parent_words, .preset = TRACE_PARENT_FOLLOW},
	{"headers", KEY_LIST, ITEMS(struct config, tracing.headers, tracing.header_count), .min = 1,
		.max = CONFIG_TRACE_HEADERS_MAX, .section = &header_section},
	{"export", KEY_SECTION, .section = &export_section},
};

static void tracing_check(struct load *l, const struct node *map, void *out)
{
	struct config_tracing *t = &((struct config *)out)->tracing;

	if (t->path.n == 0)
		t->path = VIEW("/v1/traces");
	if (t->service_name.n == 0)
		t->service_name = VIEW("weir");
	if (node_find(map, VIEW("sample")) == NULL)
		t->sample_ppm = SAMPLE_PRESET_PPM;
}

const struct section tracing_section = {KEYS(tracing_keys), .check = tracing_check};
