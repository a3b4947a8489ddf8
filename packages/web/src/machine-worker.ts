// The program of a machine's Worker.
import { DisplayError } from '@retrap/display'
import { LoaderError, MachineError, preparePc } from '@retrap/machine'
import type { DebuggerCall } from './debugger.ts'
import { WebError } from './errors.ts'
import {
  type Calls,
  type FromWorker,
  movedParts,
  type OpenedMachine,
  type SentError,
  type ToWorker,
} from './protocol.ts'
import { prepareBoard } from './worker/boards.ts'
import { watchHostSleep } from './worker/host-sleep.ts'
import { loadSnapshots } from './worker/opening.ts'
import { WorkerMachine } from './worker/worker-machine.ts'

/** Errors caused by the page's options, not by later events. */
const OPTION_CODES = new Set(['ERR_OPTION', 'ERR_NOTHING_TO_RUN', 'ERR_MEMORY_SIZE', 'ERR_CPUS'])

/** Browsers run timers of 0 ms before they give a new Worker its first message. */
const PREPARE_MS = 20

let machine: WorkerMachine | null = null
/** The page has asked for a machine. */
let isAsked = false
/** A page that starts its Worker early has the machine the sooner. A Worker that packs snapshots prepares none. */
const idle = setTimeout(() => {
  try {
    preparePc({ jit: true })
  } catch {
    // A page's policy may forbid WebAssembly, for example: making a machine reports it.
  }
}, PREPARE_MS)

const send = (message: FromWorker, transfer: Transferable[] = []): void => self.postMessage(message, { transfer })

self.addEventListener('message', ({ data }: MessageEvent<ToWorker>) => {
  if ('tell' in data && data.tell === 'compile') void compile(data.port)
  else if ('tell' in data && data.tell === 'execute') void execute(data.port)
  else if ('tell' in data && data.tell === 'prepareArm') void prepareArm()
  else if ('tell' in data) machine?.told(data)
  else void answer(data)
})

// An error outside of any call ends the machine: the page gets an error event, as for any other error of a Worker.
self.addEventListener('unhandledrejection', ({ reason }) => reportError(reason))

async function answer({ id, call, given }: Extract<ToWorker, { call: string }>): Promise<void> {
  try {
    const value = await perform(call, given)
    send({ answer: id, value }, movedParts([value]))
  } catch (error) {
    send({ answer: id, error: describe(error) })
  }
}

/** Compiles for the machine of another Worker. */
async function compile(port: MessagePort): Promise<void> {
  clearTimeout(idle)
  const { serveCompiler } = await import('./worker/compiler.ts')
  serveCompiler(port)
}

/** Executes a vCPU of another Worker's machine, which is told the name of a lock. */
async function execute(port: MessagePort): Promise<void> {
  clearTimeout(idle)
  const { serveVcpu } = await import('@retrap/hvm/threads')
  serveVcpu({
    postMessage: (message) => port.postMessage(message),
    onMessage(listener) {
      port.addEventListener('message', ({ data }) => listener(data))
      port.start()
    },
  })
  self.postMessage(await holdLock())
}

async function prepareArm(): Promise<void> {
  try {
    await prepareBoard({ board: 'virt' }, () => !isAsked)
  } catch {
    // The same, or the file of the board cannot be loaded.
  }
}

async function perform(call: keyof Calls, given: Parameters<Calls[keyof Calls]>): Promise<unknown> {
  if (call === 'open') {
    clearTimeout(idle)
    isAsked = true
    machine = await WorkerMachine.open((given as Parameters<Calls['open']>)[0], send)
    watchHostSleep((ms) => void machine?.slept(ms))
    return { lock: await holdLock(), turns: machine.turns } satisfies OpenedMachine
  }
  if (call === 'pack') {
    clearTimeout(idle)
    const { snapshotFile } = await loadSnapshots()
    return snapshotFile(...(given as Parameters<Calls['pack']>))
  }
  if (machine === null) throw new WebError('ERR_MACHINE', 'the machine has not been made yet')
  if (call === 'writeFile' || call === 'readFile' || call === 'listFiles')
    return (machine.files[call] as (...values: unknown[]) => unknown)(...given)
  const own = (machine as object as Partial<Record<string, unknown>>)[call]
  // Other calls go to the debugger.
  return typeof own === 'function' ? own.apply(machine, given) : machine.debug(call as DebuggerCall, given)
}

/** Holds a lock during this Worker's lifetime, by which a page learns of the Worker's end. @returns its name; null without locks */
function holdLock(): Promise<string | null> {
  const { locks } = navigator as Partial<Navigator>
  if (locks === undefined) return Promise.resolve(null)
  const name = `retrap worker ${crypto.randomUUID()}`
  return new Promise((resolve) => {
    const held = (): Promise<never> => {
      resolve(name)
      return new Promise(() => {})
    }
    // A document without an origin has none either.
    locks.request(name, held).catch(() => resolve(null))
  })
}

function describe(error: unknown): SentError {
  const message = error instanceof Error ? error.message : String(error)
  if (error instanceof WebError && error.code !== 'ERR_WORKER' && error.code !== 'ERR_DISPOSED')
    return { code: error.code, message }
  const isOption =
    error instanceof LoaderError ||
    error instanceof DisplayError ||
    (error instanceof MachineError && OPTION_CODES.has(error.code))
  return { code: isOption ? 'ERR_OPTION' : 'ERR_MACHINE', message }
}
