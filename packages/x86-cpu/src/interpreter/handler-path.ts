import { SLOW_MODIFY, SLOW_WRITE } from '../state/host.ts'
import type { PortForm, QuickPort } from '../access/quick-port.ts'
import type { Form } from '../state/form.ts'
import { STATUS_CONTINUE, STATUS_DONE, STATUS_FAULT, S_ATTENTION } from '../state/state-layout.ts'
import type { Handler } from '../system/operands.ts'
import { S_PENDING_DEBUG } from '../state/system-state.ts'
import { Abandon, type System } from '../system/system.ts'

/** A TypeScript handler bound to its form. */
export interface SystemForm {
  readonly handler: Handler
  readonly form: Form
  /** Index of the memory operand whose address is wanted, or -1. */
  readonly memoryOperand: number
  /** IN and OUT without the string forms. */
  readonly port: PortForm | null
}

/** Binds a handler to a form of its instruction. */
export function systemForm(handler: Handler, form: Form): SystemForm {
  return {
    handler,
    form,
    memoryOperand: handler.locates === true ? -1 : form.operands.findIndex((o) => o.kind === 'mem'),
    port: portForm(form),
  }
}

/** The port form of an instruction; null for all but IN and OUT. */
function portForm({ mnemonic, operands }: Form): PortForm | null {
  if (mnemonic !== 'IN' && mnemonic !== 'OUT') return null
  const write = mnemonic === 'OUT'
  const port = operands[write ? 0 : 1]
  return { write, size: operands[write ? 1 : 0]?.size ?? 0, immediate: port?.kind === 'imm' }
}

/** Computes the linear address of a record's memory operand into S_EA; non-zero if that raised an exception. */
export type AddressOperand = (record: number, sizeAndFlags: number) => number

/** The path from generated code to a TypeScript handler: quick ports, gate, operand address, handler, debug traps. */
export class HandlerPath {
  readonly #system: System
  readonly #quickPort: QuickPort
  readonly #addressOperand: AddressOperand
  readonly #poison: boolean

  /** @param poison - see `X86EngineOptions.poison` */
  constructor(system: System, quickPort: QuickPort, addressOperand: AddressOperand, poison: boolean) {
    this.#poison = poison
    this.#system = system
    this.#quickPort = quickPort
    this.#addressOperand = addressOperand
  }

  /**
   * Executes the instruction of a record.
   *
   * @returns STATUS_DONE (the caller advances RIP); STATUS_JUMP or STATUS_EXIT (RIP is set); STATUS_CONTINUE (a repeated
   *   instruction is not finished); STATUS_FAULT, STATUS_RETRY or STATUS_RESTART (nothing has changed)
   * @throws whatever a handler throws by mistake; an instruction that is abandoned throws nothing
   */
  run(target: SystemForm, record: number): number {
    const s = this.#system
    const { handler, form, memoryOperand, port } = target
    if (this.#poison) s.poison()
    try {
      if (port !== null) {
        const status = this.#quickPort.run(port, record)
        if (status !== STATUS_CONTINUE) return status
      }
      if (memoryOperand >= 0) {
        handler.gate?.(s)
        if (this.#addressOperand(record, addressFlags(form, memoryOperand)) !== 0) return STATUS_FAULT
      }
      s.dropWrites()
      const status = handler(s, record, form)
      // Interrupts and changes of the map that a device has made, and the trap of a port breakpoint, precede the next
      // instruction.
      return status === STATUS_DONE && (s.get(S_ATTENTION) | s.get(S_PENDING_DEBUG)) !== 0
        ? s.retireNext(record)
        : status
    } catch (error) {
      if (error instanceof Abandon) return error.status
      throw error
    }
  }
}

/** Size and rights of a memory operand, as the generated function `address` takes them. */
function addressFlags(form: Form, operand: number): number {
  const { size, access } = form.operands[operand] as Form['operands'][number]
  // ARPL writes only where it must: its handler checks that by itself.
  const readsFirst = form.mnemonic === 'ARPL'
  const rights = readsFirst ? 0 : access === 'w' ? SLOW_WRITE : access === 'rw' ? SLOW_WRITE | SLOW_MODIFY : 0
  const bytes = size === 0 ? 1 : size
  return (bytes > 0xff ? bytes << 16 : bytes) | rights
}
