/* What the gateway does once it serves: as it is told, by signals and by the administration, and by the clock. */
#ifndef WEIR_APP_OBEYING_H
#define WEIR_APP_OBEYING_H

struct gateway;

/* Until the last worker has ended. */
void obeying_run(struct gateway *gateway);

#endif
