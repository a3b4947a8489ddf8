import { type Jit, type UnitRunner, UnitTable } from '@retrap/engine'
import type { MachineMemory } from '@retrap/memory'
import type { InterpreterExports } from './interpreter.ts'

/** The functions of a vCPU that generated code calls. The arguments come signed, and nothing is thrown. */
export interface GeneratedCalls {
  /** Makes an access that is no TLB hit. @returns a status */
  access(lo: number, hi: number, flags: number): number
  /** Reads the time-stamp counter. */
  timestamp(): void
  /** Executes the instruction of a record by a handler. @returns a status */
  system(fn: number, record: number): number
  /** Finds the record of the instruction at an address. */
  fetch(lo: number, hi: number): number
  /** Checks the second page of an instruction in two pages. */
  cross(record: number): number
  /** The vCPU as units see it. */
  readonly runner: UnitRunner
}

/** The functions of the interpreter that a vCPU calls. */
export type VcpuInterpreter = Pick<InterpreterExports, 'address' | 'deliver32' | 'deliver64' | 'run'>

/**
 * The instance of generated code that all vCPUs of an engine execute: one is made, and each unit is an entry of one table,
 * however many vCPUs there are. Their state is a parameter; calls of TypeScript go to the vCPU that has called generated
 * code last and has not returned.
 */
export class SharedInterpreter {
  readonly #exports: InterpreterExports
  /** The units that it may enter. */
  readonly units: UnitTable
  #current: GeneratedCalls | undefined

  /**
   * @param module - the interpreter's `WebAssembly.Module`
   * @param jit - the compiler of hot code; undefined: all is interpreted
   */
  constructor(module: object, { memory }: MachineMemory, jit: Pick<Jit<unknown>, 'hot'> | undefined) {
    const system = (fn: number, record: number): number => this.#current!.system(fn, record)
    const instance = new WebAssembly.Instance(module as WebAssembly.Module, {
      cpu: {
        memory,
        access: (lo: number, hi: number, flags: number) => this.#current!.access(lo, hi, flags),
        timestamp: () => this.#current!.timestamp(),
        system,
        fetch: (lo: number, hi: number) => this.#current!.fetch(lo, hi),
        cross: (record: number) => this.#current!.cross(record),
        hot: (record: number) => jit?.hot(record >>> 0, this.#current!.runner) ?? record,
      },
    })
    this.#exports = instance.exports as unknown as InterpreterExports
    const { table, flags, checkSegment, slowAccess } = this.#exports
    // The imports that `importLibrary` declares.
    this.units = new UnitTable({ table, imports: { memory, flags, checkSegment, slowAccess, system } })
  }

  /** Returns the functions that a vCPU calls. A device of one may have another one run meanwhile. */
  of(calls: GeneratedCalls): VcpuInterpreter {
    const { run, address, deliver32, deliver64 } = this.#exports
    const bound =
      (call: (a: number, b: number, c: number) => number) =>
      (a: number, b: number, c: number = 0): number => {
        const before = this.#current
        this.#current = calls
        try {
          return call(a, b, c)
        } finally {
          this.#current = before
        }
      }
    return { run: bound(run), address: bound(address), deliver32: bound(deliver32), deliver64: bound(deliver64) }
  }
}
