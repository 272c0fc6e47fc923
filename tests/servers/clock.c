/* A clock that stands until a test moves it, for a server started with this library preloaded: the time of day is
 * what the file named by CLOCK_FILE holds, microseconds since 1970 in the machine's own byte order. Only gettimeofday
 * is replaced, which is what Redis stamps with; its timers and limits run on the monotonic clock as ever. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

static volatile int64_t *now;

__attribute__((constructor)) static void open_clock(void) {
  const char *path = getenv("CLOCK_FILE");
  int file = path ? open(path, O_RDONLY) : -1;
  void *page = file < 0 ? MAP_FAILED : mmap(NULL, sizeof *now, PROT_READ, MAP_SHARED, file, 0);
  if (page == MAP_FAILED) abort();
  now = page;
  close(file);
}

int gettimeofday(struct timeval *restrict at, void *restrict zone) {
  (void)zone;
  int64_t micros = now ? *now : 0;
  at->tv_sec = micros / 1000000;
  at->tv_usec = micros % 1000000;
  return 0;
}
