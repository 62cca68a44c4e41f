/* What `weir top` shows of one event of GET /v1/live, 80 columns wide. */
#ifndef WEIR_APP_TOP_FRAME_H
#define WEIR_APP_TOP_FRAME_H

#include <stdio.h>

#include <jansson.h>

/*
 * So many lines at most, each with `line_end` before its end. The fullest endpoints come first, so nothing that is full is left out
 * while something that is not is shown.
 */
void top_frame(FILE *out, const json_t *live, unsigned lines, const char *line_end);

#endif
