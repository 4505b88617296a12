/* LD_PRELOAD: the disk under files whose path contains "outbox.db" fails as the file named by $DISK_FAULT says, in one line:
 *
 *     write ERRNO    pwrite, write, ftruncate and fallocate fail
 *     sync ERRNO     fsync and fdatasync fail
 *     slow MS        fsync and fdatasync take so long
 *
 * No such file, or an empty one: the disk works. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#define REAL(type, name, ...) ((type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name))

static int fault(int fd, const char *wanted) {
    char link[64], path[4096], line[64] = {0}, word[16];
    int value = 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    const char *control = getenv("DISK_FAULT");
    if (!control || !strstr(path, "outbox.db")) return 0;
    int file = open(control, O_RDONLY | O_CLOEXEC);
    if (file < 0) return 0;
    ssize_t got = read(file, line, sizeof line - 1);
    close(file);
    return got > 0 && sscanf(line, "%15s %d", word, &value) == 2 && !strcmp(word, wanted) ? value : 0;
}

static int fails(int fd, const char *wanted) {
    int value = fault(fd, wanted);
    if (value) errno = value;
    return value;
}

static int syncs_badly(int fd) {
    int ms = fault(fd, "slow");
    if (ms) nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000L}, NULL);
    return fails(fd, "sync");
}

ssize_t write(int fd, const void *data, size_t size) {
    return fails(fd, "write") ? -1 : REAL(ssize_t, "write", int, const void *, size_t)(fd, data, size);
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t place) {
    return fails(fd, "write") ? -1 : REAL(ssize_t, "pwrite", int, const void *, size_t, off_t)(fd, data, size, place);
}
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t place) {
    return fails(fd, "write") ? -1 : REAL(ssize_t, "pwrite64", int, const void *, size_t, off64_t)(fd, data, size, place);
}
int ftruncate(int fd, off_t size) { return fails(fd, "write") ? -1 : REAL(int, "ftruncate", int, off_t)(fd, size); }
int ftruncate64(int fd, off64_t size) { return fails(fd, "write") ? -1 : REAL(int, "ftruncate64", int, off64_t)(fd, size); }
int fsync(int fd) { return syncs_badly(fd) ? -1 : REAL(int, "fsync", int)(fd); }
int fdatasync(int fd) { return syncs_badly(fd) ? -1 : REAL(int, "fdatasync", int)(fd); }
