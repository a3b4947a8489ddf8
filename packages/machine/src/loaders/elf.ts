import { hex, LoaderError } from './errors.ts'
import { requireRam, writeZeroes, type GuestMemoryWriter } from './guest-memory.ts'

/** A program header, both classes alike. */
export interface ElfSegment {
  readonly type: number
  readonly offset: number
  readonly virtualAddress: number
  readonly physicalAddress: number
  readonly fileBytes: number
  readonly memoryBytes: number
}

/** The parts of an ELF executable that a boot loader needs. */
export interface ElfImage {
  readonly bits: 32 | 64
  readonly entry: number
  readonly segments: readonly ElfSegment[]
}

const EI_CLASS = 4
const EI_DATA = 5
const ELFCLASS32 = 1
const ELFCLASS64 = 2
const ELFDATA2LSB = 1
const E_MACHINE = 18
/** A value of `e_machine`. */
export interface ElfMachine {
  readonly value: number
  readonly name: string
}

const X86_MACHINES: readonly ElfMachine[] = [
  { value: 3, name: 'i386' },
  { value: 62, name: 'x86-64' },
]
const EHDR32_BYTES = 52
const EHDR64_BYTES = 64
const PHDR32_BYTES = 32
const PHDR64_BYTES = 56
/** Segment to load. */
export const PT_LOAD = 1
/** Notes. */
export const PT_NOTE = 4

/** Whether an image begins as ELF files do. */
export const isElf = (image: Uint8Array): boolean =>
  image.length >= 16 && image[0] === 0x7f && image[1] === 0x45 && image[2] === 0x4c && image[3] === 0x46

/**
 * Reads the headers of an ELF executable.
 *
 * @param machines - processors that it may be for; default i386 and x86-64
 * @throws LoaderError naming the header field
 *
 * Source: System V ABI, chapter 4, "Object Files", and chapter 5, "Program
 * Loading".
 */
export function parseElf(image: Uint8Array, machines: readonly ElfMachine[] = X86_MACHINES): ElfImage {
  const elfClass = image[EI_CLASS]
  if (elfClass !== ELFCLASS32 && elfClass !== ELFCLASS64)
    throw new LoaderError('ERR_FIELD', 'e_ident[EI_CLASS]', elfClass ?? 0, '1 (32-bit) or 2 (64-bit)')
  if (image[EI_DATA] !== ELFDATA2LSB)
    throw new LoaderError('ERR_FIELD', 'e_ident[EI_DATA]', image[EI_DATA] ?? 0, '1 (little-endian)')
  const wide = elfClass === ELFCLASS64
  const headerBytes = wide ? EHDR64_BYTES : EHDR32_BYTES
  if (image.length < headerBytes)
    throw new LoaderError('ERR_TRUNCATED', 'ELF header', `${image.length} bytes`, `${headerBytes}`)
  const view = new DataView(image.buffer, image.byteOffset, image.byteLength)
  const machine = view.getUint16(E_MACHINE, true)
  if (!machines.some(({ value }) => value === machine))
    throw new LoaderError(
      'ERR_FIELD',
      'e_machine',
      machine,
      machines.map(({ value, name }) => `${hex(value)} (${name})`).join(' or '),
    )
  const word = (at: number): number => (wide ? Number(view.getBigUint64(at, true)) : view.getUint32(at, true))
  const entry = word(24)
  const phoff = word(wide ? 32 : 28)
  const phentsize = view.getUint16(wide ? 54 : 42, true)
  const phnum = view.getUint16(wide ? 56 : 44, true)
  const least = wide ? PHDR64_BYTES : PHDR32_BYTES
  if (phnum === 0) throw new LoaderError('ERR_FIELD', 'e_phnum', 0, 'at least one program header')
  if (phentsize < least) throw new LoaderError('ERR_FIELD', 'e_phentsize', phentsize, `at least ${hex(least)}`)
  if (phoff + phnum * phentsize > image.length)
    throw new LoaderError(
      'ERR_TRUNCATED',
      'e_phoff',
      phoff,
      `${phnum} program headers inside the file's ${image.length} bytes`,
    )
  const segments: ElfSegment[] = []
  for (let i = 0; i < phnum; i++) {
    const at = phoff + i * phentsize
    const segment: ElfSegment = wide
      ? {
          type: view.getUint32(at, true),
          offset: word(at + 8),
          virtualAddress: word(at + 16),
          physicalAddress: word(at + 24),
          fileBytes: word(at + 32),
          memoryBytes: word(at + 40),
        }
      : {
          type: view.getUint32(at, true),
          offset: word(at + 4),
          virtualAddress: word(at + 8),
          physicalAddress: word(at + 12),
          fileBytes: word(at + 16),
          memoryBytes: word(at + 20),
        }
    if ((segment.type === PT_LOAD || segment.type === PT_NOTE) && segment.offset + segment.fileBytes > image.length)
      throw new LoaderError(
        'ERR_TRUNCATED',
        `p_offset of program header ${i}`,
        `${segment.fileBytes} bytes at ${hex(segment.offset)}`,
        `bytes inside the file, which ends at ${hex(image.length)}; it is truncated`,
      )
    if (segment.type === PT_LOAD && segment.fileBytes > segment.memoryBytes)
      throw new LoaderError(
        'ERR_FIELD',
        `p_filesz of program header ${i}`,
        segment.fileBytes,
        `at most p_memsz, ${hex(segment.memoryBytes)}`,
      )
    segments.push(segment)
  }
  return { bits: wide ? 64 : 32, entry, segments }
}

/** The range that {@link loadElf} filled. */
export interface LoadedRange {
  readonly start: number
  readonly end: number
}

/**
 * Copies the loadable segments to their physical addresses.
 *
 * @throws LoaderError `ERR_NO_ROOM` where one does not lie in RAM
 */
export function loadElf(memory: GuestMemoryWriter, image: Uint8Array, elf: ElfImage): LoadedRange {
  let start = Infinity
  let end = 0
  const load = elf.segments.filter((segment) => segment.type === PT_LOAD && segment.memoryBytes > 0)
  if (load.length === 0) throw new LoaderError('ERR_FIELD', 'p_type', 'no PT_LOAD', 'at least one segment to load')
  for (const segment of load) {
    requireRam(memory, `p_paddr of an ELF segment`, segment.physicalAddress, segment.memoryBytes)
    start = Math.min(start, segment.physicalAddress)
    end = Math.max(end, segment.physicalAddress + segment.memoryBytes)
  }
  for (const { physicalAddress, offset, fileBytes, memoryBytes } of load) {
    memory.write(physicalAddress, image.subarray(offset, offset + fileBytes))
    writeZeroes(memory, physicalAddress + fileBytes, memoryBytes - fileBytes)
  }
  return { start, end }
}

/** The descriptor of the note `name` of type `type`, or null. */
export function findNote(image: Uint8Array, elf: ElfImage, name: string, type: number): Uint8Array | null {
  const view = new DataView(image.buffer, image.byteOffset, image.byteLength)
  for (const segment of elf.segments) {
    if (segment.type !== PT_NOTE) continue
    const end = segment.offset + segment.fileBytes
    for (let at = segment.offset; at + 12 <= end;) {
      const nameBytes = view.getUint32(at, true)
      const descBytes = view.getUint32(at + 4, true)
      const noteType = view.getUint32(at + 8, true)
      const nameAt = at + 12
      // Names and descriptors are padded to four bytes in both classes, as every linker does.
      const descAt = nameAt + 4 * Math.ceil(nameBytes / 4)
      const next = descAt + 4 * Math.ceil(descBytes / 4)
      if (descAt + descBytes > end) break
      const matches = nameBytes === name.length + 1 && [...name].every((c, i) => image[nameAt + i] === c.charCodeAt(0))
      if (matches && noteType === type) return image.subarray(descAt, descAt + descBytes)
      at = next
    }
  }
  return null
}
