import type { DomainRestoring, GuestPages, PageCopies, Domain } from '@retrap/hvm'
import { MachineError } from '../errors.ts'
import { laterTurn } from '../lifecycle/host.ts'

/**
 * Whether a machine on deterministic time that is saved just now goes on as without the save: no instruction and no model has
 * work under way, and no timer is due that a model would look at before its turn.
 */
export const isAtRest = (domain: Pick<Domain, 'clock' | 'devices' | 'isBusy' | 'timers'>): boolean =>
  !domain.isBusy && domain.devices.isAtRest() && domain.timers.nextDeadlineNs > domain.clock.now()

/** Otherwise the recording would be of another run. */
export const NOT_AT_REST =
  'a machine that is recorded is saved while its devices are at rest, and one is at work: try again soon'

/** Heads the errors of a machine that is not saved. */
export const CANNOT_BE_SAVED = 'this machine cannot be saved'

/** Throws an error of a part as the machine's error. An error without a code is a defect of ours, and stays as it is. */
export function refuse(what: string, error: unknown, code: 'ERR_FORK' | 'ERR_SNAPSHOT' = 'ERR_SNAPSHOT'): never {
  if (!(error instanceof Error && 'code' in error) || error instanceof MachineError) throw error
  throw new MachineError(code, `${what}: ${error.message}`, { cause: error })
}

/** Converts an error of restoring: states may be arbitrary data, so that missing parts cause errors of any kind. */
export function refuseUnfit(error: unknown): never {
  if (!(error instanceof Error)) throw error
  throw new MachineError('ERR_SNAPSHOT', `the snapshot does not fit this machine: ${error.message}`, { cause: error })
}

/** The first option in which two machines differ; undefined for none. */
export function differenceOf<Machine extends object>(saved: Machine | undefined, here: Machine): string | undefined {
  // A plugged device shows in the devices' states.
  const names = Object.keys(here).filter((name) => name !== 'plugged') as (keyof Machine & string)[]
  const name = names.find((each) => String(saved?.[each]) !== String(here[each]))
  if (name === undefined) return undefined
  const what = name === 'media' ? 'sizes of media' : name
  return `${what} ${String(saved?.[name])}, expected ${String(here[name])}`
}

/**
 * Asserts that a snapshot is of a machine like this one.
 *
 * @throws MachineError `ERR_SNAPSHOT` for another version, and for a machine with other options
 */
export function requireSameMachine<Machine extends object>(
  state: { readonly version: unknown; readonly machine: Machine } | undefined,
  here: Machine,
): void {
  if (state?.version !== 1) {
    const what = `a snapshot of version ${String(state?.version)}: expected 1`
    throw new MachineError('ERR_SNAPSHOT', what)
  }
  const { media, plugged = [] }: { readonly media?: unknown; readonly plugged?: unknown } = state.machine ?? {}
  // The saved machine lists plugged disks beside its options; a new machine has them among its options.
  const whole = { ...state.machine, media: [media, plugged].flat() }
  const difference = differenceOf(state.machine, here)
  if (difference === undefined || differenceOf<object>(whole, here) === undefined) return
  throw new MachineError('ERR_SNAPSHOT', `the snapshot is of another machine: ${difference}`)
}

/** Copies RAM, yielding to the event loop. @throws MachineError `ERR_SNAPSHOT` */
export async function copiedPages(copies: PageCopies): Promise<GuestPages> {
  const later = laterTurn()
  try {
    return await copies.collect(() => new Promise((resolve) => later(resolve)))
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    const what = `its RAM cannot be copied: ${error.message}; the machine is as it was`
    throw new MachineError('ERR_SNAPSHOT', `${CANNOT_BE_SAVED}: ${what}`, { cause: error })
  }
}

/** Restores the rest of a machine's RAM in the background, yielding to the event loop. */
export function finishRestoring(late: DomainRestoring): Promise<void> {
  const later = laterTurn()
  return late.finish(() => new Promise((resolve) => later(resolve)))
}
