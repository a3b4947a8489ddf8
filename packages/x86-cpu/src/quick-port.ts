import type { CpuHost, Words } from './host.ts'
import type { Form } from './semantics/form.ts'
import { R_IMM } from './record.ts'
import {
  FLAG_VM,
  STATUS_CONTINUE,
  STATUS_DONE,
  S_ATTENTION,
  S_CPL,
  S_CR0,
  S_DR,
  S_EFLAGS,
  S_GPR,
  S_LOGGED,
} from './state-layout.ts'
import { RAX, RDX } from './system/architecture.ts'
import type { System } from './system/system.ts'

const CR0_PE = 1
const S_DR7 = S_DR + 7 * 8
const DR7_ENABLES = 0xff

/** What tells one IN or OUT from another. */
export interface PortForm {
  readonly write: boolean
  readonly size: number
  /** The port is in the instruction, not in DX. */
  readonly immediate: boolean
}

/** The port form of an instruction; null for all but IN and OUT. */
export function portForm({ mnemonic, operands }: Form): PortForm | null {
  if (mnemonic !== 'IN' && mnemonic !== 'OUT') return null
  const write = mnemonic === 'OUT'
  const port = operands[write ? 0 : 1]
  return { write, size: operands[write ? 1 : 0]?.size ?? 0, immediate: port?.kind === 'imm' }
}

/**
 * IN and OUT where nothing but the device is in the way: no permission bit map, no port breakpoint, no logged pass. What
 * `system/io.ts` does of the instruction then, for the sake of guests that poll.
 */
export class QuickPort {
  readonly #system: System
  readonly #host: CpuHost
  readonly #answer: Words = { lo: 0, hi: 0 }

  constructor(system: System, host: CpuHost) {
    this.#system = system
    this.#host = host
  }

  /** @returns STATUS_CONTINUE, with nothing done, where the handler is needed */
  run(form: PortForm, record: number): number {
    const s = this.#system
    const { u32 } = s
    const eflags = u32[S_EFLAGS >>> 2] as number
    const virtual = (eflags & FLAG_VM) !== 0
    const iopl = (eflags >>> 12) & 3
    if (
      u32[S_LOGGED >>> 2] === 1 ||
      (u32[S_DR7 >>> 2]! & DR7_ENABLES) !== 0 ||
      ((u32[S_CR0 >>> 2]! & CR0_PE) !== 0 && (virtual || u32[S_CPL >>> 2]! > iopl))
    ) {
      return STATUS_CONTINUE
    }
    const port = form.immediate ? (s.cpu.memory.u8[record + R_IMM] as number) : s.gpr(RDX) & 0xffff
    const { size } = form
    if (form.write) {
      const value = s.gpr(RAX)
      const cut = size === 4 ? value : size === 2 ? value & 0xffff : value & 0xff
      const status = this.#host.portWrite(port, size, cut, false)
      // What the device has raised comes before the next instruction, not at the next branch.
      return status !== STATUS_DONE || u32[S_ATTENTION >>> 2] === 0 ? status : s.retireNext(record)
    }
    const status = this.#host.portRead(port, size, this.#answer, false)
    if (status === STATUS_DONE) s.writeRegister(S_GPR + 8 * RAX, size, this.#answer.lo, 0)
    return status
  }
}
