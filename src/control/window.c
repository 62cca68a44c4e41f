/*
 * See window.h. Beside the ring stands what is remembered for longer: at which latency each endpoint has answered with how many
 * requests at once. A level forgets what it knew as new answers come, and all of it when none have come for LEVEL_AGE_S.
 */
#include "control/window.h"

#include <stdlib.h>

#include "control/window_sample.h"
#include "gateway/generation.h"

#define LEVEL_ANSWERS 300      /* so many count of those before: then the mean follows the newer ones */
#define LEVEL_AGE_S 600

/* --- levels ------------------------------------------------------------------------------------------------------- */

static void level_learn(struct window_level *level, uint64_t answers, uint64_t at_once, uint64_t sum_us, uint32_t now_s)
{
	float before, whole;

	if (answers == 0) {
		if (now_s - level->heard_s > LEVEL_AGE_S)
			level->answers = 0;
		return;
	}
	before = level->answers < LEVEL_ANSWERS ? level->answers : LEVEL_ANSWERS;
	whole = before + (float)answers;
	level->in_flight = (before * level->in_flight + (float)at_once) / whole;
	level->latency_us = (before * level->latency_us + (float)sum_us) / whole;
	level->answers = whole;
	level->heard_s = now_s;
}

/* It was taken away and came back since: what it counts it counts from 0 again. */
static bool counts_anew(const struct load_curve *before, const struct load_curve *now)
{
	for (int i = 0; i < LOAD_LEVELS; i++) {
		const struct load_level *a = &before->levels[i], *b = &now->levels[i];

		if (b->answers < a->answers || b->at_once < a->at_once || b->sum_us < a->sum_us)
			return true;
	}
	return false;
}

static void levels_learn(struct window *w, uint64_t now_us)
{
	for (size_t i = 0; i < w->sum->endpoint_count; i++) {
		const struct load_curve *now = &w->sum->endpoints[i].curve, *before = &w->curves[i];

		if (counts_anew(before, now))
			w->curves[i] = (struct load_curve){0};
		for (int j = 0; j < LOAD_LEVELS; j++) {
			const struct load_level *a = &before->levels[j], *b = &now->levels[j];

			level_learn(&w->levels[i][j], b->answers - a->answers, b->at_once - a->at_once, b->sum_us - a->sum_us,
				(uint32_t)(now_us / US_PER_S));
		}
		w->curves[i] = *now;
	}
}

/* --- another generation ------------------------------------------------------------------------------------------- */

static void drop_samples(struct window *w)
{
	for (unsigned i = 0; i < WINDOW_SAMPLES; i++) {
		window_sample_free(w->samples[i]);
		w->samples[i] = NULL;
	}
	w->count = 0;
}

static void move_samples(struct window *w, struct generation *generation, const struct window_moves *moves)
{
	struct window_sample *blank = window_sample_create(generation, w->survey->count);

	for (unsigned i = 0; i < WINDOW_SAMPLES && blank != NULL; i++) {
		struct window_sample *from = w->samples[i];

		if (from == NULL)
			continue;
		window_sample_move(blank, from, moves);
		w->samples[i] = blank;
		blank = window_sample_anew(from, generation);
	}
	if (blank == NULL)
		drop_samples(w);
	window_sample_free(blank);
}

static void move_levels(
	struct window *w, const struct window_moves *moves, struct load_curve *curves, struct window_level (*levels)[LOAD_LEVELS])
{
	for (size_t i = 0; i < w->sum->endpoint_count; i++) {
		size_t before = moves->endpoints[i];

		if (before == SIZE_MAX)
			continue;
		curves[i] = w->curves[before];
		memcpy(levels[i], w->levels[before], sizeof(levels[i]));
	}
}

static unsigned samples_for(const struct config *config, unsigned workers)
{
	size_t fit = WINDOW_BYTES_MAX / window_sample_bytes(config, workers);

	return fit > WINDOW_SAMPLES ? WINDOW_SAMPLES : fit < WINDOW_SAMPLES_LEAST ? WINDOW_SAMPLES_LEAST : (unsigned)fit;
}

/* What was known of the generation before. False: out of memory. */
static bool move(struct window *w, struct generation *generation, struct load_curve *curves, struct window_level (*levels)[LOAD_LEVELS])
{
	struct window_moves *moves = window_moves_create(generation, w->generation);

	if (moves == NULL)
		return false;
	move_samples(w, generation, moves);
	move_levels(w, moves, curves, levels);
	free(moves);
	return true;
}

/* False: out of memory, and it is of the generation that it was of. */
static bool adopt(struct window *w, struct generation *generation)
{
	size_t endpoints = config_endpoint_count(generation->config);
	struct load_curve *curves = calloc(endpoints + 1, sizeof(*curves));
	struct window_level (*levels)[LOAD_LEVELS] = calloc(endpoints + 1, sizeof(*levels));
	unsigned count_max = samples_for(generation->config, w->survey->count);

	if (count_max != w->count_max)
		drop_samples(w);
	if (curves == NULL || levels == NULL || (w->generation != NULL && !move(w, generation, curves, levels))) {
		free(curves);
		free(levels);
		return false;
	}
	free(w->curves);
	free(w->levels);
	generation_unref(w->generation);
	w->generation = generation_ref(generation);
	w->curves = curves;
	w->levels = levels;
	w->count_max = count_max;
	return true;
}

/* --- sampling ----------------------------------------------------------------------------------------------------- */

static void take(struct window *w)
{
	struct generation *generation = w->sum->generation;
	struct window_sample *sample;
	unsigned next;

	if (generation == NULL)
		return;
	if (generation != w->generation && !adopt(w, generation)) {
		/* The sum is of another generation than they are: who looks at both would find what is not there. */
		drop_samples(w);
		return;
	}
	next = w->count == 0 ? 0 : (w->newest + 1) % w->count_max;
	sample = w->samples[next];
	w->samples[next] = NULL;
	if (sample == NULL)
		sample = window_sample_create(generation, w->survey->count);
	if (sample == NULL)
		return;
	window_sample_take(sample, w->survey, w->sum);
	levels_learn(w, sample->at_us);
	w->samples[next] = sample;
	w->newest = next;
	w->count += w->count < w->count_max;
}

static void on_surveyed(struct survey_request *request)
{
	struct window *w = container_of(request, struct window, request);

	survey_sum(w->survey, &w->sum);
	take(w);
}

static void on_timer(struct io_timer *timer)
{
	struct window *w = container_of(timer, struct window, timer);

	window_begin(w);
}

void window_begin(struct window *w)
{
	struct io *io = w->survey->io;

	/* While a worker is silent a survey takes longer than a step: then the last one is still to be told. */
	if (w->request.node.next == NULL)
		survey_ask(w->survey, &w->request);
	io_timer_set(io, &w->timer, deadline_after(io_now_us(io), WINDOW_STEP_US));
}

void window_close(struct window *w)
{
	io_timer_cancel(w->survey->io, &w->timer);
	survey_cancel(&w->request);
}

/* --- looking ------------------------------------------------------------------------------------------------------ */

const struct window_sample *window_sample(const struct window *w, unsigned back)
{
	return back < w->count ? w->samples[(w->newest + w->count_max - back) % w->count_max] : NULL;
}

unsigned window_back(const struct window *w, uint64_t span_us)
{
	const struct window_sample *newest = window_sample(w, 0);
	unsigned back = 1;

	if (w->count < 2)
		return 0;
	while (back + 1 < w->count && newest->at_us - window_sample(w, back)->at_us + WINDOW_STEP_US / 2 < span_us)
		back++;
	return back;
}

/* --- beginning and end -------------------------------------------------------------------------------------------- */

bool window_init(struct window *w, struct survey *survey, const struct config *config)
{
	*w = (struct window){.survey = survey, .timer.on_fire = on_timer, .request = {.on_surveyed = on_surveyed,
		.wants = SNAPSHOT_COUNTERS}, .sum = snapshot_create(config)};
	return w->sum != NULL;
}

void window_release(struct window *w)
{
	drop_samples(w);
	snapshot_free(w->sum);
	generation_unref(w->generation);
	free(w->curves);
	free(w->levels);
}
