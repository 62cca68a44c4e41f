/* Whether a configuration can work on this machine, and what is told of that. */
#ifndef WEIR_APP_FITS_H
#define WEIR_APP_FITS_H

#include "app/reload_words.h"

/* Warns when the limits may not hold: it is said, not refused, as fewer clients than allowed may well come. `path` is the file's. */
void fits_warn(const struct reload_teller *to, const struct config *config, const char *path);

/* False with complaints: no client could ever come. They are to be released in every case. */
bool fits_idle(const struct config *config, struct config_complaints *complaints);

/* Tells of endpoints that are not used. */
void fits_tell_left_out(const struct reload_teller *to, const struct config *config);

#endif
