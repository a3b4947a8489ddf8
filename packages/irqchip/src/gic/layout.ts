/*
 * Where the state of a GIC lies in its region of machine memory, in words: first what all processors share, then a block
 * for each processor. Nothing outside this folder depends on it: saved states name their fields.
 */

/** Words of a field with one bit for each interrupt. */
const BANK_WORDS = 32

/* Fields with a bit for each interrupt. Word 0 of a bank is that of a processor: SGIs and PPIs are private. */
export const GROUP = 0
export const ENABLED = 1
/** Pending by an edge or by a write; a level-sensitive interrupt is also pending while its input is up. */
export const LATCHED = 2
export const ACTIVE = 3
/** Levels of the inputs. */
export const LINES = 4
/** Edge-triggered interrupts. */
export const EDGE = 5
/** Interrupts that any one of the processors may take: GICD_IROUTER.Interrupt_Routing_Mode. */
export const ANY_CPU = 6
export const BANKS = 7

/** First word of the banks. */
export const SHARED_BANKS = 32
/** GICD_CTLR. */
export const DISTRIBUTOR_CONTROL = 0
/** Priorities, a byte each. */
export const SHARED_PRIORITIES: number = SHARED_BANKS + BANKS * BANK_WORDS
/** Route of each interrupt: GICv3's affinity, or GICv2's mask of processors. */
export const ROUTES: number = SHARED_PRIORITIES + 1024 / 4
/** First word of the processors' blocks. */
export const CPU_BLOCKS: number = ROUTES + 1024

/* Words of a processor's block; the first ones are word 0 of the banks. */
export const PRIVATE_PRIORITIES = 8
export const PRIORITY_MASK = 16
export const BINARY_POINT_0 = 17
export const BINARY_POINT_1 = 18
/** ICC_CTLR_EL1, or GICC_CTLR. */
export const INTERFACE_CONTROL = 19
/** Bit 0: group 0; bit 1: group 1. */
export const GROUP_ENABLES = 20
/** Active priorities of group 0: bit n is priority 8n. */
export const ACTIVE_PRIORITIES_0 = 21
export const ACTIVE_PRIORITIES_1 = 22
export const WAKER = 23
/** GICR_CTLR. */
export const REDISTRIBUTOR_CONTROL = 24
/** The highest priority pending interrupt: its INTID, priority (`NO_PRIORITY`: none) and group. */
export const BEST_INTID = 25
export const BEST_PRIORITY = 26
export const BEST_GROUP = 27
/** Signals to the processor: `SIGNAL_*` bits. */
export const SIGNALS = 28
/** GICR_PROPBASER and GICR_PENDBASER. */
export const LPI_PROPERTIES_LO = 29
export const LPI_PROPERTIES_HI = 30
export const LPI_PENDING_LO = 31
export const LPI_PENDING_HI = 32
/** The highest priority pending LPI, and its priority. */
export const BEST_LPI = 33
export const BEST_LPI_PRIORITY = 34
/** Senders of SGIs in a GICv2: a byte for each. */
export const SGI_SOURCES = 36
export const CPU_BLOCK_WORDS = 64

/** Lower than any priority. */
export const NO_PRIORITY = 0x100

export const SIGNAL_IRQ = 1
export const SIGNAL_FIQ = 2

/** Counts the bytes that the state of this many processors takes. */
export const stateBytes = (cpus: number): number => 4 * (CPU_BLOCKS + cpus * CPU_BLOCK_WORDS)
