// Steps over calls and out of functions, in both directions.
import type { X86Vcpu } from '@retrap/hvm'
import { decode, type DecodedInstruction } from '@retrap/x86-decoder'
import { CS, type CpuRegisters, MODE_32, MODE_64 } from '@retrap/x86-cpu'
import { MachineError } from '../errors.ts'
import { pageTablesOf, stackPointer, wordBytesOf } from '../lifecycle/call-stack.ts'
import { linearAddress } from '../lifecycle/crash.ts'
import type { MachineRunOptions } from '../lifecycle/machine-life.ts'
import type { Pc } from '../pc/pc.ts'
import type { Stopper } from './replay-hits.ts'
import type { ReplayStop } from './travelling-machine.ts'

const LONGEST_INSTRUCTION = 15
const SHORTEST_CALL = 2
/** Bytes of arguments that a function takes off the stack as it returns: no other frame is as near. */
const MOST_POPPED = 256n
/** Stack that is searched for a return address, and return addresses that are tried. */
const SEARCHED_BYTES = 16_384
const MOST_CALLERS = 32
const RING_3 = 3
/** EFLAGS of an interrupt's frame: bit 1 is always set, and none above these. */
const FLAGS_SET = 2n
const FLAGS_END = 1n << 22n

/** A place in the run of a vCPU. */
interface Place {
  /** Of the next instruction. */
  readonly address: bigint
  /** The linear stack pointer. */
  readonly stack: bigint
  /** Address of the page tables for user code: another process may use the same linear addresses. */
  readonly tables: bigint | undefined
}

/** A place that a way ends at. */
interface Goal extends Place {
  /** The stack pointer may be above by less than this. */
  readonly above: bigint
  /** An interrupt or exception is delivered there, backwards; else the instruction is next. */
  readonly isInterrupted: boolean
}

/** The part of a debugger that the steps need. */
export interface SteppedRun {
  readonly debug: {
    /** The replay's current machine. */
    readonly pc: Pc
    step(options: MachineRunOptions): Promise<ReplayStop>
    stepBack(options: MachineRunOptions): Promise<ReplayStop>
  }
  /** Runs to the next stop, in a direction, with further stops. */
  until(direction: Direction, stops: readonly Stopper[], options: MachineRunOptions): Promise<ReplayStop>
}

/** A direction in a run. */
export type Direction = 'forwards' | 'back'

/**
 * Steps of one vCPU. A stack pointer identifies a frame: recursive calls and interrupt handlers on the same stack have lower
 * ones, and other stacks lie at other addresses.
 */
export class CallSteps {
  readonly #run: SteppedRun
  readonly #cpu: number

  /** @throws MachineError `ERR_OPTION` for a vCPU that does not exist */
  constructor(run: SteppedRun, cpu: number) {
    this.#run = run
    this.#cpu = cpu
    if (run.debug.pc.domain.vcpus[cpu] === undefined) throw new MachineError('ERR_OPTION', `there is no vCPU ${cpu}`)
  }

  /** See `ReplayDebugger.stepOver`. */
  async over(options: MachineRunOptions): Promise<ReplayStop> {
    const from = placeOf(this.#vcpu)
    const next = decodedAt(this.#vcpu, from.address)
    if (isCall(next)) return this.#to('forwards', [behind(from, from.address + BigInt(next.length))], options)
    for (;;) {
      const { interrupts } = this.#vcpu.cpu.counts
      const stop = await this.#one((limits) => this.#run.debug.step(limits), options)
      if (stop.reason !== 'step' || this.#vcpu.cpu.counts.interrupts === interrupts) return stop
      // A handler has begun before the instruction, and returns to it.
      const back = await this.#to('forwards', [{ ...from, above: 1n, isInterrupted: false }], options)
      if (back.reason !== 'step') return back
    }
  }

  /** See `ReplayDebugger.reverseStepOver`. */
  async overBack(options: MachineRunOptions): Promise<ReplayStop> {
    for (;;) {
      const to = placeOf(this.#vcpu)
      const stop = await this.#one((limits) => this.#run.debug.stepBack(limits), options)
      if (stop.reason !== 'step') return stop
      const last = decodedAt(this.#vcpu, linearAddress(this.#vcpu))
      if (last.info.flow !== 'return') return stop
      const [popped] = last.operands
      const stack = to.stack - (popped?.kind === 'immediate' ? popped.value : 0n)
      const calls = callsBefore(this.#vcpu, to.address).map((address) => before({ ...to, stack }, address))
      const goals = isFromInterrupt(last) ? [...calls, interruptedAt(to)] : calls
      // A RET that nothing has called is a jump.
      if (goals.length === 0) return stop
      const found = await this.#to('back', goals, options)
      if (found.reason !== 'step' || linearAddress(this.#vcpu) !== to.address) return found
    }
  }

  /** See `ReplayDebugger.stepOut`. */
  async out(options: MachineRunOptions): Promise<ReplayStop> {
    const callers = this.#callers().map(({ place, isInterrupted }): Goal =>
      isInterrupted ? { ...place, above: 1n, isInterrupted: false } : behind(place, place.address),
    )
    return this.#to('forwards', callers, options)
  }

  /** See `ReplayDebugger.reverseStepOut`. */
  async outBack(options: MachineRunOptions): Promise<ReplayStop> {
    const goals = this.#callers().flatMap(({ place, isInterrupted }): Goal[] =>
      isInterrupted
        ? [interruptedAt(place)]
        : callsBefore(this.#vcpu, place.address).map((address) => before(place, address)),
    )
    return this.#to('back', goals, options)
  }

  get #vcpu(): X86Vcpu {
    return this.#run.debug.pc.domain.vcpus[this.#cpu]!
  }

  /** Steps until the vCPU itself has executed an instruction, or not. */
  async #one(
    step: (options: MachineRunOptions) => Promise<ReplayStop>,
    options: MachineRunOptions,
  ): Promise<ReplayStop> {
    const { retired } = this.#vcpu.cpu
    for (;;) {
      const stop = await step(options)
      if (stop.reason !== 'step' || this.#vcpu.cpu.retired !== retired) return stop
      if (options.signal?.aborted === true) return { reason: 'stopped' }
    }
  }

  /** Runs to the next of some places in a direction. Other stops end the run, too. @returns `step` at a place */
  async #to(direction: Direction, goals: readonly Goal[], options: MachineRunOptions): Promise<ReplayStop> {
    const stops = goals.map((goal): Stopper => ({
      set: (debug, handler) => {
        if (goal.isInterrupted) return this.#watchEvents(goal, handler)
        return debug.breakpoint(goal.address, (stop) => (this.#isAt(goal, stop.cpu) ? handler(stop) : undefined))
      },
    }))
    const stop = await this.#run.until(direction, stops, options)
    const isOwn = stop.reason === 'breakpoint' || stop.reason === 'handler'
    return isOwn && goals.some((goal) => this.#isAt(goal, stop.cpu)) ? { reason: 'step' } : stop
  }

  #isAt({ above, ...goal }: Goal, cpu: number): boolean {
    if (cpu !== this.#cpu) return false
    const { address, stack, tables } = placeOf(this.#vcpu)
    return address === goal.address && tables === goal.tables && stack >= goal.stack && stack < goal.stack + above
  }

  /** Notes each interrupted position of the vCPU without stopping it. A trace on the same vCPU receives these events as well. */
  #watchEvents(goal: Goal, handler: Parameters<Stopper['set']>[1]): { remove(): void } {
    const { cpu } = this.#vcpu
    const { watching } = cpu
    cpu.watch({
      instruction: watching?.instruction,
      event: (told) => {
        watching?.event?.(told)
        if (this.#isAt(goal, this.#cpu))
          handler({ kind: 'handler', cpu: this.#cpu, vector: told.vector, errorCode: 0, address: 0n })
      },
    })
    return { remove: () => cpu.watch(watching) }
  }

  /** Places on the stack that a function or a handler may return to, the nearest first. @throws MachineError `ERR_OPTION` */
  #callers(): readonly Caller[] {
    const callers = callersOnStack(this.#vcpu)
    if (callers.length > 0) return callers
    throw new MachineError(
      'ERR_OPTION',
      `no return address is within ${SEARCHED_BYTES} bytes of the stack pointer, or the code is of 16 bits: there is no caller to go to`,
    )
  }
}

function placeOf(vcpu: X86Vcpu): Place {
  const { registers } = vcpu.cpu
  const tables = registers.cpl === RING_3 ? pageTablesOf(registers) : undefined
  return { address: linearAddress(vcpu), stack: stackPointer(registers), tables }
}

const behind = (place: Place, address: bigint): Goal => ({
  ...place,
  address,
  above: MOST_POPPED,
  isInterrupted: false,
})
const before = (place: Place, address: bigint): Goal => ({ ...place, address, above: 1n, isInterrupted: false })
const interruptedAt = (place: Place): Goal => ({ ...place, above: 1n, isInterrupted: true })

const modeOf = ({ mode }: CpuRegisters): 16 | 32 | 64 => (mode === MODE_64 ? 64 : mode === MODE_32 ? 32 : 16)

function decodedAt(vcpu: X86Vcpu, address: bigint, length: number = LONGEST_INSTRUCTION): DecodedInstruction {
  const bytes = new Uint8Array(length)
  const read = vcpu.translation.peek(address, bytes)
  return decode(bytes.subarray(0, read), { mode: modeOf(vcpu.cpu.registers) })
}

/** Instructions that return to the next instruction. */
const isCall = ({ status, mnemonic, info: { flow } }: DecodedInstruction): boolean =>
  status === 'decoded' &&
  (flow === 'call' || flow === 'indirect-call' || flow === 'interrupt' || mnemonic === 'SYSCALL')

const isFromInterrupt = ({ mnemonic }: DecodedInstruction): boolean => mnemonic.startsWith('IRET')

/** Where a call may stand that comes back to an address. */
function callsBefore(vcpu: X86Vcpu, address: bigint): bigint[] {
  const found: bigint[] = []
  for (let length = SHORTEST_CALL; length <= LONGEST_INSTRUCTION && address >= length; length++) {
    const at = address - BigInt(length)
    const instruction = decodedAt(vcpu, at, length)
    if (instruction.length === length && isCall(instruction)) found.push(at)
  }
  return found
}

/** A place that a function or a handler may return to. */
interface Caller {
  readonly place: Place
  /** Whether an interrupt or exception was delivered at that place. */
  readonly isInterrupted: boolean
}

function callersOnStack(vcpu: X86Vcpu): Caller[] {
  const { registers } = vcpu.cpu
  const wordBytes = wordBytesOf(registers)
  const callers: Caller[] = []
  if (wordBytes === 0) return callers
  const { stack, tables } = placeOf(vcpu)
  const bytes = new Uint8Array(SEARCHED_BYTES)
  const read = vcpu.translation.peek(stack, bytes)
  const view = new DataView(bytes.buffer, 0, read)
  const word = (at: number): bigint => {
    if (at + wordBytes > read) return 0n
    return wordBytes === 8 ? view.getBigUint64(at, true) : BigInt(view.getUint32(at, true))
  }
  const base = wordBytes === 8 ? 0n : registers.segmentBase(CS)
  for (let at = 0; at < read && callers.length < MOST_CALLERS; at += wordBytes) {
    const address = BigInt.asUintN(8 * wordBytes, base + word(at))
    const flags = word(at + 2 * wordBytes)
    // Behind the flags of an interrupt's frame is the stack pointer, in 64-bit mode.
    if (word(at + wordBytes) === BigInt(registers.selector(CS)) && (flags & FLAGS_SET) !== 0n && flags < FLAGS_END) {
      const interrupted = wordBytes === 8 ? word(at + 3 * wordBytes) : stack + BigInt(at + 3 * wordBytes)
      callers.push({ place: { address, stack: interrupted, tables }, isInterrupted: true })
    } else if (callsBefore(vcpu, address).length > 0)
      callers.push({ place: { address, stack: stack + BigInt(at + wordBytes), tables }, isInterrupted: false })
  }
  return callers
}
