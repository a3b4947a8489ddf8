// Bits of CR0, CR4 and IA32_EFER that decide how linear addresses are translated.
// Source: Intel SDM vol. 3A, "Control Registers" and "Paging Modes and Control Bits".

/** CR0.PE: protected mode. */
export const CR0_PE: number = 1 << 0
/** CR0.WP: supervisor writes obey read-only pages. */
export const CR0_WP: number = 1 << 16
/** CR0.NW: not write-through. */
export const CR0_NW: number = 1 << 29
/** CR0.CD: caches are off. */
export const CR0_CD: number = 1 << 30
/** CR0.PG: paging. A negative number, as bit operations return it. */
export const CR0_PG: number = 1 << 31

/** CR4.PSE: 4 MiB pages of two-level paging. */
export const CR4_PSE: number = 1 << 4
/** CR4.PAE: tables of 64-bit entries. */
export const CR4_PAE: number = 1 << 5
/** CR4.PGE: global pages. */
export const CR4_PGE: number = 1 << 7
/** CR4.LA57: five levels of tables and 57-bit linear addresses. */
export const CR4_LA57: number = 1 << 12
/** CR4.PCIDE: process-context identifiers. */
export const CR4_PCIDE: number = 1 << 17
/** CR4.SMEP: the supervisor does not execute user pages. */
export const CR4_SMEP: number = 1 << 20
/** CR4.SMAP: the supervisor accesses user pages only while EFLAGS.AC is set. */
export const CR4_SMAP: number = 1 << 21
/** CR4.PKE: protection keys for user pages. */
export const CR4_PKE: number = 1 << 22
/** CR4.CET: control-flow enforcement, including shadow-stack pages. */
export const CR4_CET: number = 1 << 23
/** CR4.PKS: protection keys for supervisor pages. */
export const CR4_PKS: number = 1 << 24

/** IA32_EFER.LME: paging, once enabled, is that of long mode. */
export const EFER_LME: number = 1 << 8
/** IA32_EFER.LMA: long mode is active. */
export const EFER_LMA: number = 1 << 10
/** IA32_EFER.NXE: pages may forbid execution. */
export const EFER_NXE: number = 1 << 11
