import {
  type DebugPlace,
  DebugPlaces,
  type DeliveredException,
  DebugPoints,
  type DebugResume,
  linearAddress,
  PointControl,
  type PlaceAccess,
  type PointStop,
  type WatchedAccess,
} from '@retrap/engine'
import { type ArmCpu, debugStopsOf } from './cpu.ts'
import type { DebugHooks, DebugSlot } from './access/debug-stops.ts'
import { ArmCpuError } from './errors.ts'
import { EC_SVC32, EC_SVC64, exceptionClassOf } from './state/syndrome.ts'
import { S_FAULT_ADDRESS, S_FAULT_STAGE, S_FAULT_SYNDROME, S_WAITING } from './state/state-layout.ts'
import type { SystemState } from './state/system-state.ts'

/** Why {@link ArmCpu.run} returned with `debug`. */
export type ArmDebugStop =
  | PointStop
  /** An exception will be taken to EL1 on resuming. `vector`: its class, as of EL0; `syndrome`: ESR_EL1; `address`: FAR_EL1 if the exception sets it. */
  | { readonly kind: 'exception'; readonly vector: number; readonly syndrome: number; readonly address: bigint }
  /** An instruction has reached device memory; it has retired. */
  | PlaceAccess
  /** An exception has been taken: the first instruction of its handler is next. `vector`: its class. */
  | ({ readonly kind: 'handler' } & DeliveredException)

/** How a processor goes on; see {@link ArmDebugControl.resume}. An exception of SVC is not forgotten: `dropFault` does nothing. */
export type ArmDebugResume = DebugResume

/**
 * Breakpoints, watchpoints and steps of one processor, by virtual address: for debuggers. Guest memory stays as it is, and so
 * do the guest's own debug registers. Tags of addresses are left out.
 *
 * Accesses of a page with watched data are looked at one by one, and compiled code ends at a breakpoint. `ArmCpu.run` returns with `debug`, and {@link ArmDebugControl.stop} says why.
 */
export class ArmDebugControl extends PointControl {
  readonly #cpu: ArmCpu
  readonly #slot: DebugSlot
  readonly #hooks: Hooks

  /** @throws ArmCpuError `ERR_DEBUG` if the processor has a debugger already */
  constructor(cpu: ArmCpu) {
    const { slot, system } = debugStopsOf(cpu)
    if (slot.hooks !== null) throw new ArmCpuError('ERR_DEBUG', 'the processor has a debugger already')
    const hooks = new Hooks(cpu, system)
    super({
      points: hooks.points,
      changed: () => {
        cpu.engine.codeCache.breakpointsChanged()
        cpu.flushTlb()
      },
      mistake: (message) => new ArmCpuError('ERR_DEBUG', message),
    })
    this.#cpu = cpu
    this.#slot = slot
    this.#hooks = hooks
    slot.hooks = hooks
  }

  /** Why the processor has stopped; undefined if it runs. */
  get stop(): ArmDebugStop | undefined {
    return this.#hooks.stop
  }

  /** Exception classes that stop the processor before EL1 takes them, by the EC of exceptions from EL0. */
  get caughtFaults(): ReadonlySet<number> {
    return this.#hooks.classes
  }

  /** Adds an exception class to `caughtFaults`, or removes it. */
  catchFault(exceptionClass: number, caught: boolean): void {
    this.#hooks.catchClass(exceptionClass, caught)
  }

  /** Has the processor stop after an instruction that has reached some device memory, or no longer. */
  setPlace(place: DebugPlace, stops: boolean): void {
    if (stops) this.#hooks.places.add(place)
    else this.#hooks.places.remove(place)
  }

  /** Has an exception stop the processor before the first instruction of its handler, or no longer. */
  setHandler(exceptionClass: number, stops: boolean): void {
    this.#hooks.setHandler(exceptionClass, stops)
  }

  /** Whether watchpoints stop before the instruction, which is executed next, instead of after it; not at first. */
  get watchesBefore(): boolean {
    return this.#hooks.watchesBefore
  }
  set watchesBefore(before: boolean) {
    this.#hooks.watchesBefore = before
  }

  /** Sets how the next `run` resumes. */
  resume(how: ArmDebugResume = {}): void {
    this.#hooks.resume(how)
  }

  /** Takes everything back: the processor has no debugger any more. An exception that waits is taken. */
  detach(): void {
    this.#hooks.clear()
    this.#slot.hooks = null
    this.#cpu.engine.codeCache.breakpointsChanged()
    this.#cpu.flushTlb()
  }
}

/** The side of {@link ArmDebugControl} that the processor sees. */
class Hooks implements DebugHooks {
  readonly points = new DebugPoints()
  readonly places = new DebugPlaces()
  readonly classes = new Set<number>()
  #stopsBehindCalls = false
  watchesBefore = false
  stepping = false
  holdsInterrupts = false
  stop: ArmDebugStop | undefined = undefined
  readonly #cpu: ArmCpu
  readonly #system: SystemState
  /** {@link ArmCpu.cost} when the processor last went on. */
  #from = 0
  #passes = false
  /** The processor had stopped before an access: that one counts no longer. */
  #passesAccess = false
  /** Something has been executed since. */
  #hasMoved = false
  /** The access of an instruction that is left to the hypervisor. */
  #aside: WatchedAccess | null = null

  constructor(cpu: ArmCpu, system: SystemState) {
    this.#cpu = cpu
    this.#system = system
  }

  catchClass(exceptionClass: number, caught: boolean): void {
    if (caught) this.classes.add(exceptionClass)
    else this.classes.delete(exceptionClass)
    this.#catchCalls()
  }

  setHandler(exceptionClass: number, stops: boolean): void {
    this.places.setException(exceptionClass, stops)
    if (exceptionClass === EC_SVC64) this.#stopsBehindCalls = stops
    this.#catchCalls()
  }

  #catchCalls(): void {
    this.#system.catchCalls(this.#stopsBehindCalls || this.classes.has(EC_SVC64))
  }

  clear(): void {
    this.points.clear()
    this.places.clear()
    this.classes.clear()
    this.#stopsBehindCalls = false
    this.#catchCalls()
  }

  resume({ step = false, holdInterrupts = true, passBreakpoint = false, dropFault = false }: ArmDebugResume): void {
    this.#passesAccess = this.watchesBefore && this.stop?.kind === 'watch'
    this.stop = undefined
    this.#from = this.#cpu.cost
    this.#passes = passBreakpoint
    this.#hasMoved = false
    if (dropFault) this.#dropException()
    this.stepping = step
    // A processor that waits for an interrupt gets it.
    this.holdsInterrupts = step && holdInterrupts && this.#system.word(S_WAITING) === 0
  }

  /** The program counter of SVC is behind it already: it is not executed again. */
  #dropException(): void {
    const exceptionClass = exceptionClassOf(this.#system.word(S_FAULT_SYNDROME))
    if (exceptionClass === EC_SVC64 || exceptionClass === EC_SVC32) return
    this.#system.setWord(S_FAULT_SYNDROME, 0)
    this.#system.setWord(S_FAULT_STAGE, 0)
  }

  stopsAt(lo: number, hi: number, cost: number): boolean {
    if (this.stepping || !this.points.breaksAt(lo, hi)) return false
    if (this.#passes && this.#isWhereItWas(cost)) return false
    return this.#stops({ kind: 'breakpoint', address: linearAddress(lo, hi) })
  }

  #isWhereItWas(cost: number): boolean {
    return !this.#hasMoved && cost === this.#from
  }

  stopsForAccess(lo: number, hi: number, size: number, write: boolean, both: boolean): boolean {
    const { points } = this
    if (this.#passesAccess && this.#isWhereItWas(this.#cpu.cost)) return false
    points.note(lo, hi, size, write)
    if (both) points.note(lo, hi, size, true)
    if (!this.watchesBefore) return false
    const access = points.takeAccess()
    return access !== null && this.#stops({ kind: 'watch', ...access })
  }

  executed(): void {
    this.#hasMoved = true
  }

  stopsBetween(): boolean {
    const access = this.points.takeAccess()
    if (access !== null) return this.#stops({ kind: 'watch', ...access })
    const place = this.#hasMoved ? this.places.takeAccess() : null
    if (place !== null) return this.#stops(place)
    const exception = this.places.takeException()
    if (exception !== null) return this.#stops({ kind: 'handler', ...exception })
    return this.stepping && this.#hasMoved && this.#stops({ kind: 'step' })
  }

  stopsFor(syndrome: number, addressLo: number, addressHi: number): boolean {
    // An instruction that faults has accessed nothing.
    this.points.takeAccess()
    const vector = exceptionClassOf(syndrome)
    if (!this.classes.has(vector)) return false
    return this.#stops({ kind: 'exception', vector, syndrome, address: linearAddress(addressLo, addressHi) })
  }

  takes(): void {
    if (!this.places.exceptions) return
    const s = this.#system
    const syndrome = s.word(S_FAULT_SYNDROME)
    const address = linearAddress(s.word(S_FAULT_ADDRESS), s.word(S_FAULT_ADDRESS + 4))
    const isEl1 = s.word(S_FAULT_STAGE) === 0
    this.places.noteException(isEl1 ? { vector: exceptionClassOf(syndrome), errorCode: syndrome, address } : null)
  }

  leftToHypervisor(): void {
    this.#aside = this.points.takeAccess()
  }

  finished(hasRetired: boolean): void {
    this.points.keepAccess(hasRetired ? this.#aside : null)
    if (!hasRetired) this.places.takeAccess()
    this.#aside = null
    this.#hasMoved = true
  }

  #stops(stop: ArmDebugStop): true {
    this.stop = stop
    this.stepping = false
    this.holdsInterrupts = false
    return true
  }
}
