import type { AccessSize, SynchronousRangeHandler } from '@retrap/device'

/** Bytes that the registers of a PrimeCell take. */
export const PRIME_CELL_BYTES = 0x1000
const FIRST_ID = 0xfe0
/** "PrimeCell", at the end of every one's registers. */
const CELL_ID = [0x0d, 0xf0, 0x05, 0xb1] as const

/** 32-bit registers of a PrimeCell. */
export interface PrimeCellRegisters {
  /** @param offset - a multiple of 4 below 0xFE0 */
  read(offset: number): number
  /** @param offset - a multiple of 4 below 0xFE0 */
  write(offset: number, value: number): void
}

/**
 * The range of a PrimeCell: its registers, and its identification at 0xFE0 that Linux's AMBA bus reads.
 *
 * The bus has no byte strobes. An access below 4 bytes reaches the register that it lies in; a write that does not begin at
 * the register's first byte carries nothing for it.
 *
 * @param peripheralId - part number in bits 11:0, designer in 19:12, revision in 23:20, configuration in 31:24
 *
 * Source: Arm DDI 0183F, chapter 3, "Peripheral Identification Registers", "PrimeCell Identification Registers".
 */
export function primeCell(peripheralId: number, registers: PrimeCellRegisters): SynchronousRangeHandler {
  const read = (offset: number): number => {
    if (offset < FIRST_ID) return registers.read(offset)
    const index = (offset - FIRST_ID) >> 2
    return index < 4 ? (peripheralId >>> (8 * index)) & 0xff : CELL_ID[index - 4]!
  }
  return {
    read: (offset: number): number => read(offset & ~3) >>> (8 * (offset & 3)),
    write: (offset: number, _size: AccessSize, value: number): void => {
      if (offset < FIRST_ID && (offset & 3) === 0) registers.write(offset, value)
    },
  }
}
