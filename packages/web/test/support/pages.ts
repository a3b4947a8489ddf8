import { fileURLToPath } from 'node:url'
import { launchBrowser } from '@retrap/tooling/browser'
import { bundlePage } from '@retrap/tooling/bundle'
import { madeOnce } from '@retrap/tooling/made-once'
import { type PageServer, type PageServerOptions, servePages } from '@retrap/tooling/page-server'
import type { Browser, Page } from 'puppeteer-core'
import type * as web from '../../src/index.ts'

/** What `page.ts` gives to expressions. */
export interface PageGlobals {
  readonly createMachine: typeof web.createMachine
  readonly deleteFetched: typeof web.deleteFetched
  readonly deleteKeptDisk: typeof web.deleteKeptDisk
  readonly exportKeptDisk: typeof web.exportKeptDisk
  readonly fetchedBytes: typeof web.fetchedBytes
  readonly importKeptDisk: typeof web.importKeptDisk
  readonly keptDisks: typeof web.keptDisks
  /** Returns what waits for a text at the serial port, after what it was asked for before, and has all up to then. */
  readonly listen: (machine: web.Machine) => (word: string) => Promise<string>
  readonly prepareArmBoard: typeof web.prepareArmBoard
  readonly startMachineWorker: typeof web.startMachineWorker
  readonly guestImage: Uint8Array
}

/** A policy under which only what the page needs is allowed. */
export const POLICY = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; img-src data:"

/** Types to the guest of the page's `machine`. @returns what it says then, other than `r` */
export const ask = (page: Page, text: string): Promise<string> =>
  page.evaluate(
    (typed) =>
      new Promise<string>((resolve) => {
        const { machine } = globalThis as unknown as { machine: web.Machine }
        const stop = machine.on('serial', (bytes) => {
          const said = new TextDecoder().decode(bytes).replace('r', '')
          if (said === '') return
          stop()
          resolve(said)
        })
        machine.write(typed)
      }),
    text,
  )

/** A browser, and pages with this package in them. */
export class Pages {
  readonly files: Map<string, string | Uint8Array>
  readonly #browser: Browser
  readonly #servers: PageServer[] = []
  readonly #open: Page[] = []

  private constructor(files: Map<string, string | Uint8Array>, browser: Browser) {
    this.files = files
    this.#browser = browser
  }

  static async start(): Promise<Pages> {
    const files = new Map<string, string | Uint8Array>(
      await madeOnce('page', () => bundlePage(fileURLToPath(new URL('page.ts', import.meta.url)))),
    )
    files.set(
      'index.html',
      '<!doctype html><link rel="icon" href="data:,"><script type="module" src="page.js"></script>',
    )
    return new Pages(files, await launchBrowser())
  }

  /** Serves the package, and what was put into `files`. */
  async serve(options?: PageServerOptions): Promise<PageServer> {
    const server = await servePages(this.files, options)
    this.#servers.push(server)
    return server
  }

  /** Opens a page. @param said - gets what it writes to its console */
  async open(server: PageServer, said: string[] = []): Promise<Page> {
    const page = await this.#browser.newPage()
    this.#open.push(page)
    page.on('console', (message) => said.push(message.text()))
    page.on('pageerror', (error) => said.push(String(error)))
    await page.goto(server.origin, { waitUntil: 'load' })
    return page
  }

  async closePages(): Promise<void> {
    const open = this.#open.splice(0).filter((page) => !page.isClosed())
    await Promise.all(open.map((page) => page.close()))
  }

  async close(): Promise<void> {
    await this.#browser.close()
    for (const server of this.#servers) server.close()
  }
}
