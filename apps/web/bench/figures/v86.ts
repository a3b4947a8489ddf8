// v86 beside a machine of ours: the same guest in a page of its own, and what its engine weighs.
import { readFileSync } from 'node:fs'
import { brotliCompressSync, constants } from 'node:zlib'
import type { Page } from 'puppeteer-core'
import type { V86 } from 'v86'

const folder = new URL('.', import.meta.resolve('v86'))
/** The parts of v86 that a page loads. */
const ENGINE = ['libv86.mjs', 'v86.wasm'] as const

/** The files of a page with v86, beside guests. */
export function v86Files(): ReadonlyMap<string, string | Uint8Array> {
  const files = new Map<string, string | Uint8Array>(
    // By a name that servers know the type of.
    ENGINE.map((name) => [name.replace('.mjs', '.js'), readFileSync(new URL(name, folder))]),
  )
  const page = `<!doctype html><script type="module">import { V86 } from './libv86.js'; globalThis.V86 = V86</script>`
  return files.set('v86.html', page)
}

/** Bytes of v86's engine, compressed as ours are. */
export const v86Bytes = (): number =>
  ENGINE.map((name) => {
    const params = { [constants.BROTLI_PARAM_LGWIN]: 24 }
    return brotliCompressSync(readFileSync(new URL(name, folder)), { params }).length
  }).reduce((sum, bytes) => sum + bytes, 0)

/** Instructions a second of the computing guest on v86, in a page of {@link v86Files}. */
export const speedOfV86 = (page: Page, measureMs: number): Promise<number> =>
  page.evaluate(async (ms) => {
    const { V86: Emulator } = globalThis as unknown as { V86: typeof V86 }
    const emulator = new Emulator({
      wasm_path: 'v86.wasm',
      bios: { url: 'computing.bin' },
      memory_size: 16 << 20,
      autostart: true,
      disable_speaker: true,
    })
    const wait = (some: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, some))
    // Its counter has 32 bits.
    const count = (): number => emulator.get_instruction_counter() >>> 0
    const until = performance.now() + 60_000
    while (count() === 0 && performance.now() < until) await wait(100)
    await wait(1000)
    let [done, last] = [0, count()]
    const began = performance.now()
    while (performance.now() - began < ms) {
      await wait(100)
      const now = count()
      done += (now - last) >>> 0
      last = now
    }
    const seconds = (performance.now() - began) / 1000
    await emulator.destroy()
    return done / seconds
  }, measureMs)
