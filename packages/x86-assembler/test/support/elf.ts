// Just enough ELF to find the code of a 64-bit program.
import { existsSync, readFileSync } from 'node:fs'

export interface CodeSection {
  readonly address: number
  readonly bytes: Uint8Array
}

/** The section `.text` of a 64-bit little-endian ELF file, or undefined where there is no such file. */
export function textOf(file: string): CodeSection | undefined {
  if (!existsSync(file)) return undefined
  const bytes = readFileSync(file)
  const table = Number(bytes.readBigUInt64LE(0x28))
  const entryBytes = bytes.readUInt16LE(0x3a)
  const entries = bytes.readUInt16LE(0x3c)
  const headerOf = (index: number): number => table + index * entryBytes
  const u64 = (offset: number): number => Number(bytes.readBigUInt64LE(offset))
  const names = u64(headerOf(bytes.readUInt16LE(0x3e)) + 0x18)
  for (let index = 0; index < entries; index++) {
    const header = headerOf(index)
    const name = names + bytes.readUInt32LE(header)
    if (bytes.toString('latin1', name, bytes.indexOf(0, name)) !== '.text') continue
    const offset = u64(header + 0x18)
    return { address: u64(header + 0x10), bytes: new Uint8Array(bytes.subarray(offset, offset + u64(header + 0x20))) }
  }
  return undefined
}
