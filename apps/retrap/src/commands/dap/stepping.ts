import type { TargetStop } from '@retrap/gdb'
import type { SourceLine } from '@retrap/symbols'
import { usage } from '../../options/values.ts'
import { instructionAt, type ListedMemory } from './disassembly.ts'
import type { MachineDebug } from './machine-debug.ts'
import type { ProgramNames } from './program-names.ts'

/** Steps that are made until a line is over. */
const MOST_STEPS = 2000
/** Calls of x86 and of Arm, which return to the place behind them. */
const CALL = /^(?:call|blr?|blx|blra[ab]z?)\s/

/** Returns memory at a vCPU's linear addresses, with its symbols. */
export function memoryOf(machine: MachineDebug, names: ProgramNames, cpu: number): ListedMemory {
  return {
    set: machine.code(cpu).set,
    read(address, count) {
      const bytes = new Uint8Array(count)
      return bytes.subarray(0, machine.target.readMemory(cpu, address, bytes))
    },
    nameOf: (address) => names.nameOf(address),
    startOf: (address) => names.startOf(address),
  }
}

/** Steps of a vCPU, by instruction or by line. All settle where the machine stops. */
export class Stepping {
  readonly #machine: MachineDebug
  readonly #names: ProgramNames

  constructor(machine: MachineDebug, names: ProgramNames) {
    this.#machine = machine
    this.#names = names
  }

  /** Steps into calls. */
  into(cpu: number, byLine: boolean): Promise<TargetStop> {
    return this.#steps(cpu, byLine, () => this.#machine.step(cpu))
  }

  /** Steps over calls. */
  over(cpu: number, byLine: boolean): Promise<TargetStop> {
    return this.#steps(cpu, byLine, () => this.#overCall(cpu))
  }

  /** Goes back by an instruction, or to another line. */
  back(cpu: number, byLine: boolean): Promise<TargetStop> {
    this.#machine.requirePast()
    return this.#steps(cpu, byLine, () => this.#machine.reverse('step', cpu))
  }

  /** Runs to the caller. @throws CliError `ERR_USAGE` if the caller is unknown */
  out(cpu: number): Promise<TargetStop> {
    const [caller] = this.#machine.code(cpu).callers
    if (caller === undefined) {
      const what =
        'the caller is not known, as no way of this code leads to a return; set a breakpoint where it is to stop'
      throw usage(what)
    }
    return this.#until(cpu, caller, this.#machine.stackPointer(cpu) + 1n)
  }

  /** Runs to one of some places, forwards or backwards. Other breakpoints stop the run, too. */
  async to(addresses: readonly bigint[], direction: 'forwards' | 'back', cpu: number): Promise<TargetStop> {
    for (const address of addresses) this.#machine.addBreakpoint(address)
    try {
      return await (direction === 'forwards' ? this.#machine.continue() : this.#machine.reverse('continue', cpu))
    } finally {
      for (const address of addresses) this.#machine.removeBreakpoint(address)
    }
  }

  async #steps(cpu: number, byLine: boolean, step: () => Promise<TargetStop>): Promise<TargetStop> {
    const from = byLine ? this.#lineOf(cpu) : undefined
    for (let left = MOST_STEPS; ; left--) {
      const stop = await step()
      if (from === undefined || left === 0 || !isStep(stop)) return stop
      const line = this.#lineOf(cpu)
      if (line !== undefined && (line.file !== from.file || line.line !== from.line)) return stop
    }
  }

  #lineOf(cpu: number): SourceLine | undefined {
    return this.#names.lineOf(this.#machine.code(cpu).address)
  }

  async #overCall(cpu: number): Promise<TargetStop> {
    const { address } = this.#machine.code(cpu)
    const { text = '', bytes } = instructionAt(memoryOf(this.#machine, this.#names, cpu), address)
    if (!CALL.test(text)) return this.#machine.step(cpu)
    return this.#until(cpu, address + BigInt(bytes.length), this.#machine.stackPointer(cpu))
  }

  /** Runs on to a place in a frame that is no deeper. @param stack - the least stack pointer there */
  async #until(cpu: number, address: bigint, stack: bigint): Promise<TargetStop> {
    const machine = this.#machine
    machine.addBreakpoint(address)
    try {
      for (;;) {
        const stop = await machine.continue()
        const isThere = machine.code(stop.cpu).address === address
        if (!isThere || stop.watch !== undefined || stop.replayLog !== undefined) return stop
        if (stop.cpu === cpu && machine.stackPointer(cpu) >= stack) return { cpu, signal: stop.signal }
      }
    } finally {
      machine.removeBreakpoint(address)
    }
  }
}

/** Whether a stop is the step's own, and not a breakpoint on the way. */
const isStep = ({ breakpoint, watch, replayLog, message }: TargetStop): boolean =>
  breakpoint === undefined && watch === undefined && replayLog === undefined && message === undefined
