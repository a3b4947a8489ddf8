// Loads execs.bpf.o, starts a program, and tells by TAP what the kernel's part has seen of it.
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "execs.h"

static int failures;

static void check(int number, int is_right, const char *what)
{
	printf("%sok %d - %s\n", is_right ? "" : "not ", number, what);
	failures += !is_right;
}

int main(int argc, char **argv)
{
	const char *file = argc > 1 ? argv[1] : "execs.bpf.o", *program = "/bin/true";
	struct bpf_object *object = bpf_object__open_file(file, NULL);
	struct utsname kernel;
	struct seen seen = {};
	int major = 0, minor = 0, child, status = -1;

	puts("TAP version 14\n1..5");
	uname(&kernel);
	sscanf(kernel.release, "%d.%d", &major, &minor);
	check(1, object && bpf_object__load(object) == 0, "the program is loaded");
	check(2, !failures && bpf_program__attach(bpf_object__find_program_by_name(object, "note_exec")), "it is attached");
	if (failures)
		return 1;

	fflush(stdout);
	child = fork();
	if (child == 0) {
		execl(program, program, NULL);
		_exit(127);
	}
	waitpid(child, &status, 0);
	bpf_map_lookup_elem(bpf_object__find_map_fd_by_name(object, "seen"), &child, &seen);
	check(3, status == 0 && !strcmp(seen.comm, "true") && !strcmp(seen.file, program), "it sees a program start");
	check(4, seen.parent == getpid() && seen.state == 0, "it reads the parent and the state");
	check(5, seen.has_old_state == (major < 5 || (major == 5 && minor < 14)), "the state has the name of this kernel");
	return failures != 0;
}
