import { KIB, MIB } from '@retrap/basics'

/** The facts about memory and processors that a PC's firmware leaves in CMOS RAM. */
export interface CmosConfiguration {
  /** Bytes of RAM from GPA 0 up to the hole below 4 GiB. */
  readonly lowRamBytes: number
  /** Bytes of RAM from 4 GiB up. */
  readonly highRamBytes: number
  /** Processors. */
  readonly cpus: number
  /** Types of floppy drives A and B: 1 360 KB, 2 1.2 MB, 3 720 KB, 4 1.44 MB, 5 2.88 MB. Default none. */
  readonly floppies?: readonly number[]
}

const BASE_MEMORY_KIB = 640
/** Indices of fields, as PC firmware has kept them since the AT; fields from 0x34 are of QEMU and Xen. */
const CMOS = {
  floppies: 0x10,
  equipment: 0x14,
  baseMemoryKib: 0x15,
  extendedMemoryKib: 0x17,
  checksum: 0x2e,
  extendedMemoryKibAlias: 0x30,
  above16MibIn64Kib: 0x34,
  above4GibIn64Kib: 0x5b,
  cpusMinusOne: 0x5f,
} as const
const EQUIPMENT_FPU = 0x02
const EQUIPMENT_FLOPPY = 0x01
const EQUIPMENT_FLOPPIES_SHIFT = 6
const CHECKSUM_FIRST = 0x10
const CHECKSUM_LAST = 0x2d

/** Writes the memory and processor fields and the checksum that covers bytes 0x10–0x2D. */
export function fillCmos(cmos: Uint8Array, configuration: CmosConfiguration): void {
  const { lowRamBytes, highRamBytes, cpus, floppies = [] } = configuration
  const u16 = (index: number, value: number): void => {
    cmos[index] = value & 0xff
    cmos[index + 1] = (value >> 8) & 0xff
  }
  const extendedKib = Math.min(0xffff, Math.max(0, Math.floor((lowRamBytes - MIB) / KIB)))
  const [first = 0, second = 0] = floppies
  cmos[CMOS.floppies] = (first << 4) | second
  const equipped = floppies.length === 0 ? 0 : EQUIPMENT_FLOPPY | ((floppies.length - 1) << EQUIPMENT_FLOPPIES_SHIFT)
  cmos[CMOS.equipment] = EQUIPMENT_FPU | equipped
  u16(CMOS.baseMemoryKib, Math.min(BASE_MEMORY_KIB, Math.floor(lowRamBytes / KIB)))
  u16(CMOS.extendedMemoryKib, extendedKib)
  u16(CMOS.extendedMemoryKibAlias, extendedKib)
  u16(CMOS.above16MibIn64Kib, Math.min(0xffff, Math.max(0, Math.floor((lowRamBytes - 16 * MIB) / (64 * KIB)))))
  const high = Math.floor(highRamBytes / (64 * KIB))
  u16(CMOS.above4GibIn64Kib, high & 0xffff)
  cmos[CMOS.above4GibIn64Kib + 2] = Math.floor(high / 0x1_0000) & 0xff
  cmos[CMOS.cpusMinusOne] = Math.min(0xff, cpus - 1)
  let sum = 0
  for (let index = CHECKSUM_FIRST; index <= CHECKSUM_LAST; index++) sum += cmos[index]!
  // The checksum is kept high byte first.
  cmos[CMOS.checksum] = sum >> 8
  cmos[CMOS.checksum + 1] = sum & 0xff
}
