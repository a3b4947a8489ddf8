// The checks of the exercise: tests of the kernel, by @retrap/test, as a reader would write them for a kernel of theirs.
import { BootedMachine, type TestMachine } from '@retrap/test'

/** The result of a check. */
export interface CheckResult {
  readonly name: string
  /** Why it has failed; null: it has passed. */
  readonly failure: string | null
}

const PROMPT = 'Name? '

/** Types a name, and expects what is printed for it. */
const greeting =
  (typed: string, shown: string) =>
  async (machine: TestMachine): Promise<void> => {
    machine.type(`${typed}\n`)
    const { printed } = machine
    const text = await machine.until(PROMPT).then((found) => printed + found)
    for (const expected of [`Hello, ${shown}\n`, 'Lives: 3\n'])
      if (!text.includes(expected)) throw new Error(`expected ${JSON.stringify(expected)} after the name ${typed}`)
  }

const CHECKS: Readonly<Record<string, (machine: TestMachine) => Promise<void>>> = {
  'A short name is greeted': greeting('Ada', 'Ada'),
  'A name of eight letters is greeted whole': greeting('Margaret', 'Margaret'),
  'A longer name is cut, and costs no life': greeting('Alexandria', 'Alexandr'),
}

/** Names of the checks, in their order. */
export const CHECK_NAMES: readonly string[] = Object.keys(CHECKS)

const WAIT_MS = 20_000

/** Boots the kernel once, and runs each check from its first question. @throws TestError where that does not come */
export async function runChecks(kernel: Uint8Array): Promise<readonly CheckResult[]> {
  const pc = { memoryBytes: 4 << 20, kernel, codeCacheBytes: 4 << 20 }
  const booted = await BootedMachine.pc({
    pc,
    ready: PROMPT,
    bootTimeoutMs: WAIT_MS,
    timeoutMs: WAIT_MS,
    record: false,
  })
  const results: CheckResult[] = []
  try {
    for (const [name, check] of Object.entries(CHECKS)) {
      const failure = await booted.run(check).then(
        () => null,
        (error: unknown) => (error instanceof Error ? error.message : String(error)),
      )
      results.push({ name, failure })
    }
  } finally {
    booted.close()
  }
  return results
}
