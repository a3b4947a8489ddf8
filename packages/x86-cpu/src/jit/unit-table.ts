import { TLB_EXECUTE } from '@retrap/engine'
import type { CpuCore } from '../cpu-core.ts'
import type { InterpreterExports } from '../executor-parts.ts'
import type { UnitRunner } from './jit.ts'

/** The units that a vCPU may enter: entries of its interpreter's table, after the forms. */
export class UnitTable implements UnitRunner {
  readonly state: number
  readonly #core: CpuCore
  readonly #interpreter: InterpreterExports

  constructor(core: CpuCore, interpreter: InterpreterExports) {
    this.state = core.state
    this.#core = core
    this.#interpreter = interpreter
  }

  executeSlots(lo: number, hi: number): number {
    return this.#core.tlb.lookup(this.#core.mode.executeSet, TLB_EXECUTE, lo, hi)
  }

  install(module: object, entry: number): void {
    const { table, flags, checkSegment, slowAccess } = this.#interpreter
    const instance = new WebAssembly.Instance(module as WebAssembly.Module, {
      cpu: { memory: this.#core.memory.memory, table: table as never, flags, checkSegment, slowAccess },
    })
    if (table.length <= entry) table.grow(Math.max(64, table.length >> 2, entry + 1 - table.length))
    table.set(entry, instance.exports['unit'])
  }

  uninstall(entry: number): void {
    this.#interpreter.table.set(entry, null)
  }
}
