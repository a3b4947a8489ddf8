import { DISTRIBUTOR, REDISTRIBUTORS, type Operation } from './operations.ts'

/** A register in which QEMU 7.2 and ours differ: bits that ours has clear or set, and why. */
interface Deviation {
  readonly register: string
  readonly reads: (offset: number) => boolean
  readonly frame: 'distributor' | 'redistributor'
  readonly bits: bigint
  readonly why: string
}

const TABLE: readonly Deviation[] = [
  {
    register: 'GICD_TYPER',
    frame: 'distributor',
    reads: (offset) => offset === 4,
    bits: (1n << 25n) | (1n << 17n) | 31n,
    why: `No1N: "1 of N SPI interrupts are not supported"; ours has them. LPIS: this one of ours has no LPIs. ITLinesNumber: "the
      maximum SPI INTID is 32(N+1)-1"; QEMU's is one too low for the 288 interrupts that it has.`,
  },
  {
    register: 'GICR_TYPER',
    frame: 'redistributor',
    reads: (offset) => offset === 8,
    bits: 1n,
    why: 'PLPIS: this one of ours has no LPIs.',
  },
  {
    register: 'GICR_CTLR',
    frame: 'redistributor',
    reads: (offset) => offset === 0,
    bits: 2n,
    why: 'CES: this one of ours has no LPIs.',
  },
]

/** Whether a difference is one of the table's. */
export function isQemusGicV3(each: Operation, ours: bigint | string, theirs: bigint | string): boolean {
  if (each.kind !== 'memory' || typeof ours === 'string' || typeof theirs === 'string') return false
  const frame = each.address >= REDISTRIBUTORS ? 'redistributor' : 'distributor'
  const offset = frame === 'distributor' ? each.address - DISTRIBUTOR : (each.address - REDISTRIBUTORS) % 0x2_0000
  return TABLE.some((row) => row.frame === frame && row.reads(offset) && ((ours ^ theirs) & ~row.bits) === 0n)
}
