import type { DebugPlaces } from '@retrap/engine'
import { AccessKind, accessTag } from '@retrap/replay'
import type { CpuHost, Words } from '../state/host.ts'
import type { Pass, PortForm } from './pass.ts'
import { R_IMM, R_LENGTH } from '../state/record.ts'
import * as S from '../state/state-layout.ts'
import { RAX, RDX, CR0_PE } from '../state/architecture.ts'
import { IO_IMMEDIATE, IO_INPUT, noteIo } from '../system/io-state.ts'
import type { System } from '../system/system.ts'

const S_DR7 = S.S_DR + 7 * 8
const DR7_ENABLES = 0xff

/**
 * IN and OUT where nothing but the device is in the way: no permission bit map, no port breakpoint of the guest or of a debugger, no
 * logged pass. The
 * instruction is executed as `system/io.ts` does it then, for the sake of guests that poll.
 *
 * A device that takes its time is asked there and then: a logged pass would have logged nothing before, and does nothing
 * afterwards but what `complete` does.
 */
export class QuickPort {
  readonly #system: System
  readonly #host: CpuHost
  readonly #pass: Pass
  readonly #places: DebugPlaces
  readonly #answer: Words = { lo: 0, hi: 0 }

  constructor(system: System, host: CpuHost, pass: Pass) {
    this.#system = system
    this.#host = host
    this.#pass = pass
    this.#places = system.cpu.places
  }

  /** @returns STATUS_CONTINUE, with nothing done, where the handler is needed; STATUS_RETRY, with the access in the log */
  run(form: PortForm, record: number): number {
    const s = this.#system
    const { u32 } = s
    const eflags = u32[S.S_EFLAGS >>> 2]!
    const virtual = (eflags & S.FLAG_VM) !== 0
    const iopl = (eflags >>> 12) & 3
    if (
      u32[S.S_LOGGED >>> 2] === 1 ||
      this.#places.ports ||
      (u32[S_DR7 >>> 2]! & DR7_ENABLES) !== 0 ||
      ((u32[S.S_CR0 >>> 2]! & CR0_PE) !== 0 && (virtual || u32[S.S_CPL >>> 2]! > iopl))
    ) {
      return S.STATUS_CONTINUE
    }
    const port = form.immediate ? s.cpu.memory.u8[record + R_IMM]! : s.gpr(RDX) & 0xffff
    const { size } = form
    if (form.write) {
      const value = s.gpr(RAX)
      const cut = size === 4 ? value : size === 2 ? value & 0xffff : value & 0xff
      const status = this.#host.portWrite(port, size, cut, false)
      if (status === S.STATUS_RETRY) this.#wait(form, record, port, cut)
      // Interrupts that the device has raised come before the next instruction, not at the next branch.
      return status !== S.STATUS_DONE || u32[S.S_ATTENTION >>> 2] === 0 ? status : this.#retire(form, record, port)
    }
    const status = this.#host.portRead(port, size, this.#answer, false)
    if (status === S.STATUS_RETRY) this.#wait(form, record, port, 0)
    if (status !== S.STATUS_DONE) return status
    s.writeRegister(S.S_GPR + 8 * RAX, size, this.#answer.lo, 0)
    return u32[S.S_ATTENTION >>> 2] === 0 ? status : this.#retire(form, record, port)
  }

  /** An event comes before the next instruction. */
  #retire(form: PortForm, record: number, port: number): number {
    this.#note(form, port)
    return this.#system.retireNext(record)
  }

  #note({ write, immediate, size }: PortForm, port: number): void {
    noteIo(this.#system, (write ? 0 : IO_INPUT) | (immediate ? IO_IMMEDIATE : 0), port, size)
  }

  /** The access has been sent, and that is the first pass: it goes into the log. */
  #wait(form: PortForm, record: number, port: number, value: number): void {
    const { write, size } = form
    const kind = write ? AccessKind.PORT_WRITE : AccessKind.PORT_READ
    this.#pass.log.beginWaiting(kind, port, 0, size, accessTag(0), value, 0)
    this.#pass.portForm = form
    this.#pass.length = this.#system.cpu.memory.u8[record + R_LENGTH]!
  }

  /**
   * Looks for the answer; with it, the instruction's last pass is made, and it has retired.
   *
   * @returns STATUS_RETRY while there is none
   */
  complete(): number {
    const { log, portForm, length } = this.#pass
    const port = log.addressLo(log.pending)
    const { write, size } = portForm as PortForm
    const host = this.#host
    const status = host.answer()
    if (status !== S.STATUS_DONE) return status
    if (!write) this.#system.writeRegister(S.S_GPR + 8 * RAX, size, host.record.lo, 0)
    // A debugger may have come while the device took its time.
    if (this.#places.ports)
      this.#places.note('port', port, size, write, write ? log.dataLo(log.pending) : host.record.lo, 0)
    log.end()
    this.#note(portForm as PortForm, port)
    this.#system.advanceBy(length)
    return S.STATUS_DONE
  }
}
