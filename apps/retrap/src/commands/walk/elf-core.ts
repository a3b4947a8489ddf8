/**
 * ELF core files with guest-physical memory: QEMU's dump-guest-memory, kdump's vmcore.
 *
 * Source: System V ABI, "Program Header". The notes' layout is that of dumps which QEMU has written.
 */
import { elfHeader, elfNotes, elfSegment, elfSizes, PT_LOAD, PT_NOTE } from '@retrap/basics'
import { CliError } from '@retrap/linux-guest/errors'

/** A run of guest-physical memory that a file holds. */
export interface DumpRange {
  readonly gpa: number
  readonly bytes: number
  /** Offset of the range in the file. */
  readonly offset: number
}

/** Control registers of a CPU, from QEMU's note. */
export interface DumpedCpu {
  readonly cr0: bigint
  readonly cr3: bigint
  readonly cr4: bigint
  /** The dump is of a machine in long mode. */
  readonly long: boolean
}

type ReadFile = (offset: number, bytes: number) => DataView

const ET_CORE = 4
const EM_X86_64 = 62
const EM_386 = 3
const EM_AARCH64 = 183
/** Count in an ELF header: the count of program headers is in the first section header instead, as sh_info. */
const PN_XNUM = 0xffff
const MOST_NOTE_BYTES = 1 << 24
/** The type of the notes named QEMU. */
const QEMU_NOTE = 0
/** QEMUCPUState: version, size, 18 general registers, 10 segments of 24 bytes, then CR0 to CR4. */
const QEMU_CR0 = 8 + 18 * 8 + 10 * 24
const QEMU_STATE_BYTES = QEMU_CR0 + 5 * 8

export function isElfCore(head: DataView): boolean {
  return head.byteLength >= 52 && head.getUint32(0) === 0x7f45_4c46 && head.getUint16(16, true) === ET_CORE
}

/** @throws CliError `ERR_INPUT` */
export function readElfCore(read: ReadFile): { ranges: DumpRange[]; cpus: DumpedCpu[] } {
  const wide = read(4, 1).getUint8(0) === 2
  const sizes = elfSizes(wide)
  const head = read(0, sizes.header)
  if (head.byteLength < sizes.header) throw broken('its header is cut off')
  const { machine, segments, sections } = elfHeader(head)
  if (head.getUint8(5) !== 1 || ![EM_X86_64, EM_386, EM_AARCH64].includes(machine)) {
    throw broken('it is not of an x86 or Arm machine')
  }
  let { count } = segments
  if (count === PN_XNUM) count = read(sections.at + (wide ? 44 : 28), 4).getUint32(0, true)
  if (segments.entryBytes < sizes.segment) throw broken('its program headers are too short')

  const ranges: DumpRange[] = []
  const cpus: DumpedCpu[] = []
  for (let i = 0; i < count; i++) {
    const entry = read(segments.at + i * segments.entryBytes, segments.entryBytes)
    if (entry.byteLength < segments.entryBytes) throw broken('its program headers are cut off')
    const { type, offset, fileBytes: bytes, physicalAddress } = elfSegment(entry, 0, wide)
    if (type === PT_LOAD && bytes > 0) ranges.push({ gpa: physicalAddress, bytes, offset })
    // Notes of Arm have no registers of translation.
    if (type === PT_NOTE && machine !== EM_AARCH64)
      cpus.push(...qemuCpus(read(offset, Math.min(bytes, MOST_NOTE_BYTES)), machine === EM_X86_64))
  }
  if (ranges.length === 0) throw broken('it has no memory in it')
  return { ranges, cpus }
}

/** Reads the notes named QEMU, one per CPU. */
function qemuCpus({ buffer, byteOffset, byteLength }: DataView, long: boolean): DumpedCpu[] {
  const cpus: DumpedCpu[] = []
  for (const note of elfNotes(new Uint8Array(buffer, byteOffset, byteLength), 'QEMU', QEMU_NOTE)) {
    const state = new DataView(note.buffer, note.byteOffset, note.byteLength)
    if (note.length < QEMU_STATE_BYTES || state.getUint32(4, true) < QEMU_STATE_BYTES) continue
    const register = (n: number): bigint => state.getBigUint64(QEMU_CR0 + 8 * n, true)
    cpus.push({ cr0: register(0), cr3: register(3), cr4: register(4), long })
  }
  return cpus
}

function broken(why: string): CliError {
  return new CliError('ERR_INPUT', `this ELF core file cannot be used: ${why}`)
}
