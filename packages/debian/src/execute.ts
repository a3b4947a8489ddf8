import { spawn } from 'node:child_process'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'

/** Options for running a program. */
export interface ExecuteOptions {
  readonly cwd?: string
  /** Receives the lines that the program writes to file descriptor 3. */
  readonly onStatus?: (line: string) => void
  /** Limit after which a program without progress is ended. */
  readonly stall?: StallLimit
}

/**
 * A program makes progress while it writes to a pipe of ours or while the files below `folder` change. A status line that
 * repeats the one before is no progress: apt reports twice a second, whatever happens.
 */
export interface StallLimit {
  readonly folder: string
  readonly milliseconds: number
}

/**
 * Runs a program.
 *
 * @returns the program's output on stdout
 * @throws Error with its stderr if the program fails, and with all output if it {@link StallLimit | stalls}
 */
export async function execute(program: string, args: readonly string[], options: ExecuteOptions = {}): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const child = spawn(program, args, {
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    env: { ...process.env, LC_ALL: 'C' },
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
  })
  let output = ''
  let errors = ''
  let status = ''
  let lastLine = ''
  let received = 0
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    output += text
    received++
  })
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    errors += text
    received++
  })
  child.stdio[3]?.on('data', (bytes: Uint8Array) => {
    const lines = (status + Buffer.from(bytes).toString('utf8')).split('\n')
    status = lines.pop() ?? ''
    for (const line of lines) {
      if (line !== lastLine) received++
      lastLine = line
      options.onStatus?.(line)
    }
  })
  child.on('error', reject)
  child.on('close', (code) => {
    if (code === 0) resolve(output)
    else reject(new Error(errors.trim() || `${program} ended with ${code}`))
  })
  const { stall } = options
  const forget =
    stall === undefined
      ? () => {}
      : watch(
          stall,
          () => received,
          () => {
            const seconds = Math.round(stall.milliseconds / 1000)
            reject(new Error(`${output}${errors}\nE: it made no progress for ${seconds} s`))
            child.kill('SIGKILL')
            // A program that it started may hold the pipes open for longer.
            for (const pipe of child.stdio) pipe?.destroy()
          },
        )
  try {
    return await promise
  } finally {
    forget()
  }
}

/** Calls `onStall` when neither the count nor the folder has changed for the given time. */
function watch({ folder, milliseconds }: StallLimit, received: () => number, onStall: () => void): () => void {
  let seen = ''
  let since = performance.now()
  const timer = setInterval(
    () => {
      void describe(folder).then((state) => {
        const now = `${received()} ${state}`
        if (now !== seen) {
          seen = now
          since = performance.now()
        } else if (performance.now() - since >= milliseconds) onStall()
      })
    },
    Math.min(2000, milliseconds / 5),
  )
  return () => clearInterval(timer)
}

/** Names, sizes and times of the files below a folder, as one text. */
async function describe(folder: string): Promise<string> {
  const names = await readdir(folder, { recursive: true }).catch(() => [])
  const states = names.map(async (name) => {
    const state = await stat(join(folder, name)).catch(() => undefined)
    return `${name} ${state?.size} ${state?.mtimeMs}`
  })
  return (await Promise.all(states)).join('\n')
}
