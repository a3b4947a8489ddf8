import type { DebugPlaces } from '@retrap/engine'
import { ACCESS_AC, ACCESS_READ, ACCESS_USER, ACCESS_WRITE } from '@retrap/paging'
import { AccessKind, accessTag, type AccessLog } from '@retrap/replay'
import { IOREQ_COPY, IOREQ_PIO, IOREQ_READ, IOREQ_WRITE, SLOW_WRITE, type CpuHost, type Words } from '../state/host.ts'
import { highWord } from './device-access.ts'
import * as S from '../state/state-layout.ts'
import { CR0_AM } from '../state/architecture.ts'
import type { DataBreakpoints } from '../system/breakpoints.ts'
import { REPEAT_FILL, REPEAT_MOVE, type Iterations } from '../system/cpu.ts'
import { newTranslation, type LinearTranslation } from './translation.ts'

/** Operand of the tag of a request for several iterations, with the bytes of an element. */
const REPEAT_OPERAND = 0x80
const PORT_KINDS: readonly number[] = [AccessKind.PORT_READ, AccessKind.PORT_WRITE]
const MMIO_KINDS: readonly number[] = [AccessKind.MMIO_READ, AccessKind.MMIO_WRITE]

/** Several iterations of a string instruction, made by a device as one request of a logged pass. */
export class RepeatedAccess {
  readonly #host: CpuHost
  readonly #log: AccessLog
  readonly #translation: LinearTranslation
  readonly #breakpoints: DataBreakpoints
  readonly #places: DebugPlaces
  readonly #u32: Uint32Array
  readonly #first = newTranslation()
  readonly #second = newTranslation()
  readonly #words: Words = { lo: 0, hi: 0 }

  /** @param u32 - the state area */
  constructor(
    host: CpuHost,
    log: AccessLog,
    translation: LinearTranslation,
    breakpoints: DataBreakpoints,
    places: DebugPlaces,
    u32: Uint32Array,
  ) {
    this.#host = host
    this.#log = log
    this.#translation = translation
    this.#breakpoints = breakpoints
    this.#places = places
    this.#u32 = u32
  }

  /** Makes as many iterations as one request allows; see `Cpu.repeat`. */
  make(iterations: Iterations): number {
    // The guest's own breakpoint comes after the very iteration that meets it. A debugger's comes after the request: with
    // one for each element, the guest would take another time.
    if (this.#host.repeat === undefined || this.#u32[S.S_LOGGED >>> 2] !== 1 || this.#breakpoints.areGuests) return 0
    const made = this.#make(iterations)
    if (made > 0 && this.#breakpoints.enabled) this.#note(iterations, made)
    return made
  }

  /** Tells a debugger of the memory that iterations have accessed. */
  #note({ port, otherLo, otherHi, lo, hi, flags, down }: Iterations, made: number): void {
    const bytes = made * (flags & 0xff)
    const below = down ? bytes - (flags & 0xff) : 0
    if (port === REPEAT_MOVE) this.#breakpoints.note(otherLo - below, otherHi, bytes, false)
    this.#breakpoints.note(lo - below, hi, bytes, (flags & SLOW_WRITE) !== 0)
  }

  #make({ port, otherLo, otherHi, lo, hi, flags, count, down }: Iterations): number {
    const host = this.#host
    const size = flags & 0xff
    const write = (flags & SLOW_WRITE) !== 0
    const log = this.#log
    const tag = log.nextTag()
    // The first pass's findings stand.
    const recorded = tag >= 0
    if (recorded && tag >>> 16 !== (REPEAT_OPERAND | size)) return 0
    const iterations = recorded ? tag & 0xffff : count
    const user = this.#u32[S.S_CPL >>> 2] === 3 ? ACCESS_USER : 0
    const ac = (this.#u32[S.S_EFLAGS >>> 2]! & S.FLAG_AC) !== 0
    if (user !== 0 && ac && (this.#u32[S.S_CR0 >>> 2]! & CR0_AM) !== 0) return 0
    const rights = user | (ac ? ACCESS_AC : 0)
    let status: number
    if (port === REPEAT_MOVE) {
      status = this.#translation.translate(otherLo, otherHi, ACCESS_READ | rights, this.#second, -1)
      if (status !== S.STATUS_DONE) return -status
    }
    status = this.#translation.translate(lo, hi, (write ? ACCESS_WRITE : ACCESS_READ) | rights, this.#first, -1)
    if (status !== S.STATUS_DONE) return -status
    if (!recorded && port === REPEAT_MOVE && this.#first.ma < 0 && this.#second.ma < 0)
      return this.#between(size, count, down)
    let address = port
    let device = true
    let gpa = this.#first.gpa
    let toDevice = !write
    if (port < 0) {
      // Which side the device is: the kind of the record, if there is one.
      toDevice = port === REPEAT_FILL || (recorded ? log.nextKind() === AccessKind.MMIO_WRITE : this.#first.ma < 0)
      const other = port === REPEAT_FILL ? 0 : this.#second.ma
      device = recorded || this.#first.ma < 0 !== other < 0
      address = toDevice ? this.#first.gpa : this.#second.gpa
      if (toDevice) gpa = port === REPEAT_FILL ? -1 : this.#second.gpa
    }
    const memory = toDevice && port === REPEAT_MOVE ? this.#second : this.#first
    const backed = port === REPEAT_FILL || (memory.ma >= 0 && (toDevice || memory.writable))
    if (!recorded && (!device || !backed)) return 0
    const kinds = port < 0 ? MMIO_KINDS : PORT_KINDS
    const kind = kinds[toDevice ? 1 : 0]!
    const index = log.access(kind, address >>> 0, highWord(address), size, accessTag(REPEAT_OPERAND | size, iterations))
    if (log.state(index) === S.STATUS_DONE) return 0
    const { record } = host
    if (log.state(index) === S.STATUS_RETRY) status = host.answer()
    else {
      record.type = port >= 0 ? IOREQ_PIO : IOREQ_COPY
      record.direction = toDevice ? IOREQ_WRITE : IOREQ_READ
      record.addressLo = address >>> 0
      record.addressHi = highWord(address)
      record.size = size
      record.count = iterations
      record.df = down
      record.dataIsPointer = gpa >= 0
      record.dataLo = (gpa < 0 ? otherLo : gpa) >>> 0
      record.dataHi = gpa < 0 ? otherHi >>> 0 : highWord(gpa)
      status = host.repeat!()
    }
    if (status === S.STATUS_RETRY) log.wait(index)
    else log.complete(index)
    if (status !== S.STATUS_DONE) return -status
    const { made } = record
    if (port >= 0 && this.#places.ports) this.#places.noteElements('port', port, size, made, toDevice)
    else this.#noteMemory(address, size, made, down, toDevice)
    return made
  }

  /**
   * Makes iterations that move data from one place of a device to another, as text that scrolls. Each is a read and a write
   * that are answered at once: nothing is to be logged. An event that one of them causes comes before the next.
   *
   * @returns how many; 0: one of the places may make the processor wait
   */
  #between(size: number, count: number, down: boolean): number {
    const host = this.#host
    const [to, from] = [this.#first.gpa, this.#second.gpa]
    const bytes = size * count
    const below = down ? bytes - size : 0
    if (
      host.answersAtOnce?.(false, from - below, bytes, size) !== true ||
      !host.answersAtOnce(false, to - below, bytes, size)
    )
      return 0
    const words = this.#words
    const step = down ? -size : size
    let made = 0
    while (made < count) {
      // An earlier element may have had the chipset map something else there. An element that was read must be written: a device
      // is not asked twice.
      if (made > 0 && !host.answersAtOnce(false, to + made * step, size, size)) break
      if (host.physicalRead(from + made * step, size, words, false) !== S.STATUS_DONE) break
      if (host.physicalWrite(to + made * step, size, words.lo, words.hi, false) !== S.STATUS_DONE) break
      made++
      if (this.#u32[S.S_ATTENTION >>> 2] !== 0) break
    }
    this.#noteMemory(from, size, made, down, false)
    this.#noteMemory(to, size, made, down, true)
    return made
  }

  #noteMemory(address: number, size: number, count: number, down: boolean, write: boolean): void {
    if (!this.#places.mmio || count === 0) return
    this.#places.noteElements('mmio', down ? address - size * (count - 1) : address, size, count, write)
  }
}
