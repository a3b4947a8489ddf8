/* What the kernel's part has seen of a program, by the number of its process. */
struct seen {
	int parent;
	int has_old_state;
	long state;
	char comm[16];
	char file[64];
};
