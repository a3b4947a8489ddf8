import { MachineError } from './errors.ts'

/** An error without a code is a defect of ours. */
export const lacksCode = (error: unknown): boolean => !(error instanceof Error && 'code' in error)

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
