import { Tlb, Turn, DebugPlaces } from '@retrap/engine'
import { type MachineMemory, PAGE_BYTES } from '@retrap/memory'
import { AccessLog, LOG_BYTES, AccessKind, accessTag } from '@retrap/replay'
import { AccessMode } from './access/access-mode.ts'
import { AddressSpaces } from './access/address-spaces.ts'
import { DeviceAccess, lowWord } from './access/device-access.ts'
import type { X86Engine } from './engine.ts'
import { type ExecutionCounts, WatchedExecution } from './state/execution.ts'
import { type CpuHost, SLOW_DIRECT, SLOW_WRITE, type Words } from './state/host.ts'
import { LineMonitor } from './access/line-monitor.ts'
import { LoggedAccess, PlainMemory } from './access/logged-access.ts'
import { MemoryAccess } from './access/memory-access.ts'
import type { Processor } from './model/processor.ts'
import { OutsideEvents } from './system/outside-events.ts'
import { PASS_FETCHED, Pass } from './access/pass.ts'
import { RepeatedAccess } from './access/repeated-access.ts'
import * as S from './state/state-layout.ts'
import { DebugSlot, DataBreakpoints } from './system/breakpoints.ts'
import type { Cpu, CpuClocks, Iterations } from './system/cpu.ts'
import { ACTIVITY_MWAIT, ACTIVITY_RUNNING, SMBASE_RESET, S_ACTIVITY, S_SMBASE } from './state/system-state.ts'
import { System } from './system/system.ts'
import { LinearTranslation } from './access/translation.ts'

const DATA = S.S_DATA >>> 2

/**
 * One vCPU as its instructions see it: the state area, memory and ports, translations, and the monitored line.
 *
 * Its interface for TypeScript handlers and event delivery is {@link Cpu}; the executor uses its parts.
 */
export class CpuCore implements Cpu {
  readonly memory: MachineMemory
  readonly host: CpuHost
  readonly processor: Processor
  readonly clocks: CpuClocks
  /** Machine address of the state. */
  readonly state: number
  readonly u8: Uint8Array
  readonly u16: Uint16Array
  readonly u32: Uint32Array
  readonly i32: Int32Array
  readonly u64: BigUint64Array
  readonly counts: ExecutionCounts = {
    systemCalls: 0,
    faults: 0,
    interrupts: 0,
    loggedPasses: 0,
    steps: 0,
    exclusive: 0,
  }
  /** The events of its execution for a tracer; none where there is no tracer. */
  readonly watched: WatchedExecution = new WatchedExecution()
  /** The log of the current instruction. */
  readonly log: AccessLog
  readonly system: System
  readonly tlb: Tlb
  readonly mode: AccessMode
  readonly pass: Pass
  readonly outside: OutsideEvents
  readonly turn: Turn
  readonly logged: LoggedAccess
  readonly device: DeviceAccess
  readonly memoryAccess: MemoryAccess
  /** Where a debugger has its hooks. */
  readonly debug: DebugSlot = new DebugSlot()
  readonly places: DebugPlaces = new DebugPlaces()
  readonly #repeated: RepeatedAccess
  readonly #breakpoints: DataBreakpoints
  readonly #spaces: AddressSpaces
  readonly #monitor: LineMonitor
  readonly #engine: X86Engine
  readonly #logAt: number
  /** Machine address of the TLB's sets; 0 before it executes. */
  #tlbAt = 0
  readonly #words: Words = { lo: 0, hi: 0 }

  constructor(engine: X86Engine, host: CpuHost, clocks: CpuClocks) {
    const memory = engine.memory
    this.memory = memory
    this.host = host
    this.processor = engine.processor
    this.clocks = clocks
    const state = memory.allocate(S.VCPU_BYTES, PAGE_BYTES, 'vCPU state')
    this.state = state
    this.u8 = memory.u8.subarray(state, state + S.VCPU_BYTES)
    this.u16 = memory.u16.subarray(state >>> 1, (state + S.VCPU_BYTES) >>> 1)
    this.u32 = memory.u32.subarray(state >>> 2, (state + S.VCPU_BYTES) >>> 2)
    this.i32 = memory.i32.subarray(state >>> 2, (state + S.VCPU_BYTES) >>> 2)
    this.u64 = memory.u64.subarray(state >>> 3, (state + S.VCPU_BYTES) >>> 3)
    const { u32 } = this
    this.#engine = engine
    this.#logAt = memory.allocate(LOG_BYTES, 8, 'access log')
    const log = new AccessLog(memory.buffer, this.#logAt)
    const { missSet, frameWriters: writers } = engine
    const tlb = new Tlb(memory, { changes: state + S.S_TLB_CHANGES, missSet, writers }, S.TLB_MODES)
    const mode = new AccessMode(u32, tlb)
    const pass = new Pass(u32, log, this.counts)
    this.log = log
    this.tlb = tlb
    this.mode = mode
    this.pass = pass
    this.outside = new OutsideEvents(u32)
    this.turn = new Turn(this.i32, S.STATE_LAYOUT)
    this.#spaces = new AddressSpaces(tlb, host, u32)
    this.#monitor = new LineMonitor(u32, engine.monitoredLines, () => host.monitorTriggered?.())
    this.system = new System(this)
    const breakpoints = new DataBreakpoints(this.system, this.debug)
    const translation = new LinearTranslation(host, tlb, log, u32)
    const plain = new PlainMemory(memory, state)
    const logged = new LoggedAccess(host, log, plain, this.places, u32)
    const device = new DeviceAccess(host, pass, breakpoints, this.places, u32)
    this.logged = logged
    this.device = device
    const { places } = this
    const parts = { tlb, mode, translation, plain, logged, device, breakpoints, places, u32, counts: this.counts }
    this.memoryAccess = new MemoryAccess(parts)
    this.#breakpoints = breakpoints
    this.#repeated = new RepeatedAccess(host, log, translation, breakpoints, places, u32)
    u32[S.S_TWO_TO_28 >>> 2] = 0x1000_0000
    const { amd, savesErrorPointers, restoresErrorPointers } = engine.processor
    u32[S.S_AMD >>> 2] = amd ? 1 : 0
    u32[S.S_POINTER_RULES >>> 2] =
      (savesErrorPointers ? 0 : S.POINTERS_SAVED_PENDING) | (restoresErrorPointers ? 0 : S.POINTERS_RESTORED_PENDING)
    u32[S_SMBASE >>> 2] = SMBASE_RESET
    u32[S.S_COUNTERS >>> 2] = engine.countersAt ?? 0
    u32[S.S_PAIR_LOCK >>> 2] = state + S.S_OWN_PAIR_LOCK
    this.i32[S.S_FAULT_VECTOR >>> 2] = -1
    engine.codeCache.addClient(tlb, state + S.S_RETURNS)
  }

  /** Gives the TLB its memory, if it has none: a vCPU that has not executed needs none. */
  placeTlb(): void {
    if (this.#tlbAt !== 0) return
    const { memory, state, tlb } = this
    this.#tlbAt = memory.allocate(S.TLB_SETS_BYTES, PAGE_BYTES, 'translations of a vCPU')
    tlb.place(this.#tlbAt)
    memory.u32[(state + S.S_TLB_BASE) >>> 2] = this.#tlbAt
    if (this.u32[S.S_LOGGED >>> 2] !== 1) this.mode.useSet()
  }

  /** Gives the TLB's memory back until it executes again. */
  leaveTlb(): void {
    if (this.#tlbAt === 0) return
    const { memory, state, tlb } = this
    tlb.leave()
    memory.free(this.#tlbAt)
    this.#tlbAt = 0
    memory.u32[(state + S.S_TLB_BASE) >>> 2] = 0
    if (this.u32[S.S_LOGGED >>> 2] !== 1) this.mode.useSet()
  }

  /** Gives its part of machine memory back: it executes no more. */
  close(): void {
    this.#engine.codeCache.removeClient(this.tlb)
    this.#monitor.close()
    this.tlb.close()
    this.memory.free(this.#logAt)
    this.memory.free(this.state)
    if (this.#tlbAt !== 0) this.memory.free(this.#tlbAt)
  }

  // ---------------------------------------------------------------- memory and ports

  access(lo: number, hi: number, flags: number): number {
    return this.memoryAccess.systemAccess(lo >>> 0, hi >>> 0, flags)
  }

  accessPhysical(gpa: number, flags: number): number {
    return this.memoryAccess.accessPhysical(gpa, flags)
  }

  port(port: number, flags: number): number {
    if (this.u32[S.S_LOGGED >>> 2] === 1) return this.#portLogged(port, flags)
    const size = flags & 0xff
    if ((flags & SLOW_DIRECT) === 0 || (this.places.ports && this.places.matches('port', port, size)))
      return S.STATUS_RESTART
    if (this.host.answersAtOnce?.(true, port, size, size) !== true) return S.STATUS_RESTART
    if ((flags & SLOW_WRITE) !== 0) return this.host.portWrite(port, size, lowWord(this.u32[DATA]!, size), false)
    const status = this.host.portRead(port, size, this.#words, false)
    if (status === S.STATUS_DONE) this.u32[DATA] = this.#words.lo
    return status
  }

  #portLogged(port: number, flags: number): number {
    const { log, host } = this
    const size = flags & 0xff
    const write = (flags & SLOW_WRITE) !== 0
    const index = log.access(write ? AccessKind.PORT_WRITE : AccessKind.PORT_READ, port, 0, size, accessTag(0))
    const state = log.state(index)
    if (state !== S.STATUS_DONE) {
      if (write) log.setData(index, this.u32[DATA]!, 0)
      let status: number
      if (state === S.STATUS_RETRY) status = host.answer()
      else if (write) status = host.portWrite(port, size, log.dataLo(index), true)
      else status = host.portRead(port, size, host.record, true)
      if (status === S.STATUS_RETRY) log.wait(index)
      if (status !== S.STATUS_DONE) return status
      if (!write) log.setData(index, host.record.lo, 0)
      log.complete(index)
    }
    if (this.places.ports) this.places.note('port', port, size, write, log.dataLo(index), 0)
    if (!write) this.u32[DATA] = log.dataLo(index)
    return S.STATUS_DONE
  }

  repeat(iterations: Iterations): number {
    // An instruction whose bytes a device holds is fetched for each iteration, however fast the device is.
    if (this.pass.state === PASS_FETCHED) return 0
    return this.#repeated.make(iterations)
  }

  affordableIterations(): number {
    return this.log.nextKind() >= 0 ? Infinity : Math.max(1, this.turn.remaining + this.turn.later)
  }

  mayRepeat(): boolean {
    // Events that come up while a request is waited for are too late: the pass that made it has decided.
    return this.u32[S.S_EVENTS >>> 2] === 0 || this.log.nextKind() >= 0
  }

  mayEndGather(): boolean {
    if (this.u32[S.S_LOGGED >>> 2] !== 1 || this.log.nextKind() >= 0) return false
    return this.outside.nmi || this.outside.interrupt || this.outside.smi
  }

  // ---------------------------------------------------------------- translations

  flushTlb(all: boolean): void {
    this.#monitor.trigger()
    // A change of DR7 flushes everything.
    if (all) this.#breakpoints.refresh()
    this.#spaces.flush(all)
  }

  /** Drops all translations, as what a debugger watches has changed. The guest does not notice: its MWAIT goes on waiting. */
  pointsChanged(): void {
    this.#breakpoints.refresh()
    this.#spaces.flush(true)
  }

  /**
   * Drops all translations: the host's map has changed. A monitored line is monitored where it is now.
   *
   * @param from - of a frame whose contents alone are elsewhere now: see `Tlb.moveFrame`
   */
  mapChanged(from: number | undefined, to: number): void {
    if (from === undefined) this.pointsChanged()
    else this.tlb.moveFrame(from, to, this.#engine.codeCache.frameMoved(from >>> 12, this.u32[S.S_SLOTS >>> 2]!))
    const gpa = this.#monitor.address
    if (gpa >= 0) this.#monitor.moved(this.host.peekAddress?.(gpa) ?? -1)
  }

  dropKeys(keys: number): void {
    this.tlb.dropKeys(keys)
  }

  invalidatePage(lo: number, hi: number): void {
    this.#monitor.trigger()
    this.#spaces.invalidatePage(lo, hi)
  }

  invalidatePcid(scope: number, pcid: number, lo: number, hi: number): void {
    this.#monitor.trigger()
    this.#spaces.invalidatePcid(scope, pcid, lo, hi)
  }

  switchPcid(from: number, to: number, keep: boolean): void {
    this.#monitor.trigger()
    this.#spaces.switchPcid(from, to, keep)
  }

  modeChanged(): void {
    this.#monitor.trigger()
    this.mode.changed()
  }

  // ---------------------------------------------------------------- the monitored line

  monitor(lo: number, hi: number): number {
    const status = this.memoryAccess.locate(lo, hi)
    if (status === S.STATUS_DONE) this.#monitor.arm(this.memoryAccess.locatedGpa, this.memoryAccess.locatedMa)
    return status
  }

  armMonitor(gpa: number, ma: number): void {
    if (ma >= 0) this.#monitor.arm(gpa, ma)
    else if (this.u32[S_ACTIVITY >>> 2] === ACTIVITY_MWAIT) this.u32[S_ACTIVITY >>> 2] = ACTIVITY_RUNNING
  }

  endMonitor(): void {
    this.#monitor.trigger()
  }

  // ---------------------------------------------------------------- flags

  materialiseFlags(): number {
    return (this.u32[S.S_EFLAGS >>> 2]! & ~S.FLAGS_ARITHMETIC) | arithmeticFlags(this.u32) | 2
  }

  setRflags(value: number): void {
    this.u32[S.S_EFLAGS >>> 2] = (value & ~S.FLAGS_ARITHMETIC) | 2
    setArithmeticFlags(this.u32, value)
  }
}

/** The lazy flags, as generated code derives them (semantics/library.ts). */
function arithmeticFlags(u32: Uint32Array): number {
  const kind = u32[S.S_FLAGS_KIND >>> 2]!
  const bLo = u32[S.S_FLAGS_B >>> 2]!
  if (kind === S.FLAGS_EXPLICIT) return bLo & S.FLAGS_ARITHMETIC
  const bHi = u32[(S.S_FLAGS_B >>> 2) + 1]!
  const aLo = u32[S.S_FLAGS_A >>> 2]!
  const aHi = u32[(S.S_FLAGS_A >>> 2) + 1]!
  const rLo = u32[S.S_FLAGS_RESULT >>> 2]!
  const rHi = u32[(S.S_FLAGS_RESULT >>> 2) + 1]!
  let parity = rLo & 0xff
  parity ^= parity >>> 4
  let flags = ((0x9669 >>> (parity & 15)) & 1) !== 0 ? S.FLAG_PF : 0
  if ((rLo | rHi) === 0) flags |= S.FLAG_ZF
  if ((rHi & 0x8000_0000) !== 0) flags |= S.FLAG_SF
  if (kind === S.FLAGS_SUB || kind === S.FLAGS_ADD) {
    flags |= (aLo ^ bLo ^ rLo) & S.FLAG_AF
    // Carry: a < b after a subtraction, result < b after an addition, unsigned.
    const [xLo, xHi] = kind === S.FLAGS_SUB ? [aLo, aHi] : [rLo, rHi]
    if (xHi < bHi || (xHi === bHi && xLo < bLo)) flags |= S.FLAG_CF
    const overflow = kind === S.FLAGS_SUB ? (aHi ^ bHi) & (aHi ^ rHi) : (aHi ^ rHi) & (bHi ^ rHi)
    if ((overflow & 0x8000_0000) !== 0) flags |= S.FLAG_OF
    return flags
  }
  if (kind === S.FLAGS_MULTIPLY) {
    const [a, b] = [(BigInt(aHi) << 32n) | BigInt(aLo), (BigInt(bHi) << 32n) | BigInt(bLo)]
    const product = BigInt.asIntN(64, a) * BigInt.asIntN(64, b)
    return BigInt.asIntN(64, product) === product ? flags : flags | S.FLAG_CF | S.FLAG_OF
  }
  return flags | (bLo & (S.FLAG_CF | S.FLAG_AF | S.FLAG_OF))
}

/** Sets the six arithmetic flags to those of an RFLAGS image. */
function setArithmeticFlags(u32: Uint32Array, image: number): void {
  u32[S.S_FLAGS_KIND >>> 2] = S.FLAGS_EXPLICIT
  u32[S.S_FLAGS_B >>> 2] = image & S.FLAGS_ARITHMETIC
  u32[(S.S_FLAGS_B >>> 2) + 1] = 0
  u32[S.S_FLAGS_RESULT >>> 2] = (image & S.FLAG_ZF) !== 0 ? 0 : 1
  u32[(S.S_FLAGS_RESULT >>> 2) + 1] = 0
}
