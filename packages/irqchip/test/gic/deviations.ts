import { DISTRIBUTOR, INTERFACES, ITS, REDISTRIBUTORS, type Operation } from './operations.ts'

/** A register in which QEMU 7.2 and ours differ: bits that ours has clear or set, and why. */
interface Deviation {
  readonly register: string
  readonly reads: (offset: number) => boolean
  readonly frame: 'distributor' | 'ITS'
  readonly bits: bigint
  readonly why: string
}

const TABLE: readonly Deviation[] = [
  {
    register: 'GICD_TYPER',
    frame: 'distributor',
    reads: (offset) => offset === 4,
    bits: (1n << 25n) | 31n,
    why: `No1N: "1 of N SPI interrupts are not supported"; ours has them. ITLinesNumber: "the
      maximum SPI INTID is 32(N+1)-1"; QEMU's is one too low for the 288 interrupts that it has.`,
  },
  {
    register: 'GITS_TYPER',
    frame: 'ITS',
    reads: (offset) => offset === 8,
    bits: 0xf0n,
    why: 'ITT_entry_size: "the number of bytes per translation table entry, minus one"; 8 bytes, QEMU has 12.',
  },
]

/** Whether a difference is one of the table's. */
export function isQemusGicV3(each: Operation, ours: bigint | string, theirs: bigint | string): boolean {
  if (each.kind !== 'memory' || typeof ours === 'string' || typeof theirs === 'string') return false
  if (each.address >= REDISTRIBUTORS) return false
  const [frame, base] = each.address >= ITS ? (['ITS', ITS] as const) : (['distributor', DISTRIBUTOR] as const)
  const offset = each.address - base
  return TABLE.some((row) => row.frame === frame && row.reads(offset) && ((ours ^ theirs) & ~row.bits) === 0n)
}

const IAR = INTERFACES + 0x0c
const HPPIR = INTERFACES + 0x18
const SENDER = 7n << 10n

/**
 * Whether a difference of a GICv2 is one of these.
 *
 * GICC_IAR: "1022: the highest priority pending interrupt is a Group 1 interrupt" is what QEMU also gives while a running
 * interrupt keeps it back; "1023: there is no pending interrupt of sufficient priority" comes first.
 *
 * GICC_HPPIR: the priority mask does not count there, as it does for QEMU; and it has the sender of an SGI (CPUID).
 */
export function isQemusGicV2(each: Operation, ours: bigint | string, theirs: bigint | string): boolean {
  if (each.kind !== 'memory' || each.write || typeof ours === 'string') return false
  if (each.address === IAR) return ours === 1023n && theirs === 1022n
  if (each.address !== HPPIR) return false
  return theirs === 1023n || (ours & ~SENDER) === theirs
}
