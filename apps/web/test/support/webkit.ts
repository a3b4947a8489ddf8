/** Safari's engine: Debian's WebKitGTK, driven by its own WebDriver. Source: W3C, "WebDriver", 6 to 15. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import type { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { PATIENCE_MS } from '@retrap/tooling/patience'
import { hasProgram } from '@retrap/tooling/skip'
import type { Visitor } from './visitor.ts'

const DRIVER = 'WebKitWebDriver'

/** Why tests with WebKit are left out; undefined: they are not. */
export const noWebKit: string | undefined = !hasProgram(DRIVER)
  ? 'there is no WebKitWebDriver, and no apt to fetch it with'
  : spawnSync(DRIVER, ['--help']).status === 0
    ? undefined
    : 'this host lets no user mount an overlay, which an unpacked WebKitGTK needs'

/** How {@link launchWebKit} starts. */
export interface WebKitOptions {
  /** Where the browser keeps data; without: the session is private, as its own windows under WebDriver are. */
  readonly data?: string
  /** Whether pages that are isolated have SharedArrayBuffer, as Safari's; WebKitGTK's own have none. Default: true. */
  readonly sharesMemory?: boolean
}

/** Features of Safari that WebKitGTK does not switch on. */
const FEATURES = 'StorageAPI,StorageAPIEstimate,FileSystem,FileSystemWritableStream,AccessHandle'
/** The browser of WebKitGTK's package, whose sessions under WebDriver are private. */
const MINI_BROWSER = '/usr/lib/x86_64-linux-gnu/webkit2gtk-4.1/MiniBrowser'
const OWN_BROWSER = fileURLToPath(new URL('webkit-browser.py', import.meta.url))
const ENTER = '\uE007'

/** Starts a WebKitGTK on a display of its own. */
export async function launchWebKit({ data, sharesMemory = true }: WebKitOptions = {}): Promise<Visitor> {
  const processes: ChildProcess[] = []
  const end = (): void => processes.toReversed().forEach((one) => one.kill())
  try {
    const server = spawn('Xvfb', ['-displayfd', '3', '-screen', '0', '1600x1200x24', '-nolisten', 'tcp'], {
      stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
    })
    processes.push(server)
    const [display] = (await once(server.stdio[3] as Readable, 'data')) as [Buffer]
    const port = await freePort()
    processes.push(spawn(DRIVER, [`--port=${port}`], { stdio: 'ignore', env: environment(display, sharesMemory) }))
    const base = `http://127.0.0.1:${port}`
    while (
      !(await fetch(`${base}/status`).then(
        ({ ok }) => ok,
        () => false,
      ))
    )
      await sleep(20)
    const args = ['--automation', `--features=+${FEATURES.replaceAll(',', ',+')}`]
    const own = { binary: OWN_BROWSER, args: [...args, `--data=${data}`] }
    const { sessionId } = (await call(`${base}/session`, 'POST', {
      capabilities: {
        alwaysMatch: {
          'webkitgtk:browserOptions': data === undefined ? { binary: MINI_BROWSER, args } : own,
          timeouts: { script: PATIENCE_MS, pageLoad: PATIENCE_MS },
          unhandledPromptBehavior: 'accept',
        },
      },
    })) as { sessionId: string }
    return sessionOf(`${base}/session/${sessionId}`, end)
  } catch (error) {
    end()
    throw error
  }
}

const environment = (display: Buffer, sharesMemory: boolean): NodeJS.ProcessEnv => ({
  ...process.env,
  DISPLAY: `:${String(display).trim()}`,
  GDK_BACKEND: 'x11',
  LIBGL_ALWAYS_SOFTWARE: '1',
  NO_AT_BRIDGE: '1',
  WEBKIT_DISABLE_COMPOSITING_MODE: '1',
  // Its sandbox needs a D-Bus.
  WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS: '1',
  ...(sharesMemory && { JSC_useSharedArrayBuffer: '1' }),
})

function sessionOf(at: string, end: () => void): Visitor {
  const post = (path: string, body: object): Promise<unknown> => call(at + path, 'POST', body)
  const act = (type: 'key' | 'pointer', actions: readonly object[]): Promise<unknown> =>
    post('/actions', { actions: [{ type, id: type, actions }] })
  return {
    async goto(url) {
      await post('/url', { url })
    },
    async evaluate<T>(run: (...given: never[]) => T | Promise<T>, ...given: readonly unknown[]): Promise<T> {
      // A test's functions are given a helper for their names by its transformer.
      const script = `const given = [...arguments], done = given.pop()
        Promise.resolve().then(() => (${String(run)})(...given)).then((value) => done({ value }), (error) => done({ error: String(error) }))`
      const answer = (await post('/execute/async', { script, args: given })) as { value: T; error?: string }
      if (answer.error !== undefined) throw new Error(answer.error)
      return answer.value
    },
    async clickAt(x, y) {
      const [move, down, up] = ['pointerMove', 'pointerDown', 'pointerUp']
      const at = { x: Math.round(x), y: Math.round(y), duration: 0 }
      await act('pointer', [
        { type: move, ...at },
        { type: down, button: 0 },
        { type: up, button: 0 },
      ])
    },
    async type(text) {
      const keys = [...text].map((key) => (key === '\n' ? ENTER : key))
      await act(
        'key',
        keys.flatMap((value) => [
          { type: 'keyDown', value },
          { type: 'keyUp', value },
        ]),
      )
    },
    async resize(width, height) {
      await post('/window/rect', { x: 0, y: 0, width, height })
    },
    async close() {
      await call(at, 'DELETE').catch(() => {})
      end()
    },
  }
}

async function call(url: string, method: string, body?: object): Promise<unknown> {
  const response = await fetch(url, { method, ...(body !== undefined && { body: JSON.stringify(body) }) })
  const { value } = (await response.json()) as { value: { error?: string; message?: string } }
  if (!response.ok) throw new Error(`WebKit: ${value.error}: ${value.message}`)
  return value
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
