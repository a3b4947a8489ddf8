/** Memory dumps as guest-physical memory: plain memory, ELF core files, LiME. */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { elfHeader, elfNotes, elfSegment, elfSizes, PT_LOAD, PT_NOTE } from '@retrap/basics'
import { attempt, CliError, troubleWith } from '@retrap/linux-guest/errors'
import type { TableReader } from '@retrap/paging'

const CHUNK = 4096
/** 128 MiB of tables are a guest with 64 GiB of mappings; beyond that chunks are read again. */
const MOST_CHUNKS = 32_768
const LIME_MAGIC = 0x4c69_4d45
const LIME_HEADER = 32

/** A dump on disk, read where a walk goes: it may be larger than this process's memory. */
export class MemoryDump implements TableReader {
  readonly path: string
  readonly format: 'plain memory' | 'ELF core' | 'LiME'
  /** Ranges in ascending order of addresses. */
  readonly ranges: readonly DumpRange[]
  /** Registers that the dump comes with. */
  readonly cpus: readonly DumpedCpu[]
  readonly #file: number
  readonly #chunks = new Map<number, DataView>()

  /**
   * @param base - guest-physical address of the first byte of plain memory
   * @param raw - whether to read the file as plain memory even if it begins like another format
   * @throws CliError `ERR_INPUT`
   */
  constructor(path: string, base: number, raw: boolean) {
    this.path = path
    this.#file = attempt(path, () => openSync(path, 'r'))
    try {
      const status = fstatSync(this.#file)
      if (status.isDirectory()) throw new CliError('ERR_INPUT', 'it is a directory')
      const head = this.#bytes(0, 64)
      if (!raw && isElfCore(head)) {
        const core = readElfCore((offset, bytes) => this.#bytes(offset, bytes))
        this.format = 'ELF core'
        for (const range of core.ranges) checkInside(range, status.size)
        this.ranges = sorted(core.ranges)
        this.cpus = core.cpus
      } else if (!raw && head.byteLength >= LIME_HEADER && head.getUint32(0, true) === LIME_MAGIC) {
        this.format = 'LiME'
        this.ranges = sorted(this.#readLime(status.size))
        this.cpus = []
      } else {
        this.format = 'plain memory'
        this.ranges = [{ gpa: base, bytes: status.size, offset: 0 }]
        this.cpus = []
      }
    } catch (error) {
      closeSync(this.#file)
      const why = error instanceof CliError ? error.message : troubleWith(error)
      throw new CliError('ERR_INPUT', `${path}: ${why}`)
    }
  }

  close(): void {
    closeSync(this.#file)
  }

  read32(gpa: number, into: Uint32Array): boolean {
    const at = this.#locate(gpa, 4)
    if (at < 0) return false
    into[0] = this.#chunk(at).getUint32(at % CHUNK, true)
    return true
  }

  read64(gpa: number, into: Uint32Array): boolean {
    const at = this.#locate(gpa, 8)
    if (at < 0) return false
    const chunk = this.#chunk(at)
    into[0] = chunk.getUint32(at % CHUNK, true)
    into[1] = chunk.getUint32((at % CHUNK) + 4, true)
    return true
  }

  /** Never called with an effect: probes do not modify tables. */
  compareExchange32(): boolean {
    return true
  }
  compareExchange64(): boolean {
    return true
  }

  /** Returns the offset of a guest-physical address in the file; −1 if no range contains all bytes. */
  #locate(gpa: number, bytes: number): number {
    let low = 0
    let high = this.ranges.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.ranges[middle]!.gpa <= gpa) low = middle + 1
      else high = middle
    }
    const range = this.ranges[low - 1]
    return range !== undefined && gpa + bytes <= range.gpa + range.bytes ? range.offset + (gpa - range.gpa) : -1
  }

  /** The chunk that holds an offset, and seven bytes more, for entries that a file has at odd offsets. */
  #chunk(offset: number): DataView {
    const number = Math.floor(offset / CHUNK)
    const known = this.#chunks.get(number)
    if (known !== undefined) return known
    const view = this.#bytes(number * CHUNK, CHUNK + 7)
    const whole = new DataView(new ArrayBuffer(CHUNK + 7))
    new Uint8Array(whole.buffer).set(new Uint8Array(view.buffer, view.byteOffset, view.byteLength))
    if (this.#chunks.size === MOST_CHUNKS) this.#chunks.clear()
    this.#chunks.set(number, whole)
    return whole
  }

  /** Bytes of the file; fewer at its end. */
  #bytes(offset: number, bytes: number): DataView {
    const buffer = new Uint8Array(bytes)
    let read = 0
    while (read < bytes) {
      const more = readSync(this.#file, buffer, read, bytes - read, offset + read)
      if (more === 0) break
      read += more
    }
    return new DataView(buffer.buffer, 0, read)
  }

  #readLime(size: number): DumpRange[] {
    const ranges: DumpRange[] = []
    for (let at = 0; at < size;) {
      const head = this.#bytes(at, LIME_HEADER)
      if (head.byteLength < LIME_HEADER || head.getUint32(0, true) !== LIME_MAGIC || head.getUint32(4, true) !== 1) {
        throw new CliError('ERR_INPUT', `there is no LiME header of version 1 at offset ${at}`)
      }
      const gpa = Number(head.getBigUint64(8, true))
      // The header names the last byte.
      const bytes = Number(head.getBigUint64(16, true)) - gpa + 1
      if (!(bytes > 0 && at + LIME_HEADER + bytes <= size)) {
        throw new CliError('ERR_INPUT', `the LiME range at offset ${at} is not in the file as a whole`)
      }
      ranges.push({ gpa, bytes, offset: at + LIME_HEADER })
      at += LIME_HEADER + bytes
    }
    return ranges
  }
}

/** @throws CliError `ERR_INPUT` for a range that the file does not have as a whole */
function checkInside({ gpa, bytes, offset }: DumpRange, size: number): void {
  if (offset + bytes <= size) return
  const what = `the memory at 0x${gpa.toString(16)} is ${bytes} bytes at offset ${offset} of a file of ${size} bytes`
  throw new CliError('ERR_INPUT', `this ELF core file cannot be used: ${what}; it may be cut off`)
}

function sorted(ranges: readonly DumpRange[]): DumpRange[] {
  return ranges.toSorted((a, b) => a.gpa - b.gpa)
}

/** A run of guest-physical memory that a file holds. */
interface DumpRange {
  readonly gpa: number
  readonly bytes: number
  /** Offset of the range in the file. */
  readonly offset: number
}

/** Control registers of a CPU, from QEMU's note. */
interface DumpedCpu {
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

function isElfCore(head: DataView): boolean {
  return head.byteLength >= 52 && head.getUint32(0) === 0x7f45_4c46 && head.getUint16(16, true) === ET_CORE
}

/**
 * Reads an ELF core file with guest-physical memory: of QEMU's dump-guest-memory, or kdump's vmcore. The notes' layout is that of
 * dumps which QEMU has written.
 *
 * @throws CliError `ERR_INPUT`
 *
 * Source: System V ABI, "Program Header".
 */
function readElfCore(read: ReadFile): { ranges: DumpRange[]; cpus: DumpedCpu[] } {
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
