/** Profiles as speedscope opens them, in Chromium. */
import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { findChromium } from '@retrap/tooling/browser'
import { expect, test } from 'vitest'
import { type CpuProfile, IDLE } from '../../src/machine/profile/guest-profile.ts'
import { sampleProfile } from '../support/sample-profile.ts'

const run = promisify(execFile)
const chromium = await findChromium()
if (chromium === undefined)
  console.warn('SKIPPED: opening a profile in speedscope needs Chromium, and there is no apt to fetch it with')

/** Opens a profile. @returns the text of the page, without its marks */
async function open(profile: CpuProfile): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'retrap-speedscope-'))
  try {
    const page = import.meta.resolve('speedscope/dist/release/index.html')
    const base64 = Buffer.from(JSON.stringify(profile)).toString('base64')
    const script = join(folder, 'profile.js')
    // As speedscope's own command line hands a file to the page.
    await writeFile(script, `speedscope.loadFileFromBase64('guest.cpuprofile', '${base64}')`)
    const { stdout } = await run(
      chromium as string,
      [
        ...['--headless', '--no-sandbox', '--disable-gpu', '--use-angle=swiftshader', '--enable-unsafe-swiftshader'],
        ...['--disable-quic', '--no-first-run', '--disable-sync', '--disable-background-networking'],
        ...['--disable-component-update', '--disable-dev-shm-usage', '--allow-file-access-from-files'],
        ...[`--user-data-dir=${join(folder, 'profile')}`, '--virtual-time-budget=15000', '--dump-dom'],
        `${page}#localProfilePath=${script}&view=sandwich`,
      ],
      { maxBuffer: 1 << 26, timeout: 100_000 },
    )
    return stdout
      .replaceAll(/<style[^]*?<\/style>/g, '')
      .replaceAll(/<[^>]*>/g, '|')
      .replaceAll(/\|+/g, '|')
  } finally {
    await rm(folder, { recursive: true, force: true, maxRetries: 3 })
  }
}

test.skipIf(chromium === undefined)('speedscope shows functions with their times', { timeout: 120_000 }, async () => {
  const text = await open(sampleProfile())
  expect(text).toContain('|guest.cpuprofile|')
  // Total and self time of each function; time in which nothing runs is left out.
  expect(text).toContain('|350.00ms (100%)|200.00ms (57%)|start_kernel|')
  expect(text).toContain('|150.00ms (43%)|150.00ms (43%)|memset_erms|')
  expect(text).toMatch(/\|350\.00ms \(100%\)\|0\.00ns [^|]*\|kernel\|/)
  expect(text).not.toContain(IDLE)
})
