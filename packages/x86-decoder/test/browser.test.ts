import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { bundle } from './support/bundle.ts'
import { listingOf } from './support/listing-of.ts'

const run = promisify(execFile)

/** Pseudo-random bytes: many instructions, some invalid. The same ones every time. */
function someBytes(length: number): Uint8Array {
  let state = 0x2545f491
  return Uint8Array.from({ length }, () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return state >>> 24
  })
}

const NAMES = ['chromium-headless-shell', 'chromium', 'chromium-browser', 'google-chrome']

/** The Chromium that is there; undefined if there is none. */
async function findChromium(): Promise<string | undefined> {
  for (const name of NAMES) if (await run(name, ['--version']).then(Boolean, () => false)) return name
  return undefined
}

const chromium = await findChromium()
if (chromium === undefined) console.warn('browser: skipped, there is no Chromium, and no apt to fetch it with')

test.skipIf(chromium === undefined)('a browser decodes and prints as Node does', { timeout: 60_000 }, async () => {
  const bytes = someBytes(1000)
  const module = fileURLToPath(new URL('support/listing-of.ts', import.meta.url))
  const code = await bundle(`
    import { listingOf } from ${JSON.stringify(module)}
    const lines = listingOf(Uint8Array.of(${bytes.join()}))
    document.body.textContent = btoa(JSON.stringify(lines))
  `)
  const folder = await mkdtemp(join(tmpdir(), 'retrap-browser-'))
  try {
    const page = join(folder, 'page.html')
    await writeFile(page, `<!doctype html><body><script type="module">${code.replaceAll('</', '<\\/')}</script>`)
    const { stdout } = await run(
      chromium as string,
      [
        ...['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-sync'],
        ...['--disable-background-networking', '--disable-component-update', '--disable-dev-shm-usage'],
        ...[`--user-data-dir=${join(folder, 'profile')}`, '--dump-dom', pathToFileURL(page).href],
      ],
      { maxBuffer: 1 << 26, timeout: 100_000 },
    )
    const text = /<body>([A-Za-z0-9+/=\s]+)<\/body>/.exec(stdout)?.[1]
    expect(text, stdout.slice(0, 2000)).toBeDefined()
    const lines = JSON.parse(atob((text as string).trim())) as string[]
    const expected = listingOf(bytes)
    expect(expected.length).toBeGreaterThan(600)
    expect(lines).toEqual(expected)
  } finally {
    await rm(folder, { recursive: true, force: true, maxRetries: 3 })
  }
})
