/*
 * Preloaded into the gateway, which knows nothing of it (test_reload.py): the thread that loads a configuration, which alone asks for another
 * priority, never gets any further.
 */
#include <sys/resource.h>
#include <unistd.h>

int setpriority(int which, id_t who, int priority)
{
	(void)which, (void)who, (void)priority;
	for (;;)
		pause();
}
