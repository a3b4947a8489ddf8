import { setImmediate as turn } from 'node:timers/promises'
import { onTestFinished } from 'vitest'

/** Closes a machine, a replay or another thing at the end of the test that calls this. @returns the thing itself */
export function kept<T extends { close(): void }>(one: T): T {
  onTestFinished(() => one.close())
  return one
}

/** Lets the host have some turns of the event loop. @param count - a random number of turns up to 60 where it is not given */
export async function someTurns(count = Math.random() * 60): Promise<void> {
  for (let i = count; i > 0; i--) await turn()
}
