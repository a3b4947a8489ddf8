import { PAGE_BYTES } from '@retrap/memory'
import { ACCESS_READ, ACCESS_WRITE } from '@retrap/paging'
import type { XenHost, XenProcessor } from './architecture.ts'
import { type FieldType, type Layout, type Values, bytesOf, get, put } from './layout.ts'
import { XenErrno } from './numbers.ts'
import type { XenState } from './xen-state.ts'

/** Arguments that a hypercall can have. */
const ARGUMENTS = 6

/** Frames, or as much other work, before a call is cut in two. */
const WORK = 2048
/** Work after which the vCPU's turn is over. */
const LONG_WORK = 32

/** Answers a hypercall: its result, or a negative error. With `call.preempted` set it is made again. */
export type XenHypercall = (call: XenCall) => number

/** Handlers by hypercall number; any other number is unknown to the guest. */
export type Hypercalls = Readonly<Partial<Record<number, XenHypercall>>>

/**
 * One hypercall's interface for its handler: the caller, its arguments, and guest memory by linear address, with the
 * calling kernel's rights. Copies reach only RAM, never a device, and do not appear in the instruction's log.
 *
 * Each vCPU has one object for hypercalls, and one for calls within its multicalls.
 */
export class XenCall {
  readonly domain: XenHost
  readonly xen: XenState
  readonly vcpu: XenProcessor
  number: number = 0
  /** The caller is 32-bit code. */
  compat: boolean = false
  /** The handler has stopped half way: the instruction comes again, with the arguments as they are now. */
  preempted: boolean = false
  readonly #arguments: BigUint64Array = new BigUint64Array(ARGUMENTS)
  readonly #bytes: Uint8Array = new Uint8Array(256)
  readonly #view: DataView = new DataView(this.#bytes.buffer)
  readonly #handlers: Hypercalls
  readonly #outer: XenCall | null
  #work = 0

  /** @param outer - the multicall that it is part of */
  constructor(xen: XenState, vcpu: XenProcessor, handlers: Hypercalls, outer: XenCall | null = null) {
    this.xen = xen
    this.domain = xen.domain
    this.vcpu = vcpu
    this.#handlers = handlers
    this.#outer = outer
  }

  /** Makes the object for calls within this multicall. */
  inner(): XenCall {
    return new XenCall(this.xen, this.vcpu, this.#handlers, this)
  }

  /** Whether the call is part of a multicall. */
  get nested(): boolean {
    return this.#outer !== null
  }

  /**
   * Makes the call in the vCPU's registers, and sets the registers for its return or its continuation.
   *
   * @returns whether the instruction is to be executed again
   */
  make(): boolean {
    if (!this.#takeRegisters()) {
      this.#giveRegisters(XenErrno.PERM)
      return false
    }
    this.#giveRegisters(this.answer())
    // A call is one instruction, but may be as much work as a turn: timers, other vCPUs and the host have theirs then.
    if (this.preempted || this.#work >= LONG_WORK) this.vcpu.endTurn()
    return this.preempted
  }

  /** Answers a call whose number and arguments are set. */
  answer(): number {
    return this.#handlers[this.number]?.(this) ?? XenErrno.NOSYS
  }

  // ---------------------------------------------------------------- arguments

  /** Takes number and arguments from the vCPU's registers. @returns false for a caller that may make no hypercalls */
  #takeRegisters(): boolean {
    const { registers } = this.vcpu
    this.compat = registers.compat
    for (let i = 0; i < ARGUMENTS; i++) this.#arguments[i] = registers.argument(i)
    const { number } = registers
    this.number = number < 0x1_0000n ? Number(number) : -1
    this.preempted = false
    this.#work = 0
    return registers.allowed
  }

  /** Takes number and arguments from an entry of a multicall's list. */
  take(compat: boolean, number: bigint, args: readonly bigint[]): void {
    this.compat = compat
    this.number = number < 0x1_0000n ? Number(number) : -1
    this.#arguments.set(args)
    this.preempted = false
  }

  /** Writes the caller's registers: the result, or the arguments with which the call is continued. */
  #giveRegisters(result: number): void {
    const { registers } = this.vcpu
    if (!this.preempted) {
      registers.setResult(BigInt(result))
      return
    }
    registers.number = BigInt(this.number)
    for (let i = 0; i < ARGUMENTS; i++) registers.setArgument(i, this.#arguments[i]!)
  }

  /** An argument as wide as the caller: a pointer. */
  argument(index: number): bigint {
    return this.#arguments[index]!
  }

  /** An argument as an unsigned 32-bit number: a command, a count. */
  word(index: number): number {
    return Number(this.argument(index) & 0xffff_ffffn)
  }

  setArgument(index: number, value: number | bigint): void {
    this.#arguments[index] = BigInt(value)
  }

  // ---------------------------------------------------------------- continuations

  /**
   * To be asked between two parts of long work: whether the call should stop here and be made again.
   *
   * @param work - of the part that is done, in frames or as much
   */
  shouldPreempt(work: number): boolean {
    if (this.#outer !== null) return this.#outer.shouldPreempt(work)
    this.#work += work
    return this.#work >= WORK || this.vcpu.interruptWaits
  }

  /** Stops half way: the call comes again with this argument changed. The return value is for the handler to return. */
  preempt(argument: number, value: number | bigint): number {
    this.setArgument(argument, value)
    this.preempted = true
    return 0
  }

  // ---------------------------------------------------------------- the guest's memory

  /** Copies from the caller's memory. @returns false for a bad pointer; what comes before it has been read */
  copyIn(pointer: bigint, into: Uint8Array, length: number = into.length): boolean {
    return this.#copy(pointer, into, length, ACCESS_READ)
  }

  /** Copies to the caller's memory. @returns false for a bad pointer; what comes before it has been written */
  copyOut(pointer: bigint, from: Uint8Array, length: number = from.length): boolean {
    return this.#copy(pointer, from, length, ACCESS_WRITE)
  }

  #copy(pointer: bigint, bytes: Uint8Array, length: number, access: number): boolean {
    const { vcpu } = this
    const { guestMemory } = this.domain
    const rights = access | vcpu.copyRights
    const start = Number(pointer & 0xffff_ffffn)
    const startHi = Number((pointer >> 32n) & 0xffff_ffffn)
    for (let done = 0; done < length;) {
      const at = start + done
      const gpa = vcpu.guestPhysical(at >>> 0, at > 0xffff_ffff ? (startHi + 1) >>> 0 : startHi, rights)
      if (gpa < 0) return false
      const piece = Math.min(length - done, PAGE_BYTES - (at & (PAGE_BYTES - 1)))
      const part = bytes.subarray(done, done + piece)
      if (!(access === ACCESS_WRITE ? guestMemory.write(gpa, part) : guestMemory.read(gpa, part))) return false
      done += piece
    }
    return true
  }

  /** Reads a structure, or the one with an index in an array of them; null for a bad pointer. */
  read<const F extends Readonly<Record<string, FieldType>>>(
    layout: Layout<F>,
    pointer: bigint,
    index: number = 0,
  ): Values<F> | null {
    const size = layout.size(this.compat)
    if (!this.copyIn(pointer + BigInt(index * size), this.#bytes, size)) return null
    return layout.decode(this.#view, this.compat)
  }

  /** Writes the given fields of a structure in order. @returns false for a bad pointer */
  write<const F extends Readonly<Record<string, FieldType>>>(
    layout: Layout<F>,
    pointer: bigint,
    values: Partial<Values<F>>,
    index: number = 0,
  ): boolean {
    const start = pointer + BigInt(index * layout.size(this.compat))
    for (const name in values) {
      const at = start + BigInt(layout.offset(name, this.compat))
      if (!this.writeElement(layout.fields[name]!, at, 0, values[name] as number | bigint)) return false
    }
    return true
  }

  /** Reads an element of an array; null for a bad pointer. */
  readElement(type: FieldType, pointer: bigint, index: number): number | bigint | null {
    const bytes = bytesOf(type, this.compat)
    if (!this.copyIn(pointer + BigInt(index * bytes), this.#bytes, bytes)) return null
    return get(this.#view, 0, type, this.compat)
  }

  /** Writes an element of an array. @returns false for a bad pointer */
  writeElement(type: FieldType, pointer: bigint, index: number, value: number | bigint): boolean {
    const bytes = bytesOf(type, this.compat)
    put(this.#view, 0, type, value, this.compat)
    return this.copyOut(pointer + BigInt(index * bytes), this.#bytes, bytes)
  }
}

/**
 * Makes the handler of a call whose argument 1 points to a structure.
 *
 * @param answer - takes the structure. @returns a result, or the fields to write back
 */
export const ofStructure =
  <const F extends Readonly<Record<string, FieldType>>>(
    layout: Layout<F>,
    answer: (call: XenCall, request: Values<F>) => number | Partial<Values<F>>,
  ) =>
  (call: XenCall, pointer: bigint = call.argument(1)): number => {
    const request = call.read(layout, pointer)
    if (request === null) return XenErrno.FAULT
    const result = answer(call, request)
    return typeof result === 'number' ? result : call.write(layout, pointer, result) ? 0 : XenErrno.FAULT
  }
