/*
 * See live.h. Whoever watches has the time of the newest sample that it was told of as the mark of its stream; a tick tells what has
 * come since.
 */
#include "control/live.h"

#include <stdlib.h>

#include "control/state.h"

#define WHY_SPAN_US (10 * US_PER_S)

struct live {
	struct control *control;
	uint64_t sample_us; /* the sample that `text` belongs to; 0: none */
	uint64_t reloads, reloads_before; /* that had ended when it was first looked at, and at the one before */
	char *text;         /* the frame of that sample alone; NULL: nobody has wanted it yet */
};

static uint64_t count_reloads(struct reloads *reloads)
{
	struct reload_counts counts = reloads_counts(reloads);
	uint64_t sum = 0;

	for (unsigned i = 0; i < RELOAD_OUTCOMES; i++)
		sum += counts.total[i];
	return sum;
}

/* JSON's null: there was no reload. NULL: out of memory. */
static json_t *receipt_of(struct reloads *reloads)
{
	char *text = reloads_receipt(reloads);
	json_t *receipt = text != NULL ? json_loads(text, 0, NULL) : NULL;

	free(text);
	return receipt == NULL && count_reloads(reloads) == 0 ? json_null() : receipt;
}

/* Owns `reload`. The text from malloc; NULL: out of memory. */
static char *frame_text(const struct live *live, unsigned past, json_t *reload)
{
	struct control *control = live->control;
	struct live_scene scene = {
		.window = &control->window,
		.version = control->options.version,
		.start_us = control->start_us,
		.draining = atomic_load(&control->draining),
		.why = why_json(&control->window, window_back(&control->window, WHY_SPAN_US), VIEW("")),
		.reload = reload,
	};
	json_t *frame = live_frame(&scene, past);
	char *text = frame != NULL ? json_dumps(frame, JSON_COMPACT | JSON_REAL_PRECISION(7)) : NULL;

	json_decref(frame);
	json_decref(scene.why);
	json_decref(scene.reload);
	return text;
}

/* With the receipt of the last reload. The text from malloc; NULL: out of memory. */
static char *frame_text_reload(const struct live *live, unsigned past)
{
	json_t *receipt = receipt_of(&live->control->reloads);

	return receipt != NULL ? frame_text(live, past, receipt) : NULL;
}

/* How many samples are newer than the mark; those of which nothing can be told, as there is none before them, left out. */
static unsigned count_since(const struct window *window, uint64_t mark_us)
{
	unsigned count = 0;

	while (count + 1 < window->count && window_sample(window, count)->at_us > mark_us)
		count++;
	return count;
}

static void say_frame(struct admin_conn *c, const char *text)
{
	admin_put(c, VIEW("event: live\ndata: "));
	admin_put(c, view_str(text));
	admin_put(c, VIEW("\n\n"));
}

/* A new sample is there: what was said of the one before is of no use any more. */
static void live_refresh(struct live *live, uint64_t sample_us)
{
	if (live->sample_us == sample_us)
		return;
	live->sample_us = sample_us;
	live->reloads_before = live->reloads;
	live->reloads = count_reloads(&live->control->reloads);
	free(live->text);
	live->text = NULL;
}

/* For everybody who was told of the sample before: so they know of every reload that had ended when that was looked at. */
static const char *frame_of_all(struct live *live)
{
	bool has_new = live->reloads != live->reloads_before;

	if (live->text == NULL)
		live->text = has_new ? frame_text_reload(live, 0) : frame_text(live, 0, NULL);
	return live->text;
}

static bool live_tick(struct admin_conn *c)
{
	struct live *live = c->control->live;
	const struct window *window = &c->control->window;
	uint64_t *mark = admin_stream_mark(c), newest_us;
	unsigned count = count_since(window, *mark);

	if (count == 0)
		return true;
	newest_us = window_sample(window, 0)->at_us;
	live_refresh(live, newest_us);

	bool knows_last = count == 1 && *mark != 0;
	char *own = knows_last ? NULL : frame_text_reload(live, count - 1);
	const char *text = knows_last ? frame_of_all(live) : own;

	/* What there was no memory for is told in a second, as of the past. */
	if (text != NULL) {
		say_frame(c, text);
		*mark = newest_us;
	}
	free(own);
	return true;
}

void answer_live(struct admin_conn *c)
{
	admin_stream(c, VIEW("Content-Type: text/event-stream\r\n"), live_tick);
}

struct live *live_create(struct control *control)
{
	struct live *live = calloc(1, sizeof(*live));

	if (live != NULL)
		live->control = control;
	return live;
}

void live_free(struct live *live)
{
	if (live == NULL)
		return;
	free(live->text);
	free(live);
}
