// Runs the exercise's checks beside the page.
import { type CheckResult, runChecks } from './checks.ts'

/** The answer of the Worker. */
export type Checked = { readonly results: readonly CheckResult[] } | { readonly error: string }

const tell = (answer: Checked): void => postMessage(answer)

addEventListener(
  'message',
  ({ data }: MessageEvent<Uint8Array>) =>
    void runChecks(data).then(
      (results) => tell({ results }),
      (error: unknown) => tell({ error: error instanceof Error ? error.message : String(error) }),
    ),
  { once: true },
)
