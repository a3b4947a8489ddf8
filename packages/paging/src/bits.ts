// Source of every bit here: Intel SDM vol. 3A, "Paging", unless a comment names another.

/** #PF error code: a translation existed, but rights or a reserved bit denied the access. */
export const PFEC_P = 0x01
/** #PF error code: a write, also of a read-modify-write. */
export const PFEC_W = 0x02
/** #PF error code: a user-mode access. */
export const PFEC_U = 0x04
/** #PF error code: a reserved bit was set in a table entry. */
export const PFEC_RSVD = 0x08
/** #PF error code: an instruction fetch, where SMEP or NXE tell fetches apart. */
export const PFEC_I = 0x10
/** #PF error code: a protection key denied it. */
export const PFEC_PK = 0x20
/** #PF error code: a shadow-stack access. */
export const PFEC_SS = 0x40

/** Access mask of a data read; also no bits at all. */
export const ACCESS_READ = 0
/** A data write, or a read that will be followed by one. */
export const ACCESS_WRITE = 0x02
/** Made at CPL 3. */
export const ACCESS_USER = 0x04
/** An instruction fetch. */
export const ACCESS_FETCH = 0x10
/**
 * A shadow-stack access, of CALL, RET, WRSS and their like: a user's with {@link ACCESS_USER} (WRUSS too), else a
 * supervisor's.
 */
export const ACCESS_SHADOW_STACK = 0x40
/** Made by the processor itself (descriptor tables, TSS): a supervisor access even at CPL 3. */
export const ACCESS_IMPLICIT = 0x4_0000
/** EFLAGS.AC is set: explicit supervisor accesses pass SMAP. */
export const ACCESS_AC = 0x8_0000

/** In `WalkResult.flags`: RW of every level. */
export const MAP_WRITABLE = 0x02
/** In `WalkResult.flags`: US of every level. */
export const MAP_USER = 0x04
/** In `WalkResult.flags`: the leaf's D bit after the walk. Without it a write must walk again. */
export const MAP_DIRTY = 0x40
/** In `WalkResult.flags`: the leaf's G bit, if CR4.PGE. */
export const MAP_GLOBAL = 0x100
/** In `WalkResult.flags`: NX of any level. */
export const MAP_NX = 0x200

/** In `WalkResult.flags`: a shadow-stack page. With CR4.CET: RW clear and D set in the leaf, RW set in all above it. */
export const MAP_SHADOW_STACK = 0x400

/** `walk` and `probe`: translated, and the access is allowed. */
export const WALK_OK = 0
/** `walk` and `probe`: a page fault, whose error code is `WalkResult.pfec`. */
export const WALK_FAULT = 1
/**
 * `walk` and `probe`: the second level does not let a table be read or an A or D bit be set. Nothing the guest sees: the
 * host settles it, and the walk is made again. `WalkResult.tableGpa` is the entry's address.
 */
export const WALK_SECOND_LEVEL = 2

/** The result of a {@link TableReader}, instead of true or false, for a fault of the second level. */
export const SECOND_LEVEL_FAULT = 2

/** Address bits 51:32 in the high word of an entry. */
export const ADDRESS_HI = 0xf_ffff

/** Reserved bits of a present PDPTE, low word: 1, 2 and 8:5 (SDM, "PAE Paging"). */
export const PDPTE_RESERVED_LO = 0x1e6

// Table entry bits, low word.
export const PTE_P = 0x01
export const PTE_RW = 0x02
export const PTE_US = 0x04
export const PTE_A = 0x20
export const PTE_D = 0x40
export const PTE_PS = 0x80
export const PTE_G = 0x100
