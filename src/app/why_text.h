/* The answer of GET /v1/why as people read it, 80 columns wide. */
#ifndef WEIR_APP_WHY_TEXT_H
#define WEIR_APP_WHY_TEXT_H

#include <jansson.h>

/* To standard output. */
void why_text_print(const json_t *answer);

#endif
