import { FOUR_GIB, MIB } from '@retrap/basics'
import { PAGE_BYTES } from '@retrap/memory'
import { LoaderError } from './errors.ts'

/** Kinds of E820 entry (ACPI 6.5, 15.2, "Address Range Types"). */
export const E820: { readonly ram: 1; readonly reserved: 2; readonly acpi: 3; readonly nvs: 4 } = {
  ram: 1,
  reserved: 2,
  acpi: 3,
  nvs: 4,
}

/** One entry of the firmware's memory map. */
export interface E820Entry {
  /** Guest-physical address of the first byte. */
  readonly gpa: number
  /** Length in bytes. */
  readonly bytes: number
  /** One of {@link E820}. */
  readonly type: number
}

/** A stretch of guest-physical addresses. */
export interface GuestRange {
  /** Guest-physical address of the first byte. */
  readonly gpa: number
  /** Length in bytes. */
  readonly bytes: number
}

/** The layout of a PC's memory. */
export interface PcMemoryMap {
  /** The addresses that RAM backs. The VGA window below 768 KiB and the hole below 4 GiB are left out. */
  readonly ram: readonly GuestRange[]
  /** End of RAM below the hole. */
  readonly lowRamBytes: number
  /** RAM from 4 GiB up. */
  readonly highRamBytes: number
  /** The map for an OS. */
  readonly e820: readonly E820Entry[]
}

/** Segment of the extended BIOS data area, the last KiB of base memory. */
export const EBDA_BASE = 0x9_fc00
const VGA_WINDOW = 0xa_0000
const OPTION_ROMS = 0xc_0000
const BIOS_AREA = 0xe_0000

/** First GPA of the hole that PCI windows, interrupt controllers and firmware share, on an i440FX. */
export const PCI_HOLE_BASE = 0xc000_0000
/** Last GPA that PCI devices may use below 4 GiB; the interrupt controllers follow. */
export const PCI_HOLE_LAST = 0xfebf_ffff

/**
 * Lays out a PC's RAM: 640 KiB, a hole for VGA, RAM from 768 KiB to at most 3 GiB, the rest from 4 GiB up. The area
 * from 0xE0000 to 1 MiB is RAM that the memory map reserves: it holds tables.
 *
 * @param memoryBytes - whole pages, at least 1 MiB
 * @param lowRamLimit - most RAM below 4 GiB; default 3 GiB
 * @throws LoaderError `ERR_MEMORY_SIZE`
 */
export function pcMemoryMap(memoryBytes: number, lowRamLimit: number = PCI_HOLE_BASE): PcMemoryMap {
  if (!Number.isSafeInteger(memoryBytes) || memoryBytes % PAGE_BYTES !== 0 || memoryBytes < MIB)
    throw new LoaderError('ERR_MEMORY_SIZE', 'memory size', `${memoryBytes} bytes`, 'whole 4 KiB pages, at least 1 MiB')
  const lowRamBytes = Math.min(memoryBytes, lowRamLimit)
  const highRamBytes = memoryBytes - lowRamBytes
  const e820: E820Entry[] = [
    { gpa: 0, bytes: EBDA_BASE, type: E820.ram },
    { gpa: EBDA_BASE, bytes: VGA_WINDOW - EBDA_BASE, type: E820.reserved },
    { gpa: BIOS_AREA, bytes: MIB - BIOS_AREA, type: E820.reserved },
  ]
  if (lowRamBytes > MIB) e820.push({ gpa: MIB, bytes: lowRamBytes - MIB, type: E820.ram })
  const ram: GuestRange[] = [
    { gpa: 0, bytes: VGA_WINDOW },
    { gpa: OPTION_ROMS, bytes: lowRamBytes - OPTION_ROMS },
  ]
  if (highRamBytes > 0) {
    e820.push({ gpa: FOUR_GIB, bytes: highRamBytes, type: E820.ram })
    ram.push({ gpa: FOUR_GIB, bytes: highRamBytes })
  }
  return { ram, lowRamBytes, highRamBytes, e820 }
}
