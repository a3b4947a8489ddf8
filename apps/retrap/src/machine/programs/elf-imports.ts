/**
 * Names of an ELF file's imports from shared libraries: the slots that the dynamic linker fills in, and the stubs of the
 * procedure linkage table that jump through them. Source: System V ABI, "Procedure Linkage Table".
 */
import type { ElfSection, NamedPlace } from '@retrap/symbols'
import type { FileReader } from './program.ts'

const SHT_RELA = 4
const SHT_REL = 9
/** A section without content in the file. */
const SHT_NOBITS = 8
/** These two have the same numbers on i386 and x86-64. */
const R_GLOB_DAT = 6
const R_JUMP_SLOT = 7

/**
 * Symbols such as `puts@got` and `puts@plt`.
 *
 * @param is64 - class of the file
 * @param isRipRelative - whether `FF 25` has a displacement from RIP rather than an address
 */
export function importedSymbols(
  file: FileReader,
  is64: boolean,
  isRipRelative: boolean,
  headers: readonly ElfSection[],
): NamedPlace[] {
  const slots = new Map<bigint, string>()
  for (const header of headers) {
    if (isRelocations(header.type)) readSlots(file, is64, header, headers, slots)
  }
  const symbols: NamedPlace[] = []
  for (const [address, name] of slots) {
    symbols.push({ name: `${name}@got`, address, size: is64 ? 8n : 4n, rank: 0 })
  }
  for (const header of headers) {
    if (!isLinkage(header.name, header.type) || header.size === 0) continue
    const entrySize = header.entrySize === 0 ? 16 : header.entrySize
    const code = file.slice(header.offset, header.size)
    const view = new DataView(code.buffer, code.byteOffset, code.byteLength)
    for (let at = 0; at + 6 <= code.length; at++) {
      // JMP through memory. By chance these bytes may be part of a number: then there is hardly a slot.
      if (code[at] !== 0xff || code[at + 1] !== 0x25) continue
      const target = isRipRelative
        ? header.address + BigInt(at + 6 + view.getInt32(at + 2, true))
        : BigInt(view.getUint32(at + 2, true))
      const name = slots.get(target)
      if (name === undefined) continue
      const address = header.address + BigInt(at - (at % entrySize))
      symbols.push({ name: `${name}@plt`, address, size: BigInt(entrySize), rank: 0 })
    }
  }
  return symbols
}

const isRelocations = (type: number): boolean => type === SHT_RELA || type === SHT_REL

/** Whether a section is part of the procedure linkage table. */
const isLinkage = (name: string, type: number): boolean => name.startsWith('.plt') && type !== SHT_NOBITS

/** Whether `importedSymbols` reads a whole section of this kind. */
export const isImportTable = (name: string, type: number): boolean => isRelocations(type) || isLinkage(name, type)

function readSlots(
  file: FileReader,
  is64: boolean,
  { type, offset, size, link }: ElfSection,
  headers: readonly ElfSection[],
  slots: Map<bigint, string>,
): void {
  const table = headers[link]
  const names = table === undefined ? undefined : headers[table.link]
  if (table === undefined || names === undefined) return
  const entrySize = (is64 ? 16 : 8) + (type === SHT_RELA ? (is64 ? 8 : 4) : 0)
  for (let at = offset; at + entrySize <= offset + size; at += entrySize) {
    const kind = is64 ? file.u32(at + 8) : file.u8(at + 4)
    if (kind !== R_GLOB_DAT && kind !== R_JUMP_SLOT) continue
    const index = is64 ? file.u32(at + 12) : file.u32(at + 4) >>> 8
    const name = file.text(names.offset + file.u32(table.offset + index * (is64 ? 24 : 16)))
    if (name !== '') slots.set(is64 ? file.u64(at) : BigInt(file.u32(at)), name)
  }
}
