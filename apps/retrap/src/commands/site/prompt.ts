/** Runs a machine until its guest shows a prompt. */
import { CliError } from '@retrap/linux-guest/errors'
import { WHERE_IS_THE_CURSOR } from '@retrap/linux-guest/linux/initramfs'
import type { EndingSignal, SessionHost, SessionInput, SessionOutput } from '../../machine/session/session-host.ts'

/** Runs a retrap command line in another process. */
export type RunCommand = (
  args: readonly string[],
  around: Pick<SessionHost, 'stdin' | 'stdout' | 'stderr' | 'onSignal'>,
) => Promise<number>

/** The prompt to wait for, and the time limit. */
export interface PromptOptions {
  /** Text that is printed at the end of the boot. Absent: a line that ends as a shell's prompt does, and a second without output. */
  readonly ready: string | undefined
  readonly timeoutSeconds: number
}

/** Input without keys, for the boot. */
const NO_INPUT: SessionInput = { on() {}, removeAllListeners() {}, resume() {}, pause() {} }
/** The end of a shell's prompt. */
const PROMPT = /[$#>%] ?$/
const QUIET_MS = 1000
const PROGRESS_MS = 5000
/** Most characters of the printed text that are kept for the page's terminal. */
const MOST_PRINTED = 1 << 16
const SHOWN = 400

/**
 * Runs a machine until its prompt appears, and then ends the run.
 *
 * @param args - a command line that saves the machine at its end
 * @returns the text that the machine has printed, a byte a character
 * @throws CliError `ERR_INPUT` if the prompt does not appear
 */
export async function runToPrompt(
  args: readonly string[],
  { ready, timeoutSeconds }: PromptOptions,
  host: Pick<SessionHost, 'stderr' | 'onSignal'>,
  run: RunCommand,
): Promise<string> {
  const wanted = ready === undefined ? undefined : Buffer.from(ready).toString('latin1')
  const listeners = new Set<(signal: EndingSignal) => void>()
  let printed = ''
  let said = ''
  let isReady = false
  let quiet: NodeJS.Timeout | undefined
  const leave = (): void => {
    isReady = true
    for (const listener of listeners) listener('SIGINT')
  }
  const stdout = outputTo((text) => {
    printed = (printed + text).slice(-MOST_PRINTED)
    clearTimeout(quiet)
    if (isReady) return
    if (wanted === undefined)
      quiet = PROMPT.test(printed.replaceAll(WHERE_IS_THE_CURSOR, '')) ? setTimeout(leave, QUIET_MS) : undefined
    else if (printed.slice(-(text.length + wanted.length)).includes(wanted)) leave()
  })
  const begunMs = performance.now()
  const progress = setInterval(() => {
    const seconds = Math.round((performance.now() - begunMs) / 1000)
    host.stderr.write(`retrap: booting, ${seconds} s; the last line: ${JSON.stringify(lastLine(printed))}\n`)
  }, PROGRESS_MS)
  let code: number
  try {
    code = await run([...args, '--timeout', String(timeoutSeconds)], {
      stdin: NO_INPUT,
      stdout,
      stderr: outputTo((text) => (said += text)),
      onSignal(listener) {
        listeners.add(listener)
        const stop = host.onSignal(listener)
        return () => {
          listeners.delete(listener)
          stop()
        }
      },
    })
  } finally {
    clearTimeout(quiet)
    clearInterval(progress)
  }
  if (isReady) return printed
  const what = ready === undefined ? 'came to a prompt; give its text by --ready' : `printed ${JSON.stringify(ready)}`
  const end = JSON.stringify(printed.slice(-SHOWN))
  const why = /^retrap: (?!sav)(.*)$/m.exec(said)?.[1] ?? `its exit code is ${code}`
  throw new CliError('ERR_INPUT', `the machine has ended before it ${what}: ${why}; it has printed ${end}`)
}

const lastLine = (printed: string): string => printed.trimEnd().split('\n').at(-1)?.trimEnd().slice(-100) ?? ''

function outputTo(take: (text: string) => void): SessionOutput {
  return {
    write: (data) => take(typeof data === 'string' ? data : Buffer.from(data).toString('latin1')),
    on() {},
  }
}
