import {
  DebugPoints,
  type DebugResume,
  linearAddress,
  PointControl,
  type PointStop,
  type DebugPlace,
  type DeliveredException,
  type PlaceAccess,
} from '@retrap/engine'
import type { DebugHooks } from './system/breakpoints.ts'
import { SHADOW_MOV_SS, S_SHADOW } from './state/state-layout.ts'
import { X86CpuError } from './errors.ts'
import { ACTIVITY_RUNNING, ACTIVITY_SHUTDOWN, S_ACTIVITY } from './state/system-state.ts'
import type { Vcpu } from './vcpu.ts'

/** Why {@link Vcpu.run} returned with `debug`. */
export type DebugStop =
  | PointStop
  /** An instruction has raised an exception, which is delivered when the vCPU goes on. `address`: of a page fault. */
  | { readonly kind: 'fault'; readonly vector: number; readonly errorCode: number; readonly address: bigint }
  /** A triple fault. */
  | { readonly kind: 'shutdown' }
  /** An instruction has reached a place; it has retired, or an iteration of it. */
  | PlaceAccess
  /** An exception has been delivered: the first instruction of its handler is next. */
  | ({ readonly kind: 'handler' } & DeliveredException)

/**
 * Breakpoints, watchpoints and steps of one vCPU, by linear address: for debuggers. Guest memory stays as it is, so do the
 * guest's own debug registers. Elements of a string instruction that a device takes as one request count together for watchpoints.
 *
 * Accesses of a page with a watchpoint are looked at one by one, and compiled code ends at a breakpoint. Nothing else is
 * slower. `Vcpu.run` returns with `debug`, and {@link DebugControl.stop} says why.
 */
export class DebugControl extends PointControl {
  readonly #vcpu: Vcpu
  readonly #hooks: Hooks

  /** @throws X86CpuError `ERR_DEBUG` if the vCPU has a debugger already */
  constructor(vcpu: Vcpu) {
    if (vcpu.core.debug.hooks !== null) throw new X86CpuError('ERR_DEBUG', 'the vCPU has a debugger already')
    const hooks = new Hooks(vcpu)
    super({
      points: hooks.points,
      changed: () => {
        vcpu.engine.codeCache.breakpointsChanged()
        vcpu.core.pointsChanged()
      },
      mistake: (message) => new X86CpuError('ERR_DEBUG', message),
    })
    this.#vcpu = vcpu
    this.#hooks = hooks
    vcpu.core.debug.hooks = hooks
  }

  /** Why the vCPU has stopped; undefined when it has not, or goes on. */
  get stop(): DebugStop | undefined {
    return this.#hooks.stop
  }

  /** Vectors of exceptions that stop the vCPU before they are delivered. */
  get caughtFaults(): ReadonlySet<number> {
    return this.#hooks.faults
  }

  /** Adds a vector to those, or takes it away. */
  catchFault(vector: number, caught: boolean): void {
    if (caught) this.#hooks.faults.add(vector)
    else this.#hooks.faults.delete(vector)
  }

  /** Has the vCPU stop after an instruction that has reached some ports, device memory or MSRs, or no longer. */
  setPlace(place: DebugPlace, stops: boolean): void {
    const { core } = this.#vcpu
    if (stops) core.places.add(place)
    else core.places.remove(place)
    core.pointsChanged()
  }

  /** Has an exception stop the vCPU before the first instruction of its handler, or no longer. INT3, INTO and INT n do not count. */
  setHandler(vector: number, stops: boolean): void {
    this.#vcpu.core.places.setException(vector, stops)
  }

  /** Whether a triple fault stops the vCPU before it shuts down; not at first. */
  get catchesShutdown(): boolean {
    return this.#hooks.shutdown
  }
  set catchesShutdown(caught: boolean) {
    this.#hooks.shutdown = caught
  }

  /** Says how the next `run` goes on. */
  resume(how: DebugResume = {}): void {
    this.#hooks.resume(how)
  }

  /** Takes everything back: the vCPU has no debugger any more. A fault that waits is delivered. */
  detach(): void {
    const { core, engine } = this.#vcpu
    this.#hooks.resume({})
    this.#hooks.clear()
    core.places.clear()
    // A fault that is held is not lost: its instruction raises it again.
    core.debug.hooks = null
    engine.codeCache.breakpointsChanged()
    core.pointsChanged()
  }
}

/** The side of {@link DebugControl} that the processor sees. */
class Hooks implements DebugHooks {
  readonly #vcpu: Vcpu
  stepping = false
  holdsFault = false
  stop: DebugStop | undefined = undefined
  readonly faults = new Set<number>()
  shutdown = false
  readonly points = new DebugPoints()
  /** {@link Vcpu.cost} when the vCPU last went on. */
  #from = 0
  #passes = false
  #toldShutdown = false

  constructor(vcpu: Vcpu) {
    this.#vcpu = vcpu
  }

  clear(): void {
    this.points.clear()
    this.faults.clear()
    this.shutdown = false
  }

  resume({ step = false, holdInterrupts = true, passBreakpoint = false, dropFault = false }: DebugResume): void {
    const { core, u32, cost } = this.#vcpu
    this.stop = undefined
    this.#from = cost
    this.#passes = passBreakpoint
    if (u32[S_ACTIVITY >>> 2] !== ACTIVITY_SHUTDOWN) this.#toldShutdown = false
    if (dropFault) this.holdsFault = false
    this.stepping = step
    // A processor that waits for an interrupt gets it.
    core.outside.held = step && holdInterrupts && u32[S_ACTIVITY >>> 2] === ACTIVITY_RUNNING
  }

  stopsAt(lo: number, hi: number, cost: number): boolean {
    if (this.stepping || !this.points.breaksAt(lo, hi)) return false
    if (this.#passes && cost === this.#from) return false
    return this.#stops({ kind: 'breakpoint', address: linearAddress(lo, hi) })
  }

  stopsBetween(cost: number): boolean {
    const access = this.points.takeAccess()
    if (access !== null) return this.#stops({ kind: 'watch', ...access })
    const { places } = this.#vcpu.core
    const place = places.takeAccess()
    if (place !== null) return this.#stops(place)
    const exception = places.takeException()
    if (exception !== null) return this.#stops({ kind: 'handler', ...exception })
    if (!this.stepping || cost === this.#from) return false
    // As the trap flag has it: MOV SS and the instruction after it are one step.
    if ((this.#vcpu.u32[S_SHADOW >>> 2]! & SHADOW_MOV_SS) !== 0) return false
    return this.#stops({ kind: 'step' })
  }

  stopsForFault(vector: number, errorCode: number, addressLo: number, addressHi: number): boolean {
    if (!this.faults.has(vector)) return false
    this.holdsFault = true
    return this.#stops({ kind: 'fault', vector, errorCode, address: linearAddress(addressLo, addressHi) })
  }

  stopsForShutdown(): boolean {
    if (!this.shutdown || this.#toldShutdown) return false
    this.#toldShutdown = true
    return this.#stops({ kind: 'shutdown' })
  }

  releaseFault(): void {
    this.holdsFault = false
  }

  cancelled(): void {
    this.holdsFault = false
    this.#passes = false
    this.points.takeAccess()
  }

  #stops(stop: DebugStop): true {
    this.stop = stop
    this.stepping = false
    this.#vcpu.core.outside.held = false
    return true
  }
}
