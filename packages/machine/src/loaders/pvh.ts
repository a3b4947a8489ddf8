import { PAGE_BYTES } from '@retrap/memory'
import { BootArea, StructureWriter } from './boot-area.ts'
import { findNote, loadElf, parseElf } from './elf.ts'
import { LoaderError } from './errors.ts'
import { commandLineBytes, ramFrom, type GuestMemoryWriter } from './guest-memory.ts'
import { flatProtectedState } from './guest.ts'
import type { LoadedKernel } from './linux.ts'

const XEN_ELFNOTE_PHYS32_ENTRY = 18
const XEN_HVM_START_MAGIC_VALUE = 0x336e_c578
const START_INFO_VERSION = 1
const COMMAND_LINE_LIMIT = 4095
const CODE = 0x08
const DATA = 0x10

/** The images for {@link loadPvh} and `loadMultiboot`. */
export interface BootImages {
  /** The ELF image. */
  readonly kernel: Uint8Array
  /** Further files, in the order in which the kernel finds them. */
  readonly modules?: readonly BootModule[] | undefined
  /** The kernel’s command line, passed as it is given; default empty. */
  readonly commandLine?: string | undefined
  /** GPA of the ACPI RSDP, or 0. */
  readonly rsdpAddress?: number | undefined
}

/** A file that the boot protocol hands to the kernel. */
export interface BootModule {
  /** The file. */
  readonly bytes: Uint8Array
  /** The text that the kernel finds with the file; default empty. */
  readonly commandLine?: string | undefined
}

/** Whether an ELF image has the PVH entry note. */
export function hasPvhEntry(kernel: Uint8Array): boolean {
  return findNote(kernel, parseElf(kernel), 'Xen', XEN_ELFNOTE_PHYS32_ENTRY) !== null
}

/**
 * Loads an ELF kernel by the PVH boot protocol: its note gives a 32-bit
 * physical entry, EBX points to `hvm_start_info`.
 *
 * @throws LoaderError naming the ELF field or the note
 *
 * Source: Xen, docs/misc/pvh.pandoc, "x86/PVH direct boot ABI", and
 * xen/include/public/arch-x86/hvm/start_info.h.
 */
export function loadPvh(memory: GuestMemoryWriter, images: BootImages): LoadedKernel {
  const { kernel, modules = [] } = images
  const elf = parseElf(kernel)
  const note = findNote(kernel, elf, 'Xen', XEN_ELFNOTE_PHYS32_ENTRY)
  if (note === null)
    throw new LoaderError('ERR_FIELD', 'XEN_ELFNOTE_PHYS32_ENTRY', 'no such note', 'an ELF note of name Xen, type 18')
  if (note.length !== 4 && note.length !== 8)
    throw new LoaderError('ERR_FIELD', 'XEN_ELFNOTE_PHYS32_ENTRY', `${note.length} bytes`, '4 or 8 bytes')
  const view = new DataView(note.buffer, note.byteOffset, note.byteLength)
  const entry = note.length === 4 ? view.getUint32(0, true) : Number(view.getBigUint64(0, true))
  if (entry >= 2 ** 32 || ramFrom(memory, entry) === 0)
    throw new LoaderError('ERR_FIELD', 'XEN_ELFNOTE_PHYS32_ENTRY', entry, 'an address in RAM below 4 GiB')
  const commandLine = commandLineBytes(images.commandLine ?? '', COMMAND_LINE_LIMIT)
  const { start, end } = loadElf(memory, kernel, elf)

  const area = new BootArea(memory, end)
  const placed = modules.map((module, i) => ({
    gpa: area.place(`module ${i}`, module.bytes, PAGE_BYTES),
    bytes: module.bytes.length,
    commandLine: module.commandLine,
  }))
  const list = new StructureWriter()
  for (const module of placed) {
    const text =
      module.commandLine === undefined
        ? 0
        : area.place('module command line', commandLineBytes(module.commandLine, COMMAND_LINE_LIMIT))
    list.u64(module.gpa, module.bytes, text, 0)
  }
  const modlist = placed.length === 0 ? 0 : area.place('module list', list.finish())
  const memmap = new StructureWriter()
  for (const range of memory.e820) memmap.u64(range.gpa, range.bytes).u32(range.type, 0)
  const memmapAddress = area.place('memory map', memmap.finish())
  const cmdline = area.place('command line', commandLine)
  const startInfo = new StructureWriter()
    .u32(XEN_HVM_START_MAGIC_VALUE, START_INFO_VERSION, 0, placed.length)
    .u64(modlist, cmdline, images.rsdpAddress ?? 0, memmapAddress)
    .u32(memory.e820.length, 0)
  const rbx = area.place('hvm_start_info', startInfo.finish())
  return {
    protocol: 'pvh',
    state: flatProtectedState(CODE, DATA, { rip: entry, rbx }),
    kernelStart: start,
    kernelEnd: end,
    initrdStart: placed[0]?.gpa ?? null,
  }
}
