// Notes each program that is started, and the state of its task. The field of the state has had another name since Linux 5.14.
// Types have only the fields that are read: libbpf finds their places in the types of the running kernel (BTF).
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include "execs.h"

struct task_struct {
	int tgid;
	char comm[16];
	struct task_struct *real_parent;
	unsigned int __state;
} __attribute__((preserve_access_index));

struct task_struct___before_5_14 {
	long state;
} __attribute__((preserve_access_index));

struct linux_binprm {
	const char *filename;
} __attribute__((preserve_access_index));

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, int);
	__type(value, struct seen);
} seen SEC(".maps");

SEC("tp_btf/sched_process_exec")
int BPF_PROG(note_exec, struct task_struct *task, int old_pid, struct linux_binprm *binprm)
{
	struct task_struct___before_5_14 *old __attribute__((unused)) = (void *)task;
	struct seen one = {};
	int pid = task->tgid;

	one.parent = BPF_CORE_READ(task, real_parent, tgid);
#ifdef ONE_NAME
	one.state = BPF_CORE_READ(task, __state);
#else
	one.has_old_state = bpf_core_field_exists(old->state);
	one.state = one.has_old_state ? BPF_CORE_READ(old, state) : BPF_CORE_READ(task, __state);
#endif
	bpf_probe_read_kernel_str(one.comm, sizeof(one.comm), task->comm);
	bpf_probe_read_kernel_str(one.file, sizeof(one.file), BPF_CORE_READ(binprm, filename));
	bpf_map_update_elem(&seen, &pid, &one, BPF_ANY);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
