import { shapeFault } from '@retrap/device'
import type { IoDispatchState } from '@retrap/ioreq'
import type { ClockState } from '../clock.ts'
import type { DevicesState, DomainRest } from '../domain-rest.ts'
import type { Domain } from '../domain.ts'
import { HvmError } from '../errors.ts'
import { type FrameSet, guestFrames, type GuestFrames } from './guest-frames.ts'
import { closePages, type GuestPages, type GuestPageSource } from './page-source.ts'
import type { PageCopies } from './page-copies.ts'
import type { KnownContents, PostCopyPages } from './post-copy.ts'
import type { RoundState } from '../scheduling/deterministic-schedule.ts'
import type { Architecture, FollowedVcpu } from '../virtual-cpu.ts'

/** State of a domain common to all instruction sets, without the contents of its RAM. */
export interface DomainState {
  /** Version of this shape. */
  readonly version: 1
  /** Virtual time. */
  readonly clock: ClockState
  /** State of the round of deterministic time; null on the host's clock. */
  readonly round: RoundState | null
  /** No vCPU executes, as in S3. */
  readonly asleep: boolean
  /** Processors, by number. */
  readonly vcpus: readonly unknown[]
  /** Device models, with the memory that they own. */
  readonly devices: DevicesState
  /** The PCI configuration address; absent in states of 0.2 or earlier: 0. */
  readonly io?: IoDispatchState
  /** The part that the guest's hypervisor keeps; null, or not there, of a guest that sees none. */
  readonly hypervisor?: unknown
  /** RAM and ROM. */
  readonly frames: readonly GuestFrames[]
}

/** A domain as it was between two instructions. */
export interface DomainSnapshot<S extends DomainState, P = GuestPages> {
  /** Everything else. */
  readonly state: S
  /** The contents of RAM and ROM. */
  readonly pages: P
}

/** A domain that runs while some of its RAM is still to be restored from a snapshot. */
export interface DomainRestoring {
  /** Blocks of 2 MiB that have not been brought. */
  readonly left: number
  /**
   * Brings the rest, between others' turns; to be called even if the domain is not run. Contents that cannot be read stop
   * the domain with `memory-failure`.
   *
   * @param turn - yields a turn of the host's event loop
   */
  finish(turn: () => Promise<void>): Promise<void>
  /** Loads the remaining pages at once. @throws errors of the source */
  finishNow(): void
  /** Discards the domain, which will not be used any more. */
  close(): void
}

/** An instruction set's part of a domain, which can be saved. */
export interface SavedArchitecture<S extends DomainState> extends Architecture<FollowedVcpu> {
  /** Returns its state. */
  save(): Omit<S, Exclude<keyof DomainState, 'vcpus'>>
  /** Returns the present state, to compare shapes: an instruction may be waiting for a device. */
  inspect(): Omit<S, Exclude<keyof DomainState, 'vcpus'>>
  /** Restores interrupt controllers and timers; the time has been restored. */
  restoreInterrupts(state: S): void
  /** Restores state that affects the map, after device models have mapped their memory; RAM follows later. */
  restoreMap?(state: S): void
  /** Restores vCPUs, last of all, when the memory that they monitor is in place. */
  restoreVcpus(state: S): void
}

/** A domain that can be saved: an `X86Domain` or an `ArmDomain`. */
export type SavedDomain<S extends DomainState> = Domain<FollowedVcpu, SavedArchitecture<S>>

/**
 * Saves a domain as it is now, but for the contents of its RAM.
 *
 * @param rest - of the domain
 * @throws HvmError `ERR_STATE` for guest memory that is neither RAM nor ROM nor a device model's, and for a domain with a
 *   hypervisor's own interface that keeps nothing. DeviceError as `DomainRest.saveDevices`; what the hypervisor throws
 */
export async function saveDomainState<S extends DomainState>(domain: SavedDomain<S>, rest: DomainRest): Promise<S> {
  const { kept } = domain
  if (domain.seesHypervisor && kept === undefined)
    throw new HvmError('ERR_STATE', 'the domain sees a hypervisor that cannot be saved: expected one with `kept`')
  domain.secondLevel.late?.finishNow()
  const devices = await rest.saveDevices()
  const common: Omit<DomainState, 'vcpus'> = {
    version: 1,
    clock: domain.clock.save(),
    round: domain.saveRound(),
    asleep: domain.asleep,
    devices,
    io: domain.dispatch.save(),
    hypervisor: kept?.save() ?? null,
    frames: guestFrames(domain),
  }
  return { ...common, ...domain.architecture.save() } as unknown as S
}

/**
 * Begins to copy the present RAM and ROM: each frame is copied before its next write, so that the domain may continue.
 * `collect` of the result returns the copy; `close` abandons it.
 *
 * @param written - copies only these frames, including zero frames
 * @throws HvmError `ERR_STATE` as {@link saveDomainState}; RangeError if the host lacks memory
 */
export async function beginCopying(domain: Domain, written?: FrameSet): Promise<PageCopies> {
  // Loaded on demand, because few machines are saved.
  const { PageCopies } = await import('./page-copies.ts')
  return new PageCopies(domain, written)
}

/**
 * Saves a domain as {@link saveDomainState} does, with its RAM. Every vCPU is brought between two instructions and the
 * device models to rest; afterwards it can be run on. Not while `run` is under way.
 *
 * @param deadlineMs - host time that devices may take
 * @throws as `Domain.rest`, {@link saveDomainState} and {@link beginCopying}
 */
export async function saveDomain<S extends DomainState>(
  domain: SavedDomain<S>,
  deadlineMs: number,
): Promise<DomainSnapshot<S>> {
  const rest = await domain.rest(deadlineMs)
  let state: S
  let copies: PageCopies
  try {
    state = await saveDomainState(domain, rest)
    copies = await beginCopying(domain)
  } finally {
    rest.end()
  }
  return { state, pages: await copies.collect(() => Promise.resolve()) }
}

/** Hooks for restoring a domain that has run. */
export interface DomainAbandonment {
  /** Host time that device models may take to bring their work to rest, in milliseconds. */
  readonly deadlineMs: number
  /** The state fits, and nothing has been changed yet. */
  accepted(): void
  /** Called when the whole state is restored, before device models resume. */
  returned(): void
}

/** Hooks for restoring a domain to a snapshot. */
export interface DomainReturn extends DomainAbandonment, Pick<KnownContents, 'log'> {
  /** Returns the frames whose contents may differ from the wanted ones; undefined: any frame. */
  written(): FrameSet | undefined
}

/** Checks whether a state is of a domain like this. */
function checkState<S extends DomainState>(domain: SavedDomain<S>, state: S): void {
  if (state?.version !== 1)
    throw new HvmError('ERR_STATE', `state of a domain of version ${String(state?.version)}: expected 1`)
  const round = domain.saveRound()
  // Both fields are optional: absent if nothing has moved, and if no turn continues.
  const { moved: _moved, goesOn: _goesOn, ...expected } = round ?? {}
  checkShape('the domain’s state', state, {
    version: 1,
    clock: domain.clock.save(),
    round: round && expected,
    asleep: domain.asleep,
    frames: guestFrames(domain),
    ...(state.io && { io: domain.dispatch.save() }),
    ...domain.architecture.inspect(),
  })
  if (state.vcpus.length !== domain.vcpus.length)
    throw new HvmError('ERR_STATE', `state of ${state.vcpus.length} vCPUs: expected ${domain.vcpus.length}`)
  checkHypervisor(domain, state)
  domain.checkDevices(state.devices)
}

function checkHypervisor<S extends DomainState>({ kept }: SavedDomain<S>, { hypervisor, frames }: S): void {
  const saved = hypervisor ?? null
  if ((saved === null) === (kept === undefined)) {
    kept?.check(saved, frames)
    return
  }
  const [there, here] = saved === null ? ['no hypervisor', 'one'] : ['a hypervisor', 'none']
  throw new HvmError('ERR_STATE', `the saved guest saw ${there}: expected ${here}, as of this domain`)
}

/**
 * Restores a domain as {@link restoreDomain} does, and lets it run before its RAM is complete: accessed pages are
 * loaded first.
 *
 * @param mapped - called when device models have mapped their memory, before RAM is restored
 * @param used - for a domain that has run, whose state is abandoned first; default a new domain
 * @throws as {@link restoreDomain}, except errors of later page reads; DeviceError `ERR_DEVICE` if a model of a domain that
 * has run does not come to rest in time, which leaves the domain unchanged
 */
export async function beginRestoringDomain<S extends DomainState>(
  domain: SavedDomain<S>,
  { state, pages }: DomainSnapshot<S, GuestPages | GuestPageSource>,
  mapped?: () => void,
  used?: DomainReturn,
): Promise<DomainRestoring> {
  let late: PostCopyPages | undefined
  try {
    const { PostCopyPages } = await import('./post-copy.ts')
    const rest = await restoreModels(domain, state, mapped, used)
    late = new PostCopyPages(domain, state.frames, pages, { written: used?.written(), log: used?.log })
    goOn(domain, state, rest, used)
    return late
  } catch (error) {
    late?.close()
    closePages(pages)
    throw error
  }
}

/**
 * Restores a new domain with the same number of vCPUs, processor, interrupt controllers and device models to a saved
 * state. After an error the domain is unusable.
 *
 * @param mapped - called when device models have mapped their memory, before RAM is restored
 * @throws HvmError `ERR_STATE` for another version, shape, number of vCPUs, or memory; DeviceError, IrqchipError, X86CpuError,
 *   ArmCpuError where devices, interrupt controllers or processors are others; what a source of pages throws
 */
export async function restoreDomain<S extends DomainState>(
  domain: SavedDomain<S>,
  snapshot: DomainSnapshot<S, GuestPages | GuestPageSource>,
  mapped?: () => void,
): Promise<void> {
  const late = await beginRestoringDomain(domain, snapshot, mapped)
  late.finishNow()
}

/** Restores all but RAM and vCPUs. @returns the rest of the device models: those that go on look at rings in RAM at once */
export async function restoreModels<S extends DomainState>(
  domain: SavedDomain<S>,
  state: S,
  mapped: (() => void) | undefined,
  used: DomainAbandonment | undefined,
): Promise<DomainRest> {
  checkState(domain, state)
  return putModelsBack(domain, state, mapped, used)
}

/** As {@link restoreModels}, with a state that fits. */
export async function putModelsBack<S extends DomainState>(
  domain: SavedDomain<S>,
  state: S,
  mapped: (() => void) | undefined,
  used: DomainAbandonment | undefined,
): Promise<DomainRest> {
  if (used !== undefined) {
    await domain.abandon(used.deadlineMs)
    used.accepted()
    domain.secondLevel.late?.drop()
  }
  domain.clock.restore(state.clock)
  domain.restoreRound(state.round)
  if (state.io !== undefined) domain.dispatch.restore(state.io)
  // Controllers restore the levels of wires; the models then drive the same levels.
  domain.architecture.restoreInterrupts(state)
  const rest = await domain.restoreDevices(state.devices)
  domain.architecture.restoreMap?.(state)
  mapped?.()
  domain.kept?.restoreMap(state.hypervisor, guestFrames(domain), state.frames)
  return rest
}

/** Restores the vCPUs, now that RAM can be read, and has the device models go on. */
export function goOn<S extends DomainState>(
  domain: SavedDomain<S>,
  state: S,
  rest: DomainRest,
  used: DomainAbandonment | undefined,
): void {
  domain.asleep = state.asleep
  domain.architecture.restoreVcpus(state)
  domain.kept?.restoreRest(state.hypervisor)
  used?.returned()
  rest.end()
}

/**
 * Refuses a saved state that lacks a field of the party's present state, or has a field of another type. Null matches
 * anything; all elements of an array must match the present array's first element.
 *
 * @param path - names the state in the error
 * @throws HvmError `ERR_STATE`, with the path of the field
 */
export function checkShape(path: string, given: unknown, own: unknown): void {
  const fault = shapeFault(path, given, own)
  if (fault !== undefined) throw new HvmError('ERR_STATE', fault)
}
