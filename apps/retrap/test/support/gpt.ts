import { closeSync, openSync, writeSync } from 'node:fs'
import { crc32 } from 'node:zlib'

/** A partition, in bytes from the beginning of its disk. */
export interface Partition {
  readonly type: keyof typeof TYPES
  readonly at: number
  readonly bytes: number
}

/** Kinds of partition, as GUIDs. */
const TYPES = { efi: 'c12a7328-f81f-11d2-ba4b-00a0c93ec93b', linux: '0fc63daf-8483-4772-8e79-3d69d8477de4' } as const

const SECTOR = 512
const HEADER_BYTES = 92
const ENTRY_BYTES = 128
const ENTRIES = 128
const TABLE_SECTORS = (ENTRY_BYTES * ENTRIES) / SECTOR
/** The GUID of the disk; those of the partitions differ in the last byte. */
const DISK = '5c3a1d70-6f2e-4b8c-9d14-7e0a2f6b4c00'
/** The type of the one partition of the old table, which has other programs see that the disk is in use. */
const PROTECTIVE = 0xee

/** Bytes behind the last partition that the second table takes. */
export const GPT_TAIL_BYTES: number = (TABLE_SECTORS + 1) * SECTOR

/**
 * Writes a partition table with GUIDs to both ends of a disk.
 *
 * Source: UEFI Specification 2.10, 5.3, "GUID Partition Table (GPT) Disk Layout".
 *
 * @param bytes - of the disk; partitions lie between its first MiB and its last `GPT_TAIL_BYTES`
 */
export function writeGpt(path: string, bytes: number, partitions: readonly Partition[]): void {
  const last = bytes / SECTOR - 1
  const table = Buffer.alloc(ENTRY_BYTES * ENTRIES)
  partitions.forEach(({ type, at, bytes: size }, i) => {
    const entry = table.subarray(i * ENTRY_BYTES)
    guid(TYPES[type]).copy(entry, 0)
    guid(DISK.slice(0, -2) + (i + 1).toString(16).padStart(2, '0')).copy(entry, 16)
    entry.writeBigUInt64LE(BigInt(at / SECTOR), 32)
    entry.writeBigUInt64LE(BigInt((at + size) / SECTOR - 1), 40)
    entry.write(type, 56, 'utf16le')
  })
  const header = (own: number, other: number, tableAt: number): Buffer => {
    const sector = Buffer.alloc(SECTOR)
    sector.write('EFI PART', 0, 'latin1')
    sector.writeUInt32LE(0x1_0000, 8)
    sector.writeUInt32LE(HEADER_BYTES, 12)
    for (const [at, value] of [
      [24, own],
      [32, other],
      [40, 2 + TABLE_SECTORS],
      [48, last - 1 - TABLE_SECTORS],
      [72, tableAt],
    ] as const)
      sector.writeBigUInt64LE(BigInt(value), at)
    guid(DISK).copy(sector, 56)
    sector.writeUInt32LE(ENTRIES, 80)
    sector.writeUInt32LE(ENTRY_BYTES, 84)
    sector.writeUInt32LE(crc32(table), 88)
    sector.writeUInt32LE(crc32(sector.subarray(0, HEADER_BYTES)), 16)
    return sector
  }
  const protective = Buffer.alloc(SECTOR)
  protective[446 + 4] = PROTECTIVE
  protective.writeUInt32LE(1, 446 + 8)
  protective.writeUInt32LE(last, 446 + 12)
  protective.writeUInt16LE(0xaa55, 510)
  const file = openSync(path, 'r+')
  writeSync(file, Buffer.concat([protective, header(1, last, 2), table]), 0, undefined, 0)
  const tail = Buffer.concat([table, header(last, 1, last - TABLE_SECTORS)])
  writeSync(file, tail, 0, undefined, (last - TABLE_SECTORS) * SECTOR)
  closeSync(file)
}

/** Of the fields of a GUID the first three have their lowest byte first. */
function guid(text: string): Buffer {
  const bytes = Buffer.from(text.replaceAll('-', ''), 'hex')
  bytes.subarray(0, 4).reverse()
  bytes.subarray(4, 6).reverse()
  bytes.subarray(6, 8).reverse()
  return bytes
}
