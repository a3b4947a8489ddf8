/** The identity of a disk in IDENTIFY DEVICE. */
export interface DiskIdentity {
  readonly model: string
  readonly serialNumber: string
  readonly firmware: string
  readonly sectors: number
  /** Number of 512-byte sectors in a physical sector. */
  readonly sectorsPerPhysical: number
  readonly cylinders: number
  readonly heads: number
  readonly sectorsPerTrack: number
  /** The translation that INITIALIZE DEVICE PARAMETERS has set. */
  readonly currentHeads: number
  readonly currentSectorsPerTrack: number
  /** Sectors for each interrupt; 0: READ MULTIPLE is off. */
  readonly multiple: number
  readonly writeCache: boolean
  readonly lookAhead: boolean
  /** Byte of SET FEATURES' transfer mode that is in use. */
  readonly transferMode: number
  /** Whether the disk has a serial link, with a queue of 32 commands and a log of failed ones. */
  readonly serialAta: boolean
}

/** Largest count of SET MULTIPLE MODE. */
export const MAXIMUM_MULTIPLE = 16
/** Sectors that 28 bits address. */
const LBA28_SECTORS = 0x0fff_ffff
const MWDMA_MODES = 0x07
const UDMA_MODES = 0x3f

/** ASCII as IDENTIFY has it: padded with spaces, two characters a word with the first in the upper byte. */
function putText(words: Uint16Array, first: number, count: number, text: string): void {
  const padded = text.slice(0, 2 * count).padEnd(2 * count)
  for (let i = 0; i < count; i++) {
    words[first + i] = ((padded.charCodeAt(2 * i) & 0x7f) << 8) | (padded.charCodeAt(2 * i + 1) & 0x7f)
  }
}

/** Returns the bit of the selected transfer mode, if it is of this kind. */
const selected = (transferMode: number, kind: number): number =>
  (transferMode & 0xf8) === kind ? 1 << (transferMode & 7) : 0

function bytesOf(words: Uint16Array): Uint8Array {
  const bytes = new Uint8Array(512)
  words.forEach((word, i) => {
    bytes[2 * i] = word
    bytes[2 * i + 1] = word >> 8
  })
  // Integrity word: a signature, and a byte with which all 512 add up to 0.
  bytes[510] = 0xa5
  bytes[511] = -bytes.subarray(0, 511).reduce((sum, byte) => sum + byte, 0)
  return bytes
}

/** The 512 bytes of IDENTIFY DEVICE (ATA8-ACS, "IDENTIFY DEVICE"). */
export function identifyDisk(disk: DiskIdentity): Uint8Array {
  const words = new Uint16Array(256)
  const { currentHeads, currentSectorsPerTrack } = disk
  const perCylinder = currentHeads * currentSectorsPerTrack
  const currentCylinders = Math.min(0xffff, Math.floor(Math.min(disk.sectors, LBA28_SECTORS) / perCylinder))
  const lba28 = Math.min(disk.sectors, LBA28_SECTORS)
  words[0] = 0x0040
  words[1] = disk.cylinders
  words[3] = disk.heads
  words[6] = disk.sectorsPerTrack
  putText(words, 10, 10, disk.serialNumber)
  putText(words, 23, 4, disk.firmware)
  putText(words, 27, 20, disk.model)
  words[47] = 0x8000 | MAXIMUM_MULTIPLE
  words[49] = 0x0f00 // IORDY, LBA, DMA
  words[50] = 0x4000
  words[53] = 0x0007
  words[54] = currentCylinders
  words[55] = currentHeads
  words[56] = currentSectorsPerTrack
  put32(words, 57, currentCylinders * perCylinder)
  words[59] = disk.multiple === 0 ? 0 : 0x0100 | disk.multiple
  put32(words, 60, lba28)
  putModes(words, disk.transferMode)
  if (disk.serialAta) {
    words[75] = 31
    words[76] = 0x0106 // queued commands, 1.5 and 3 Gbit/s
  }
  words[80] = 0x01f0 // ATA/ATAPI-4 to ATA8-ACS
  words[82] = 0x4060 // NOP, look-ahead, write cache
  words[83] = 0x7400 // FLUSH CACHE EXT, FLUSH CACHE, 48-bit
  const logs = disk.serialAta ? 0x20 : 0
  words[84] = 0x4040 | logs // FUA
  words[85] = 0x4000 | (disk.lookAhead ? 0x40 : 0) | (disk.writeCache ? 0x20 : 0)
  words[86] = 0x3400
  words[87] = 0x4040 | logs
  put32(words, 100, disk.sectors % 2 ** 32)
  words[102] = Math.floor(disk.sectors / 2 ** 32)
  words[106] = disk.sectorsPerPhysical > 1 ? 0x6000 | Math.log2(disk.sectorsPerPhysical) : 0x4000
  words[217] = 1 // no rotating medium
  return bytesOf(words)
}

/** The identity of a drive in IDENTIFY PACKET DEVICE. */
export interface PacketIdentity {
  readonly model: string
  readonly serialNumber: string
  readonly firmware: string
  readonly transferMode: number
}

/** The 512 bytes of IDENTIFY PACKET DEVICE of a CD drive. */
export function identifyCd(drive: PacketIdentity): Uint8Array {
  const words = new Uint16Array(256)
  // A packet device of type 5, removable, DRQ within 50 µs of PACKET and no interrupt for it, packets of 12 bytes.
  words[0] = 0x85c0
  putText(words, 10, 10, drive.serialNumber)
  putText(words, 23, 4, drive.firmware)
  putText(words, 27, 20, drive.model)
  words[49] = 0x0f00
  words[50] = 0x4000
  words[53] = 0x0006
  putModes(words, drive.transferMode)
  words[80] = 0x01f0
  words[82] = 0x4210 // NOP, DEVICE RESET, PACKET
  words[83] = 0x4000
  words[84] = 0x4000
  words[85] = 0x4210
  words[87] = 0x4000
  return bytesOf(words)
}

function putModes(words: Uint16Array, transferMode: number): void {
  words[51] = 0x0200
  words[63] = MWDMA_MODES | (selected(transferMode, 0x20) << 8)
  words[64] = 0x0003
  words.fill(120, 65, 69) // nanoseconds of a cycle
  words[88] = UDMA_MODES | (selected(transferMode, 0x40) << 8)
}

/** Whether a transfer mode of SET FEATURES is one that words 63, 64 and 88 offer. */
export function hasTransferMode(mode: number): boolean {
  const number = mode & 7
  switch (mode & 0xf8) {
    case 0x00:
      return number <= 1
    case 0x08:
      return number <= 4
    case 0x20:
      return ((MWDMA_MODES >> number) & 1) !== 0
    case 0x40:
      return ((UDMA_MODES >> number) & 1) !== 0
    default:
      return false
  }
}

function put32(words: Uint16Array, at: number, value: number): void {
  words[at] = value & 0xffff
  words[at + 1] = Math.floor(value / 0x1_0000) & 0xffff
}
