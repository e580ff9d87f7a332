/* Loaded into `lethe serve` (LD_PRELOAD): moves its wall clock and slows its fsync, as the file named in LETHE_SOAK_SHIM
   says at any moment: two 64-bit numbers, nanoseconds ahead and microseconds for each sync. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *told;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("LETHE_SOAK_SHIM");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *map = mmap(0, 16, PROT_READ, MAP_SHARED, file, 0);
    if (map != MAP_FAILED) told = map;
    close(file);
}

int clock_gettime(clockid_t id, struct timespec *at) {
    int failed = (int)syscall(SYS_clock_gettime, id, at);
    if (failed || !told || (id != CLOCK_REALTIME && id != CLOCK_REALTIME_COARSE)) return failed;
    int64_t moved = told[0] + at->tv_nsec;
    at->tv_sec += moved / 1000000000;
    at->tv_nsec = moved % 1000000000;
    if (at->tv_nsec < 0) at->tv_nsec += 1000000000, at->tv_sec -= 1;
    return 0;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone) {
    (void)zone;
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now)) return -1;
    at->tv_sec = now.tv_sec;
    at->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *at) {
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now)) return -1;
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}

static void linger(void) {
    if (told && told[1] > 0) usleep((useconds_t)told[1]);
}

int fsync(int file) {
    linger();
    return (int)syscall(SYS_fsync, file);
}

int fdatasync(int file) {
    linger();
    return (int)syscall(SYS_fdatasync, file);
}
