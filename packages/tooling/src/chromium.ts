import { execFile, spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** The names that Chromium's builds have, the smallest one first. */
const NAMES = ['chromium-headless-shell', 'chromium', 'chromium-browser', 'google-chrome']
const OPTIONS = [
  ...['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-sync'],
  ...['--disable-background-networking', '--disable-component-update', '--disable-dev-shm-usage'],
]
const START_MS = 60_000

/** Returns the name of the Chromium that is there; undefined if there is none. */
export async function findChromium(): Promise<string | undefined> {
  // oxlint-disable-next-line no-await-in-loop -- the first one that is there
  for (const name of NAMES) if (await run(name, ['--version']).then(Boolean, () => false)) return name
  return undefined
}

/** A page of a {@link Chromium}. */
export interface ChromiumPage {
  /** Name in the DevTools protocol. */
  readonly targetId: string
  /**
   * Evaluates an expression in the page.
   *
   * @returns its value, or that of the promise which it is, as JSON has it
   * @throws Error what the expression throws
   */
  evaluate(expression: string): Promise<unknown>
}

/** A Chromium without a window, by the DevTools protocol. */
export interface Chromium {
  /** Where the browser serves the protocol, and its DevTools: a host and a port. */
  readonly origin: string
  /** Opens a page. Resolves when it has loaded. */
  open(url: string): Promise<ChromiumPage>
  close(): Promise<void>
}

/** A message of the DevTools protocol. */
interface Message {
  readonly id?: number
  readonly error?: { readonly message: string }
  readonly result?: unknown
}

/** The part of the answer of `Runtime.evaluate` that matters here. */
interface Evaluated {
  readonly result: { readonly value?: unknown }
  readonly exceptionDetails?: { readonly text: string; readonly exception?: { readonly description?: string } }
}

/** Starts a Chromium. @param name - as {@link findChromium} returned it */
export async function startChromium(name: string): Promise<Chromium> {
  const folder = await mkdtemp(join(tmpdir(), 'retrap-chromium-'))
  const child = spawn(
    name,
    [...OPTIONS, '--remote-debugging-port=0', '--remote-allow-origins=*', `--user-data-dir=${folder}`, 'about:blank'],
    { stdio: ['ignore', 'ignore', 'pipe'], detached: true },
  )
  const kill = async (): Promise<void> => {
    // Its processes are a group of their own.
    if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, 'SIGKILL')
    await rm(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 })
  }
  try {
    const url = await new Promise<string>((resolve, reject) => {
      let text = ''
      const timer = setTimeout(() => reject(new Error(`${name} does not start: ${text}`)), START_MS)
      child.once('error', reject).once('exit', () => reject(new Error(`${name} has ended: ${text}`)))
      child.stderr.on('data', (data: Buffer) => {
        text += data.toString()
        const found = /DevTools listening on (ws:\S+)/.exec(text)?.[1]
        if (found === undefined) return
        clearTimeout(timer)
        resolve(found)
      })
    })
    const send = await connect(url)
    return {
      origin: new URL(url).host,
      async open(address) {
        const { targetId } = (await send('Target.createTarget', { url: address })) as { readonly targetId: string }
        const attached = await send('Target.attachToTarget', { targetId, flatten: true })
        const { sessionId } = attached as { readonly sessionId: string }
        const evaluate = async (expression: string): Promise<unknown> => {
          const parameters = { expression, awaitPromise: true, returnByValue: true }
          const { result, exceptionDetails } = (await send('Runtime.evaluate', parameters, sessionId)) as Evaluated
          if (exceptionDetails === undefined) return result.value
          throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text)
        }
        const page = { targetId, evaluate }
        await untilLoaded(page, address)
        return page
      },
      close: kill,
    }
  } catch (error) {
    await kill()
    throw error
  }
}

/** Waits until a page has loaded: a new one is empty at first. */
async function untilLoaded(page: ChromiumPage, address: string): Promise<void> {
  const empty = address === 'about:blank'
  const expression = `document.readyState === 'complete' && (${empty} || location.href !== 'about:blank')`
  for (const end = Date.now() + START_MS; Date.now() < end;) {
    // Evaluation fails while the page that was there goes.
    if ((await page.evaluate(expression).catch(() => false)) === true) return
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new Error(`${address} does not load`)
}

/** Connects to the DevTools protocol. @returns what calls a method of it */
async function connect(
  url: string,
): Promise<(method: string, parameters: object, sessionId?: string) => Promise<unknown>> {
  const socket = new WebSocket(url)
  await new Promise<void>((resolve, reject) => {
    socket.addEventListener('open', () => resolve())
    socket.addEventListener('error', () => reject(new Error(`no connection to ${url}`)))
  })
  const open = new Map<number, (message: Message) => void>()
  socket.addEventListener('message', ({ data }) => {
    const message = JSON.parse(String(data)) as Message
    if (message.id !== undefined) open.get(message.id)?.(message)
  })
  let count = 0
  return (method, params, sessionId) =>
    new Promise((resolve, reject) => {
      const id = ++count
      open.set(id, ({ error, result }) => {
        open.delete(id)
        if (error === undefined) resolve(result)
        else reject(new Error(`${method}: ${error.message}`))
      })
      socket.send(JSON.stringify({ id, method, params, sessionId }))
    })
}
