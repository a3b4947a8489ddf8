import { KIB, PT_LOAD } from '@retrap/basics'
import { PAGE_BYTES } from '@retrap/memory'
import { BootArea, StructureWriter } from './boot-area.ts'
import { isElf, loadElf, parseElf, type LoadedRange } from './elf.ts'
import { hex, LoaderError } from './errors.ts'
import { commandLineBytes, ramFrom, requireRam, writeZeroes, type GuestMemoryWriter } from './guest-memory.ts'
import { flatProtectedState } from './guest.ts'
import type { LoadedKernel } from './linux.ts'
import type { BootImages } from './pvh.ts'

const SEARCH_BYTES = 8192
const HEADER_MAGIC = 0x1bad_b002
const BOOTLOADER_MAGIC = 0x2bad_b002
// Header flags. Bits 0 to 15 are demands that a loader has to meet; from 16 on they are information.
const PAGE_ALIGN = 1 << 0
const MEMORY_INFO = 1 << 1
const VIDEO_MODE = 1 << 2
const DEMANDS = 0xffff
const ADDRESS_FIELDS = 1 << 16
// Flags of the boot information.
const INFO_MEMORY = 1 << 0
const INFO_CMDLINE = 1 << 2
const INFO_MODS = 1 << 3
const INFO_MMAP = 1 << 6
const INFO_LOADER_NAME = 1 << 9
const INFO_BYTES = 88
const MMAP_ENTRY_BYTES = 20
const MODULE_COMMAND_LINE_LIMIT = 4095
const CODE = 0x08
const DATA = 0x10
const LOADER_NAME = 'retrap'

/** GPA-independent place of a multiboot header. */
interface MultibootHeader {
  readonly offset: number
  readonly flags: number
}

/** Offset and flags of the multiboot 1 header, or null if the image has none. */
function findHeader(kernel: Uint8Array): MultibootHeader | null {
  const view = new DataView(kernel.buffer, kernel.byteOffset, kernel.byteLength)
  // "Contained completely within the first 8192 bytes, and longword aligned."
  const end = Math.min(kernel.length, SEARCH_BYTES) - 12
  for (let offset = 0; offset <= end; offset += 4) {
    if (view.getUint32(offset, true) !== HEADER_MAGIC) continue
    const flags = view.getUint32(offset + 4, true)
    const sum = HEADER_MAGIC + flags + view.getUint32(offset + 8, true)
    if (sum % 2 ** 32 === 0) return { offset, flags }
  }
  return null
}

/** Whether an image has a multiboot 1 header whose checksum is right. */
export const isMultiboot = (kernel: Uint8Array): boolean => findHeader(kernel) !== null

/**
 * Loads a kernel by the multiboot 1 protocol, from its ELF segments or from
 * the header's address fields. A wish for a video mode (flag 2) is not met:
 * there is no display, and the boot information says so by omission.
 *
 * @throws LoaderError naming the header field
 *
 * Source: Multiboot Specification 0.6.96.
 */
export function loadMultiboot(memory: GuestMemoryWriter, images: BootImages): LoadedKernel {
  const { kernel, modules = [] } = images
  const header = findHeader(kernel)
  if (header === null)
    throw new LoaderError(
      'ERR_FIELD',
      'magic',
      'not found',
      `${hex(HEADER_MAGIC)} with a valid checksum in the first ${SEARCH_BYTES} bytes`,
    )
  const unknown = header.flags & DEMANDS & ~(PAGE_ALIGN | MEMORY_INFO | VIDEO_MODE)
  if (unknown !== 0)
    throw new LoaderError('ERR_FIELD', 'flags', header.flags, `no demands but bits 0 to 2; ${hex(unknown)} is unknown`)
  const commandLine = commandLineBytes(images.commandLine ?? '', MODULE_COMMAND_LINE_LIMIT)
  const loaded =
    (header.flags & ADDRESS_FIELDS) === 0 ? loadSegments(memory, kernel) : loadAddressed(memory, kernel, header.offset)

  const area = new BootArea(memory, Math.max(loaded.end, 0x10_0000))
  const placed = modules.map((module, i) => ({
    start: area.place(`module ${i}`, module.bytes, PAGE_BYTES),
    bytes: module.bytes.length,
    commandLine: module.commandLine ?? '',
  }))
  const list = new StructureWriter()
  for (const module of placed) {
    const text = area.place('module string', commandLineBytes(module.commandLine, MODULE_COMMAND_LINE_LIMIT))
    list.u32(module.start, module.start + module.bytes, text, 0)
  }
  const modsAddress = placed.length === 0 ? 0 : area.place('module list', list.finish())
  const mmap = new StructureWriter()
  for (const range of memory.e820) mmap.u32(MMAP_ENTRY_BYTES).u64(range.gpa, range.bytes).u32(range.type)
  const mmapAddress = area.place('memory map', mmap.finish())
  const cmdline = area.place('command line', commandLine)
  const name = area.place('loader name', commandLineBytes(LOADER_NAME, LOADER_NAME.length))
  const info = new StructureWriter()
    .u32(INFO_MEMORY | INFO_CMDLINE | INFO_MODS | INFO_MMAP | INFO_LOADER_NAME)
    .u32(Math.floor(ramFrom(memory, 0) / KIB), Math.floor(ramFrom(memory, 0x10_0000) / KIB))
    .u32(0, cmdline, placed.length, modsAddress)
    // Symbol table: none.
    .u64(0, 0)
    .u32(mmap.length, mmapAddress)
    // No drives, and no configuration table.
    .u32(0, 0, 0, name)
  const rbx = area.place('multiboot information', info.finish(INFO_BYTES))
  return {
    protocol: 'multiboot',
    state: flatProtectedState(CODE, DATA, { rip: loaded.entry, rax: BOOTLOADER_MAGIC, rbx }),
    kernelStart: loaded.start,
    kernelEnd: loaded.end,
    initrdStart: placed[0]?.start ?? null,
  }
}

interface LoadedImage extends LoadedRange {
  readonly entry: number
}

function loadSegments(memory: GuestMemoryWriter, kernel: Uint8Array): LoadedImage {
  if (!isElf(kernel))
    throw new LoaderError('ERR_FIELD', 'flags', 'bit 16 clear', 'bit 16 (address fields) in an image that is not ELF')
  const elf = parseElf(kernel)
  const range = loadElf(memory, kernel, elf)
  // The entry is physical by the specification; kernels linked high give a virtual one, which their segments translate.
  const loads = elf.segments.filter((s) => s.type === PT_LOAD)
  const within = (base: number, bytes: number): boolean => elf.entry >= base && elf.entry < base + bytes
  let { entry } = elf
  if (!loads.some((s) => within(s.physicalAddress, s.memoryBytes))) {
    const home = loads.find((s) => within(s.virtualAddress, s.memoryBytes))
    if (home === undefined)
      throw new LoaderError('ERR_FIELD', 'e_entry', elf.entry, 'an address inside a PT_LOAD segment')
    entry = elf.entry - home.virtualAddress + home.physicalAddress
  }
  if (entry >= 2 ** 32) throw new LoaderError('ERR_FIELD', 'e_entry', entry, 'an address below 4 GiB')
  return { ...range, entry }
}

function loadAddressed(memory: GuestMemoryWriter, kernel: Uint8Array, offset: number): LoadedImage {
  if (kernel.length < offset + 32)
    throw new LoaderError(
      'ERR_TRUNCATED',
      'header_addr',
      `${kernel.length} bytes`,
      `address fields up to ${hex(offset + 32)}`,
    )
  const view = new DataView(kernel.buffer, kernel.byteOffset, kernel.byteLength)
  const [headerAddr, loadAddr, loadEndAddr, bssEndAddr, entry] = [12, 16, 20, 24, 28].map((at) =>
    view.getUint32(offset + at, true),
  ) as [number, number, number, number, number]
  if (headerAddr < loadAddr)
    throw new LoaderError('ERR_FIELD', 'load_addr', loadAddr, `at most header_addr, ${hex(headerAddr)}`)
  const first = offset - (headerAddr - loadAddr)
  if (first < 0)
    throw new LoaderError(
      'ERR_FIELD',
      'header_addr',
      headerAddr,
      `at most ${hex(loadAddr + offset)}: the header is ${hex(offset)} bytes into the file`,
    )
  // Zero means: to the end of the file.
  const bytes = loadEndAddr === 0 ? kernel.length - first : loadEndAddr - loadAddr
  if (bytes <= 0) throw new LoaderError('ERR_FIELD', 'load_end_addr', loadEndAddr, `above load_addr, ${hex(loadAddr)}`)
  if (first + bytes > kernel.length)
    throw new LoaderError(
      'ERR_TRUNCATED',
      'load_end_addr',
      loadEndAddr,
      `at most ${hex(loadAddr + kernel.length - first)}: the file ends there; it is truncated`,
    )
  const end = Math.max(loadAddr + bytes, bssEndAddr)
  requireRam(memory, 'load_addr', loadAddr, end - loadAddr)
  if (entry < loadAddr || entry >= end)
    throw new LoaderError('ERR_FIELD', 'entry_addr', entry, `an address from ${hex(loadAddr)} to ${hex(end - 1)}`)
  memory.write(loadAddr, kernel.subarray(first, first + bytes))
  writeZeroes(memory, loadAddr + bytes, end - loadAddr - bytes)
  return { start: loadAddr, end, entry }
}
