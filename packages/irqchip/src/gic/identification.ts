import { isWord } from './interrupt-table.ts'

/** GICD_IIDR, GICR_IIDR, GITS_IIDR: designed by Arm (JEP106 code 0x43b), no product. */
export const IIDR = 0x43b

/** Peripheral and component identification from 0xffd0 on; 0 stands for the part. PIDR2 says GICv3 (ArchRev 3). */
const REGISTERS = [0x44, 0, 0, 0, 0, 0xb4, 0x3b, 0, 0x0d, 0xf0, 0x05, 0xb1]
const FIRST = 0xffd0

/** Reads an identification register. @param part - the part number in PIDR0 */
export function identification(offset: number, size: number, part: number): number {
  if (!isWord(offset, size) || offset < FIRST) return 0
  const index = (offset - FIRST) >> 2
  return index === 4 ? part : (REGISTERS[index] ?? 0)
}
