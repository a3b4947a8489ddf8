import {
  beginRestoringX86Domain,
  beginSavingX86Domain,
  checkShape,
  type DomainVapic,
  type GuestPages,
  type X86Domain,
  type X86DomainRestoring,
} from '@retrap/hvm'
import { MachineError } from './errors.ts'
import type { FirmwareArea } from './firmware-area.ts'
import { hostClock, laterTurn, type RandomSource } from './host.ts'
import { type PcOptions, startsDirectly } from './pc-options.ts'
import type { PcSnapshot, PcSnapshotMachine, PcSnapshotSource, PcSnapshotState } from './pc-snapshot.ts'
import type { Sleep } from './sleep.ts'
import { Smram } from './smram.ts'

/** The parts of a PC that a snapshot has. */
export interface SnapshotParts {
  readonly domain: X86Domain
  readonly options: PcOptions
  readonly random: RandomSource
  readonly area: FirmwareArea | undefined
  readonly vapic: DomainVapic | undefined
  readonly sleep: Sleep
}

/** What a snapshot says of the machine that options make. */
export function machineOf(options: PcOptions): PcSnapshotMachine {
  const start = startsDirectly(options) ? 'kernel' : options.firmware === undefined ? 'flash' : 'firmware'
  return {
    memoryBytes: options.memoryBytes,
    machine: options.machine ?? 'pc',
    cpus: options.cpus ?? 1,
    smm: options.smm === true,
    start,
    clock: options.clock ?? 'real',
    media: (options.drives ?? []).map(({ medium }) => medium?.properties.bytes ?? 0),
  }
}

/** A PC that is being saved. It may run on. */
export interface PcSaving {
  /** Host time that this took, in milliseconds. */
  readonly tookMs: number
  /**
   * Copies RAM as it was. To be called once.
   *
   * @throws MachineError `ERR_SNAPSHOT` where the host has no memory for the copy
   */
  finish(): Promise<PcSnapshot>
}

/** A PC without its domain. */
function stateOf({ domain, options, random, area, vapic, sleep }: SnapshotParts): Omit<PcSnapshotState, 'domain'> {
  return {
    version: 1,
    machine: machineOf(options),
    random: random.save(),
    firmwareArea: area?.save() ?? null,
    smram: smramOf(domain)?.save() ?? null,
    vapic: vapic?.save() ?? null,
    woken: sleep.isWoken,
  }
}

/**
 * Saves a PC but for its RAM, which is copied while it runs on. Not while it runs.
 *
 * @param deadlineMs - host time that devices may take
 * @throws MachineError `ERR_SNAPSHOT` for what cannot be saved, and for devices that are too late
 */
export async function savePc(parts: SnapshotParts, deadlineMs: number): Promise<PcSaving> {
  const begun = hostClock()
  const others: { state?: Omit<PcSnapshotState, 'domain'> } = {}
  // An error without a code is a defect of ours.
  const isOurs = (error: unknown): boolean => !(error instanceof Error && 'code' in error)
  return explaining('this machine cannot be saved', isOurs, async () => {
    const { state, pages } = await beginSavingX86Domain(parts.domain, deadlineMs, () => {
      others.state = stateOf(parts)
    })
    const whole = { ...others.state!, domain: state }
    return { tookMs: (hostClock() - begun) / 1e6, finish: async () => ({ state: whole, pages: await copied(pages) }) }
  })
}

/** Copies RAM while others have their turns. @throws MachineError `ERR_SNAPSHOT` */
async function copied(pages: (turn: () => Promise<void>) => Promise<GuestPages>): Promise<GuestPages> {
  const later = laterTurn()
  try {
    return await pages(() => new Promise((resolve) => later(resolve)))
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    const what = `its RAM cannot be copied: ${error.message}; the machine is as it was`
    throw new MachineError('ERR_SNAPSHOT', `this machine cannot be saved: ${what}`, { cause: error })
  }
}

/**
 * Restores a PC that has just been made. One for which this fails is of no more use.
 *
 * @returns what brings the rest of its RAM, which goes on by itself
 * @throws MachineError `ERR_SNAPSHOT` for a snapshot of another version, or of another machine
 */
export async function restorePc(parts: SnapshotParts, snapshot: PcSnapshotSource): Promise<X86DomainRestoring> {
  const { domain, options, random, area, vapic, sleep } = parts
  const { state, pages } = snapshot
  if (state?.version !== 1) {
    const what = `a snapshot of version ${String(state?.version)}: expected 1`
    throw new MachineError('ERR_SNAPSHOT', what)
  }
  const difference = differenceOf(state.machine, machineOf(options))
  if (difference !== undefined)
    throw new MachineError('ERR_SNAPSHOT', `the snapshot is of another machine: ${difference}`)
  for (const [what, saved, here] of [
    ['a firmware area', state.firmwareArea, area],
    ['system-management memory', state.smram, smramOf(domain)],
    ['a TPR patcher', state.vapic, vapic],
  ] as const) {
    if ((saved === null) === (here === undefined)) continue
    const [with_, without] = saved === null ? ['this one', 'the saved machine'] : ['the saved machine', 'this one']
    throw new MachineError('ERR_SNAPSHOT', `${with_} has ${what}, and ${without} has none`)
  }
  // States may come from anywhere: parts that are missing, or of another form, show as errors of any kind.
  const isOurs = (error: unknown): boolean => !(error instanceof Error)
  return explaining('the snapshot does not fit this machine', isOurs, async () => {
    checkShape('the machine’s state', state, stateOf(parts))
    const late = await beginRestoringX86Domain(domain, { state: state.domain, pages }, () => {
      if (state.firmwareArea !== null) area?.restore(state.firmwareArea)
      if (state.smram !== null) smramOf(domain)?.restore(state.smram)
    })
    random.restore(state.random)
    sleep.isWoken = state.woken
    if (state.vapic !== null) vapic?.restore(state.vapic)
    void finishRestoring(late)
    return late
  })
}

/** Brings what is left of a restored machine's RAM, while others have their turns. */
export function finishRestoring(late: X86DomainRestoring): Promise<void> {
  const later = laterTurn()
  return late.finish(() => new Promise((resolve) => later(resolve)))
}

const smramOf = ({ systemManagementMemory: memory }: X86Domain): Smram | undefined =>
  memory instanceof Smram ? memory : undefined

/** The first option in which two machines differ; undefined for none. */
export function differenceOf<Machine extends PcSnapshotMachine>(saved: Machine, here: Machine): string | undefined {
  const names = Object.keys(here) as (keyof Machine & string)[]
  const name = names.find((each) => String(saved?.[each]) !== String(here[each]))
  if (name === undefined) return undefined
  const what = name === 'media' ? 'sizes of media' : name
  return `${what} ${String(saved?.[name])}, expected ${String(here[name])}`
}

/** Says of errors of the parts what they mean for the machine; not of those that are ours. */
async function explaining<T>(what: string, isOurs: (error: unknown) => boolean, action: () => Promise<T>): Promise<T> {
  try {
    return await action()
  } catch (error) {
    if (isOurs(error)) throw error
    throw new MachineError('ERR_SNAPSHOT', `${what}: ${(error as Error).message}`, { cause: error })
  }
}
