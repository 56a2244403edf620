// A wrong clock and a slow disk for one process that loads this before its other libraries (LD_PRELOAD). What is wrong stands in the file that
// FAIRWEIR_WRONG names, and may change at any time: see wrong.py.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static struct wrong {
    // By how much the time of day is ahead, and how much longer a write takes until it is durable, in milliseconds.
    int64_t ahead_ms, slow_ms;
    // How often each was felt.
    int64_t times_read, writes_slowed;
} nothing, *wrong = &nothing;

__attribute__((constructor)) static void begin(void) {
    const char *name = getenv("FAIRWEIR_WRONG");
    int file = name ? open(name, O_RDWR | O_CLOEXEC) : -1;
    void *shared = mmap(NULL, sizeof *wrong, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (shared == MAP_FAILED) abort();
    wrong = shared;
    close(file);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int clock_gettime(clockid_t clock, struct timespec *time) {
    static __typeof__(&clock_gettime) real;
    if (!real) real = REAL(clock_gettime);
    int done = real(clock, time);
    int64_t ahead_ms = __atomic_load_n(&wrong->ahead_ms, __ATOMIC_RELAXED);
    if (done || clock != CLOCK_REALTIME || !ahead_ms) return done;
    __atomic_fetch_add(&wrong->times_read, 1, __ATOMIC_RELAXED);
    int64_t nanoseconds = time->tv_nsec + ahead_ms % 1000 * 1000000;
    time->tv_sec += ahead_ms / 1000 + (nanoseconds >= 1000000000) - (nanoseconds < 0);
    time->tv_nsec = (nanoseconds + 1000000000) % 1000000000;
    return 0;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone) {
    struct timespec now;
    (void)zone;
    int done = clock_gettime(CLOCK_REALTIME, &now);
    time->tv_sec = now.tv_sec;
    time->tv_usec = now.tv_nsec / 1000;
    return done;
}

static void slow_down(void) {
    int64_t slow_ms = __atomic_load_n(&wrong->slow_ms, __ATOMIC_RELAXED);
    if (!slow_ms) return;
    __atomic_fetch_add(&wrong->writes_slowed, 1, __ATOMIC_RELAXED);
    struct timespec wait = {slow_ms / 1000, slow_ms % 1000 * 1000000};
    nanosleep(&wait, NULL);
}

int fsync(int file) {
    slow_down();
    return REAL(fsync)(file);
}

int fdatasync(int file) {
    slow_down();
    return REAL(fdatasync)(file);
}

ssize_t pwritev2(int file, const struct iovec *parts, int count, off_t at, int flags) {
    if (flags & (RWF_DSYNC | RWF_SYNC)) slow_down();
    return REAL(pwritev2)(file, parts, count, at, flags);
}
