/* A clock on the wall that is ahead of the kernel's by the seconds that a file says.

   The file is read at every call, so the clock jumps for all processes at once when it changes.
   Clocks that only measure how much time passes stay as they are, as they do when someone sets
   the time of a machine. */

#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long ahead_s(void) {
    char text[32] = {0};
    const char *path = getenv("CLOCK_AHEAD");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0)
        return 0;
    long size = read(file, text, sizeof text - 1);
    close(file);
    return size > 0 ? strtol(text, NULL, 10) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *told) {
    int fault = syscall(SYS_clock_gettime, clock, told);
    if (!fault && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        told->tv_sec += ahead_s();
    return fault;
}

int gettimeofday(struct timeval *told, void *zone) {
    int fault = syscall(SYS_gettimeofday, told, zone);
    if (!fault)
        told->tv_sec += ahead_s();
    return fault;
}

time_t time(time_t *told) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (told)
        *told = now.tv_sec;
    return now.tv_sec;
}
