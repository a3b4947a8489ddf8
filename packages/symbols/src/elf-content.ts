/** Contents of sections, unpacked where they are compressed. Source: System V ABI, "Section Compression". */
import { decompress } from '@retrap/basics'
import type { ElfSection, ElfTables } from './elf-tables.ts'
import { SymbolsError } from './errors.ts'
import { type Asking, damaged, type FileSource, readParts } from './file-source.ts'

const SHT_NOBITS = 8
const SHF_COMPRESSED = 0x800n
const ELFCOMPRESS_ZLIB = 1
/** No section of a kernel is larger. */
const MOST_BYTES = 0x4000_0000

/**
 * Reads a section of an ELF file by its name.
 *
 * @returns undefined where the file does not have it, or has only its header
 * @throws SymbolsError `ERR_DAMAGED`, or `ERR_UNSUPPORTED` for another compression than zlib
 */
export async function readSection(
  source: FileSource,
  tables: ElfTables,
  name: string,
): Promise<Uint8Array | undefined> {
  const section = tables.sections.find((each) => each.name === name && each.type !== SHT_NOBITS)
  if (section === undefined) return undefined
  const { offset, size } = section
  const bytes = await readParts(source, whole(offset, size))
  return (section.flags & SHF_COMPRESSED) === 0n ? bytes : unpack(bytes, section, tables.header.wide)
}

function* whole(offset: number, length: number): Asking<Uint8Array> {
  return yield { offset, length }
}

async function unpack(bytes: Uint8Array, { name }: ElfSection, wide: boolean): Promise<Uint8Array> {
  const headerBytes = wide ? 24 : 12
  if (bytes.length < headerBytes) throw damaged(`${name} is compressed and has no header`)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const type = view.getUint32(0, true)
  const size = wide ? Number(view.getBigUint64(8, true)) : view.getUint32(4, true)
  if (type !== ELFCOMPRESS_ZLIB) {
    throw unsupported(
      `${name} is compressed by method ${type}; objcopy --compress-debug-sections=zlib makes it readable`,
    )
  }
  if (size > MOST_BYTES) throw damaged(`${name} has ${size} bytes unpacked; at most ${MOST_BYTES} are read`)
  const found = await decompress('deflate', bytes.subarray(headerBytes), size)
  if (found === undefined) throw unsupported(`${name} is compressed, and this host cannot decompress`)
  if (found.length !== size) throw damaged(`${name} has ${found.length} bytes unpacked, and its header says ${size}`)
  return found
}

const unsupported = (what: string): SymbolsError =>
  new SymbolsError('ERR_UNSUPPORTED', 'this ELF file cannot be read', what)
