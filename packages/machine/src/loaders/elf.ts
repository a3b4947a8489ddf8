import {
  elfHeader,
  elfNotes,
  type ElfSegment,
  elfSegment,
  elfSizes,
  isElf as isAnyElf,
  PT_LOAD,
  PT_NOTE,
} from '@retrap/basics'
import { hex, LoaderError } from './errors.ts'
import { requireRam, writeZeroes, type GuestMemoryWriter } from './guest-memory.ts'

/** A program header, with its address as a number. */
type LoadedSegment = Omit<ElfSegment, 'virtualAddress'> & { readonly virtualAddress: number }

/** The parts of an ELF executable that a boot loader needs. */
export interface ElfImage {
  readonly entry: number
  readonly segments: readonly LoadedSegment[]
}

const EI_CLASS = 4
const EI_DATA = 5
const ELFCLASS32 = 1
const ELFCLASS64 = 2
const ELFDATA2LSB = 1
/** A value of `e_machine`. */
export interface ElfMachine {
  readonly value: number
  readonly name: string
}

const X86_MACHINES: readonly ElfMachine[] = [
  { value: 3, name: 'i386' },
  { value: 62, name: 'x86-64' },
]

/** Whether an image begins as ELF files do. */
export const isElf = (image: Uint8Array): boolean => image.length >= 16 && isAnyElf(image)

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
  const { header: headerBytes, segment: least } = elfSizes(elfClass === ELFCLASS64)
  if (image.length < headerBytes)
    throw new LoaderError('ERR_TRUNCATED', 'ELF header', `${image.length} bytes`, `${headerBytes}`)
  const view = new DataView(image.buffer, image.byteOffset, image.byteLength)
  const { wide, machine, entry, segments: table } = elfHeader(view)
  if (!machines.some(({ value }) => value === machine))
    throw new LoaderError(
      'ERR_FIELD',
      'e_machine',
      machine,
      machines.map(({ value, name }) => `${hex(value)} (${name})`).join(' or '),
    )
  const { at: phoff, entryBytes: phentsize, count: phnum } = table
  if (phnum === 0) throw new LoaderError('ERR_FIELD', 'e_phnum', 0, 'at least one program header')
  if (phentsize < least) throw new LoaderError('ERR_FIELD', 'e_phentsize', phentsize, `at least ${hex(least)}`)
  if (phoff + phnum * phentsize > image.length)
    throw new LoaderError(
      'ERR_TRUNCATED',
      'e_phoff',
      phoff,
      `${phnum} program headers inside the file's ${image.length} bytes`,
    )
  const segments: LoadedSegment[] = []
  for (let i = 0; i < phnum; i++) {
    const header = elfSegment(view, phoff + i * phentsize, wide)
    const segment: LoadedSegment = { ...header, virtualAddress: Number(header.virtualAddress) }
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
  return { entry: Number(entry), segments }
}

/** The range that {@link loadElf} filled. */
export interface LoadedRange {
  readonly start: number
  readonly end: number
}

/**
 * Copies the loadable segments to their physical addresses.
 *
 * @throws LoaderError `ERR_NO_ROOM` for a segment outside RAM
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
  for (const { type: segmentType, offset, fileBytes } of elf.segments) {
    if (segmentType !== PT_NOTE) continue
    for (const data of elfNotes(image.subarray(offset, offset + fileBytes), name, type)) return data
  }
  return null
}
