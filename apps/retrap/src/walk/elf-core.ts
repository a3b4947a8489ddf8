/**
 * ELF core files with guest-physical memory: QEMU's dump-guest-memory, kdump's vmcore.
 *
 * Source: System V ABI, "Program Header". The notes' layout is that of dumps which QEMU has written.
 */
import { CliError } from '../errors.ts'

/** A run of guest-physical memory that a file holds. */
export interface DumpRange {
  readonly gpa: number
  readonly bytes: number
  /** Where the range is in the file. */
  readonly offset: number
}

/** Control registers of a CPU, as QEMU's note has them. */
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
const PT_LOAD = 1
const PT_NOTE = 4
/** Of an ELF header: the count of program headers is in the first section header instead. */
const PN_XNUM = 0xffff
const MOST_NOTE_BYTES = 1 << 24
/** QEMUCPUState: version, size, 18 general registers, 10 segments of 24 bytes, then CR0 to CR4. */
const QEMU_CR0 = 8 + 18 * 8 + 10 * 24
const QEMU_STATE_BYTES = QEMU_CR0 + 5 * 8

export function isElfCore(head: DataView): boolean {
  return head.byteLength >= 52 && head.getUint32(0) === 0x7f45_4c46 && head.getUint16(16, true) === ET_CORE
}

/** @throws CliError `ERR_INPUT` */
export function readElfCore(read: ReadFile): { ranges: DumpRange[]; cpus: DumpedCpu[] } {
  const wide = read(4, 1).getUint8(0) === 2
  const head = read(0, wide ? 64 : 52)
  if (head.byteLength < (wide ? 64 : 52)) throw broken('its header is cut off')
  const machine = head.getUint16(18, true)
  if (head.getUint8(5) !== 1 || ![EM_X86_64, EM_386, EM_AARCH64].includes(machine)) {
    throw broken('it is not of an x86 or Arm machine')
  }
  const word = (view: DataView, at: number): number =>
    wide ? Number(view.getBigUint64(at, true)) : view.getUint32(at, true)
  const tableAt = word(head, wide ? 32 : 28)
  const entryBytes = head.getUint16(wide ? 54 : 42, true)
  let count = head.getUint16(wide ? 56 : 44, true)
  if (count === PN_XNUM) count = read(word(head, wide ? 40 : 32) + (wide ? 44 : 28), 4).getUint32(0, true)
  if (entryBytes < (wide ? 56 : 32)) throw broken('its program headers are too short')

  const ranges: DumpRange[] = []
  const cpus: DumpedCpu[] = []
  for (let i = 0; i < count; i++) {
    const entry = read(tableAt + i * entryBytes, entryBytes)
    if (entry.byteLength < entryBytes) throw broken('its program headers are cut off')
    const type = entry.getUint32(0, true)
    const offset = word(entry, wide ? 8 : 4)
    const bytes = word(entry, wide ? 32 : 16)
    if (type === PT_LOAD && bytes > 0) ranges.push({ gpa: word(entry, wide ? 24 : 12), bytes, offset })
    // Those of Arm have no registers of translation.
    if (type === PT_NOTE && machine !== EM_AARCH64)
      cpus.push(...qemuCpus(read(offset, Math.min(bytes, MOST_NOTE_BYTES)), machine === EM_X86_64))
  }
  if (ranges.length === 0) throw broken('it has no memory in it')
  return { ranges, cpus }
}

/** The notes named QEMU, one a CPU. */
function qemuCpus(notes: DataView, long: boolean): DumpedCpu[] {
  const cpus: DumpedCpu[] = []
  const padded = (bytes: number): number => (bytes + 3) & ~3
  for (let at = 0; at + 12 <= notes.byteLength;) {
    const nameBytes = notes.getUint32(at, true)
    const dataBytes = notes.getUint32(at + 4, true)
    const data = at + 12 + padded(nameBytes)
    const end = data + padded(dataBytes)
    if (end > notes.byteLength) break
    const isQemu = nameBytes === 5 && notes.getUint32(at + 12) === 0x5145_4d55
    if (isQemu && dataBytes >= QEMU_STATE_BYTES && notes.getUint32(data + 4, true) >= QEMU_STATE_BYTES) {
      const register = (n: number): bigint => notes.getBigUint64(data + QEMU_CR0 + 8 * n, true)
      cpus.push({ cr0: register(0), cr3: register(3), cr4: register(4), long })
    }
    at = end
  }
  return cpus
}

function broken(why: string): CliError {
  return new CliError('ERR_INPUT', `this ELF core file cannot be used: ${why}`)
}
