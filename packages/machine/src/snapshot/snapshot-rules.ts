import type { Domain, DomainRest, DomainRestoring, GuestPages } from '@retrap/hvm'
import { MachineError } from '../errors.ts'
import { laterTurn } from '../life/host.ts'

/** An error without a code is a defect of ours. */
const lacksCode = (error: unknown): boolean => !(error instanceof Error && 'code' in error)

/** States may come from anywhere: parts that are missing, or of another form, show as errors of any kind. */
export const isNoError = (error: unknown): boolean => !(error instanceof Error)

/** Says of errors of the parts what they mean for the machine; not of those that are ours. */
export async function explaining<T>(
  what: string,
  isOurs: (error: unknown) => boolean,
  action: () => Promise<T>,
): Promise<T> {
  try {
    return await action()
  } catch (error) {
    if (isOurs(error)) throw error
    throw new MachineError('ERR_SNAPSHOT', `${what}: ${(error as Error).message}`, { cause: error })
  }
}

/**
 * Does something while a machine is at rest, for it to be saved. Not while it runs.
 *
 * @param what - what cannot be done where this fails
 * @param deadlineMs - host time that devices may take
 * @throws MachineError `ERR_SNAPSHOT` for what cannot be saved, and for devices that are too late
 */
export function whileAtRest<T>(
  what: string,
  domain: Pick<Domain, 'rest'>,
  deadlineMs: number,
  action: (rest: DomainRest) => Promise<T>,
): Promise<T> {
  return explaining(what, lacksCode, async () => {
    const rest = await domain.rest(deadlineMs)
    try {
      return await action(rest)
    } finally {
      rest.end()
    }
  })
}

/** The first option in which two machines differ; undefined for none. */
export function differenceOf<Machine extends object>(saved: Machine | undefined, here: Machine): string | undefined {
  const names = Object.keys(here) as (keyof Machine & string)[]
  const name = names.find((each) => String(saved?.[each]) !== String(here[each]))
  if (name === undefined) return undefined
  const what = name === 'media' ? 'sizes of media' : name
  return `${what} ${String(saved?.[name])}, expected ${String(here[name])}`
}

/**
 * Asserts that a snapshot is of a machine like this one.
 *
 * @throws MachineError `ERR_SNAPSHOT` for another version, and for another machine
 */
export function requireSameMachine<Machine extends object>(
  state: { readonly version: unknown; readonly machine: Machine } | undefined,
  here: Machine,
): void {
  if (state?.version !== 1) {
    const what = `a snapshot of version ${String(state?.version)}: expected 1`
    throw new MachineError('ERR_SNAPSHOT', what)
  }
  const difference = differenceOf(state.machine, here)
  if (difference === undefined) return
  throw new MachineError('ERR_SNAPSHOT', `the snapshot is of another machine: ${difference}`)
}

/** Copies RAM while others have their turns. @throws MachineError `ERR_SNAPSHOT` */
export async function copiedPages(pages: (turn: () => Promise<void>) => Promise<GuestPages>): Promise<GuestPages> {
  const later = laterTurn()
  try {
    return await pages(() => new Promise((resolve) => later(resolve)))
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    const what = `its RAM cannot be copied: ${error.message}; the machine is as it was`
    throw new MachineError('ERR_SNAPSHOT', `this machine cannot be saved: ${what}`, { cause: error })
  }
}

/** Brings what is left of a restored machine's RAM, while others have their turns. */
export function finishRestoring(late: DomainRestoring): Promise<void> {
  const later = laterTurn()
  return late.finish(() => new Promise((resolve) => later(resolve)))
}

/** Does things one after the other. */
export class OneByOne {
  /** Settles when what was asked for last is done. */
  #last: Promise<unknown> = Promise.resolve()

  /** Does something when all that was asked for before is done. */
  do<T>(action: () => Promise<T>): Promise<T> {
    const done = this.#last.then(action)
    this.#last = done.then(
      () => undefined,
      () => undefined,
    )
    return done
  }
}
