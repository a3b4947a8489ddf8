import type { MachineExit } from '@retrap/machine'
import type { Machine } from '../machine/machine-contract.ts'

/**
 * Waits for the limits of a run that somebody else makes: the session's end, or its time.
 *
 * @returns `reached` settles then; `clear` is to be called when nobody waits any more
 */
export function limitsOf({ signal, timeoutMs }: Parameters<Machine['run']>[0]): {
  readonly reached: Promise<MachineExit>
  clear(): void
} {
  const { promise, resolve } = Promise.withResolvers<MachineExit>()
  const stop = (): void => resolve({ reason: 'stopped' })
  const timer = timeoutMs === undefined ? undefined : setTimeout(() => resolve({ reason: 'timeout' }), timeoutMs)
  signal?.addEventListener('abort', stop)
  if (signal?.aborted === true) stop()
  return {
    reached: promise,
    clear() {
      clearTimeout(timer)
      signal?.removeEventListener('abort', stop)
    },
  }
}
