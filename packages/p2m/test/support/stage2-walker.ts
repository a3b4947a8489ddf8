import type { MachineMemory } from '@retrap/memory'
import type { Stage2Registers } from '../../src/index.ts'

/** What hardware finds. */
export interface Stage2Walk {
  /** Level of the entry: 1, 2 or 3; of the fault. */
  readonly level: number
  readonly fault?: 'translation' | 'address-size'
  readonly output?: number
  readonly bytes?: number
  readonly memAttr?: number
  readonly read?: boolean
  readonly write?: boolean
  readonly execute?: boolean
  readonly shareability?: number
  readonly accessed?: boolean
  readonly contiguous?: boolean
  /** Bits 58:55, which hardware ignores. */
  readonly software?: number
}

/**
 * Walks stage-2 tables as hardware does, knowing two registers and memory. Written from the Arm ARM (DDI 0487), "VTCR_EL2",
 * "VTTBR_EL2", "Translation table walks" with 4 KiB granules, and "VMSAv8-64 descriptor formats"; nothing is shared with
 * what makes the tables.
 */
export function walkStage2(memory: MachineMemory, registers: Stage2Registers, ipa: bigint): Stage2Walk {
  const vtcr = BigInt(registers.vtcr)
  const inputBits = 64n - (vtcr & 0x3fn)
  const sl0 = (vtcr >> 6n) & 3n
  // SL0: 2 starts at level 0, 1 at level 1, 0 at level 2.
  let level = 2 - Number(sl0)
  const vttbr = (BigInt(registers.vttbrHi) << 32n) | BigInt(registers.vttbrLo)
  let table = vttbr & 0xffff_ffff_ffffn
  if (ipa >> inputBits !== 0n) return { level, fault: 'translation' }
  for (let first = true; ; level++, first = false) {
    const shift = BigInt(12 + 9 * (3 - level))
    // The first look-up takes all bits that are left: tables side by side.
    const index = first ? ipa >> shift : (ipa >> shift) & 0x1ffn
    const descriptor = memory.u64[Number((table + index * 8n) / 8n)] as bigint
    if ((descriptor & 1n) === 0n) return { level, fault: 'translation' }
    const isTable = (descriptor & 2n) !== 0n
    if (level === 3 ? !isTable : level === 0 && !isTable) return { level, fault: 'translation' }
    if (level < 3 && isTable) {
      table = descriptor & 0xffff_ffff_f000n
      continue
    }
    const bytes = 1n << shift
    const base = descriptor & 0xffff_ffff_f000n
    if (base % bytes !== 0n) return { level, fault: 'address-size' }
    const bit = (n: bigint): boolean => ((descriptor >> n) & 1n) !== 0n
    return {
      level,
      output: Number(base + (ipa % bytes)),
      bytes: Number(bytes),
      memAttr: Number((descriptor >> 2n) & 0xfn),
      read: bit(6n),
      write: bit(7n),
      execute: !bit(54n),
      shareability: Number((descriptor >> 8n) & 3n),
      accessed: bit(10n),
      contiguous: bit(52n),
      software: Number((descriptor >> 55n) & 0xfn),
    }
  }
}
