/**
 * A thread that never goes back to its event loop gets no module that was compiled elsewhere: units are compiled where they
 * are needed, in the thread itself, by `new WebAssembly.Module`. It does so in each host.
 */
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { Worker } from 'node:worker_threads'
import { launchBrowser, noBrowser } from '@retrap/tooling/browser'
import { bundleScript } from '@retrap/tooling/bundle'
import { beforeAll, describe, expect, test } from 'vitest'
import type { BusyRun } from '../support/busy-vcpu.ts'

let script = ''
beforeAll(async () => {
  script = await bundleScript(fileURLToPath(new URL('../support/busy-vcpu.ts', import.meta.url)), 'busy')
})

/** Browsers once refused to compile more than this in a page's own thread. */
const ONCE_REFUSED_BYTES = 4096

function check(host: string, run: BusyRun): void {
  const { yielded, retired, executed, units, failures, largestBytes, enteredAfterMs, longestWaitMs } = run
  console.info(
    `${host}: ${units} units, ${((100 * executed) / retired).toFixed(1)} % of ${retired} instructions in them;`,
    `the first was entered after ${enteredAfterMs.toFixed(1)} ms, the longest wait for one was ${longestWaitMs.toFixed(1)} ms`,
  )
  expect({ yielded, failures }).toEqual({ yielded: false, failures: 0 })
  expect(units).toBeGreaterThan(0)
  expect(executed / retired).toBeGreaterThan(0.8)
  expect(largestBytes).toBeGreaterThan(ONCE_REFUSED_BYTES)
  // The vCPU stands still while its code is compiled, and goes on in the unit.
  expect(longestWaitMs).toBeGreaterThan(0)
  expect(enteredAfterMs).toBeGreaterThan(0)
}

test('a Worker of Node that never yields compiles and enters units', async () => {
  const code = `${script}; require('node:worker_threads').parentPort.postMessage(busy.runBusily())`
  const worker = new Worker(code, { eval: true })
  const [run] = (await once(worker, 'message')) as [BusyRun]
  check('Worker of Node', run)
  await worker.terminate()
})

if (noBrowser !== undefined) console.warn(`SKIPPED: a page with a busy vCPU: ${noBrowser}`)

describe.skipIf(noBrowser !== undefined)('in Chromium', () => {
  test.each([
    { host: 'page', expression: 'busy.runBusily()' },
    {
      host: 'Web Worker',
      expression: `new Promise((resolve, reject) => {
        const code = document.scripts[0].textContent + '; postMessage(busy.runBusily())'
        const worker = new Worker(URL.createObjectURL(new Blob([code], { type: 'text/javascript' })))
        worker.onmessage = ({ data }) => resolve(data)
        worker.onerror = ({ message }) => reject(new Error(message))
      })`,
    },
  ])('a $host that never yields compiles and enters units', { timeout: 120_000 }, async ({ host, expression }) => {
    const folder = await mkdtemp(join(tmpdir(), 'retrap-busy-'))
    const browser = await launchBrowser()
    try {
      const page = join(folder, 'page.html')
      await writeFile(page, `<!doctype html><body><script>${script.replaceAll('</', '<\\/')}</script>`)
      const opened = await browser.newPage()
      await opened.goto(pathToFileURL(page).href)
      check(host, (await opened.evaluate(expression)) as BusyRun)
    } finally {
      await browser.close()
      await rm(folder, { recursive: true, force: true, maxRetries: 3 })
    }
  })
})
