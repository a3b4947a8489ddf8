import { spawn } from 'node:child_process'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const SOURCE = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
/** The arguments of Node that start the command line on its sources. */
export const SOURCE_START: readonly string[] = ['--conditions=retrap-source', SOURCE]

/** The command line, bundled from sources for this run of tests (command-bundle.ts); in soaks there is none. */
const BUNDLE = process.env['RETRAP_TEST_COMMAND']

/** A file that lies beside the bundle. @returns undefined where there is no bundle */
export const besideBundle = (name: string): string | undefined =>
  BUNDLE === undefined ? undefined : join(dirname(BUNDLE), name)

/** Node keeps here what it has compiled of it, types removed: half of the time that it takes to start. */
export const COMPILED: string = fileURLToPath(
  BUNDLE === undefined
    ? new URL('../../node_modules/.cache/compiled', import.meta.url)
    : new URL('../compiled', pathToFileURL(BUNDLE)),
)

/** How a program ended, and what it said. */
export interface Finished {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface ProcessOptions {
  /** Written to the program at once; without it, its input is empty. */
  readonly input?: string
  /** Typed into the program when its output first contains the text. */
  readonly answers?: readonly { readonly to: string; readonly type: string }[]
  /** Told of each piece of output: all that the program has printed so far, and its process id. */
  readonly onOutput?: (output: string, pid: number) => void
  /** Told of what it prints on stderr, likewise. */
  readonly onError?: (output: string, pid: number) => void
  readonly env?: Readonly<Record<string, string>>
  /** After this it is killed, and the promise rejects. */
  readonly deadlineMs: number
}

/** `RETRAP_TEST_JIT=off` has each machine of a test interpret all code, unless the test says `--jit` itself. */
export const TEST_JIT: boolean = process.env['RETRAP_TEST_JIT'] !== 'off'
/** `RETRAP_TEST_DEVICES=async` places the boards of machines likewise, as `--devices` does. */
const TEST_DEVICES = process.env['RETRAP_TEST_DEVICES']
/** Commands that run no machine, or none of these options. */
const TOOLS: ReadonlySet<string> = new Set(
  'device-server disasm esr help image mcp p2m walk --help --version'.split(' '),
)

/** The command line's arguments, with what the environment of the tests asks for. */
export function testOptions(args: readonly string[]): readonly string[] {
  if (TOOLS.has(args[0] ?? '')) return args
  const all = [...args]
  if (!TEST_JIT && !args.includes('--jit')) all.push('--jit', 'off')
  if (TEST_DEVICES !== undefined && !args.includes('--devices')) all.push('--devices', TEST_DEVICES)
  return all
}

/** The arguments of Node that start the command line with these. */
export const retrapCommand = (args: readonly string[]): readonly string[] => [
  ...(BUNDLE === undefined ? SOURCE_START : [BUNDLE]),
  ...testOptions(args),
]

/** Runs the command line in a process of its own. */
export function runRetrap(args: readonly string[], options: ProcessOptions): Promise<Finished> {
  return runProgram(process.execPath, retrapCommand(args), options)
}

/** Runs any program to its end. */
export function runProgram(file: string, args: readonly string[], options: ProcessOptions): Promise<Finished> {
  const { promise, resolve, reject } = Promise.withResolvers<Finished>()
  const child = spawn(file, args, {
    stdio: 'pipe',
    env: { ...process.env, NODE_COMPILE_CACHE: COMPILED, RETRAP_UNIT_CACHE: 'off', ...options.env },
  })
  let stdout = ''
  let stderr = ''
  const deadline = setTimeout(() => {
    child.kill('SIGKILL')
    reject(
      new Error(`${file} ${args.join(' ')} ran for over ${options.deadlineMs} ms; it printed:\n${stdout}${stderr}`),
    )
  }, options.deadlineMs)

  const answers = [...(options.answers ?? [])]
  let answeredUpTo = 0
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
    options.onOutput?.(stdout, child.pid ?? 0)
    for (let next = answers[0]; next !== undefined && stdout.includes(next.to, answeredUpTo); next = answers[0]) {
      answeredUpTo = stdout.indexOf(next.to, answeredUpTo) + next.to.length
      child.stdin.write(next.type)
      answers.shift()
    }
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
    options.onError?.(stderr, child.pid ?? 0)
  })
  // A program that ends before it has read its input is no failure of ours.
  child.stdin.on('error', () => {})
  if (options.answers === undefined) child.stdin.end(options.input ?? '')
  child.on('error', reject)
  child.on('close', (code) => {
    clearTimeout(deadline)
    resolve({ code, stdout, stderr })
  })
  return promise
}
