import type { DebugPlaces } from '@retrap/engine'
import { AccessKind } from '@retrap/replay'
import type { CpuHost, Words } from '../state/host.ts'
import type { Pass } from './pass.ts'
import { R_IMM } from '../state/record.ts'
import * as S from '../state/state-layout.ts'
import { RAX, RDX, CR0_PE } from '../state/architecture.ts'
import { DR7_ENABLES, S_DR7 } from '../system/breakpoints.ts'
import { IO_IMMEDIATE, IO_INPUT, noteIo } from '../system/io-state.ts'
import type { System } from '../system/system.ts'

/** The facts that tell one IN or OUT from another. */
export interface PortForm {
  readonly write: boolean
  readonly size: number
  /** The port is in the instruction, not in DX. */
  readonly immediate: boolean
}

/**
 * IN and OUT where nothing but the device is in the way: no permission bit map, no port breakpoint of the guest or of a debugger, no
 * logged pass. The
 * instruction is executed as `system/io.ts` does it then, for the sake of guests that poll.
 *
 * A device that takes its time is asked there and then: a logged pass would have logged nothing before. When the device has
 * answered, the instruction is executed again, and takes the answer.
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
      ((u32[S_DR7 >>> 2]! & DR7_ENABLES) | u32[S.S_ANSWERED >>> 2]!) !== 0 ||
      ((u32[S.S_CR0 >>> 2]! & CR0_PE) !== 0 && (virtual || u32[S.S_CPL >>> 2]! > iopl))
    ) {
      return u32[S.S_ANSWERED >>> 2] === 0 ? S.STATUS_CONTINUE : this.#answered(form, record)
    }
    const port = form.immediate ? s.cpu.memory.u8[record + R_IMM]! : s.gpr(RDX) & 0xffff
    const { size } = form
    if (form.write) {
      const value = s.gpr(RAX)
      const cut = size === 4 ? value : size === 2 ? value & 0xffff : value & 0xff
      const status = this.#host.portWrite(port, size, cut, false)
      if (status === S.STATUS_RETRY) this.#pass.sent(AccessKind.PORT_WRITE, port, 0, size, cut, 0)
      // Interrupts that the device has raised come before the next instruction, not at the next branch.
      return status !== S.STATUS_DONE || u32[S.S_ATTENTION >>> 2] === 0 ? status : this.#retire(form, record, port)
    }
    const status = this.#host.portRead(port, size, this.#answer, false)
    if (status === S.STATUS_RETRY) this.#pass.sent(AccessKind.PORT_READ, port, 0, size, 0, 0)
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

  /** The device that the access was sent to has answered. */
  #answered(form: PortForm, record: number): number {
    const s = this.#system
    const { u32 } = s
    u32[S.S_ANSWERED >>> 2] = 0
    if (!form.write) s.writeRegister(S.S_GPR + 8 * RAX, form.size, u32[S.S_DATA >>> 2]!, 0)
    this.#note(form, form.immediate ? s.cpu.memory.u8[record + R_IMM]! : s.gpr(RDX) & 0xffff)
    return u32[S.S_ATTENTION >>> 2] === 0 ? S.STATUS_DONE : s.retireNext(record)
  }
}
