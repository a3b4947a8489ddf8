/** Guests and images that mean harm: the machine ends with its reason, the page lives, and starts another machine. */
import { buildGuestImage } from '@retrap/embedded-guest'
import { noBrowser } from '@retrap/tooling/browser'
import { sliceTests } from '@retrap/tooling/slice'
import type { Page } from 'puppeteer-core'
import { afterAll, beforeAll, describe, expect } from 'vitest'
import type { MachineOptions } from '../src/index.ts'
import { hungryGuest, loopingGuest, triplyFaultingGuest } from './support/guests.ts'
import { type PageGlobals, Pages, POLICY } from './support/pages.ts'

const test = sliceTests(4)

if (noBrowser !== undefined) console.warn(`SKIPPED: hostile guests in pages: ${noBrowser}`)

/** Four bytes, most significant first. */
const word = (value: number): number[] => [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255]
/** A qcow2 header of version 3: disk of `bytes`, L1 table of `entries` at `at`. */
const qcow2 = (clusterBits: number, bytes: number, entries: number, at: number): Uint8Array => {
  const header = [
    ...[0x51, 0x46, 0x49, 0xfb, ...word(3)],
    ...[...word(0), ...word(0), ...word(0)],
    ...word(clusterBits),
    ...[...word(Math.floor(bytes / 2 ** 32)), ...word(bytes >>> 0)],
    ...[...word(0), ...word(entries), ...word(0), ...word(at), ...word(0), ...word(0x1_0000), ...word(1)],
    ...[...word(0), ...word(0), ...word(0)],
    ...Array.from({ length: 24 }, () => 0),
    ...[...word(4), ...word(104)],
  ]
  const image = new Uint8Array(1 << 18)
  image.set(header)
  return image
}
const elf = (): Uint8Array => {
  const image = new Uint8Array(4096).fill(0xff)
  image.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0x3e, 0])
  return image
}

const IMAGES: Readonly<Record<string, Uint8Array>> = {
  'triple.bin': triplyFaultingGuest(),
  'hungry.bin': hungryGuest(),
  'looping.bin': loopingGuest(),
  'guest.bin': buildGuestImage(),
  'huge.qcow2': qcow2(21, 2 ** 62, 0xffff_ffff, 0x2_0000),
  'outside.qcow2': qcow2(16, 2 ** 30, 2, 0x7fff_0000),
  'tiny.qcow2': qcow2(9, 2 ** 50, 0x100_0000, 0x200),
  'bad.elf': elf(),
  'bad.snapshot': new Uint8Array(65_536).fill(0x5a),
}

describe.skipIf(noBrowser !== undefined)('a page with a hostile', () => {
  let pages: Pages
  let page: Page
  const said: string[] = []
  beforeAll(async () => {
    pages = await Pages.start()
    for (const [name, bytes] of Object.entries(IMAGES)) pages.files.set(name, bytes)
    const good = IMAGES['guest.bin']!
    pages.files.set('cut.elf', good.subarray(0, 100))
    page = await pages.open(await pages.serve({ headers: { 'content-security-policy': POLICY } }), said)
  })
  afterAll(() => pages?.close())

  /**
   * Makes a machine, and runs it until it ends, or for some time.
   *
   * @returns the reason, or the error of making or running it
   */
  const fate = (options: MachineOptions, milliseconds: number): Promise<string> =>
    page.evaluate(
      async (given, most) => {
        const { createMachine } = globalThis as unknown as PageGlobals
        try {
          const machine = await createMachine(given)
          const late = new Promise<string>((resolve) => setTimeout(() => resolve('still runs'), most))
          const ended = machine.run().then(({ reason }) => reason)
          const found = await Promise.race([ended, late])
          machine.dispose()
          await ended.catch(() => {})
          return found
        } catch (error) {
          return `${(error as { code?: string }).code}: ${(error as Error).message}`
        }
      },
      options,
      milliseconds,
    )

  /** What is to end has all the time that a busy host takes. */
  const PATIENCE_MS = 100_000
  const STILL_RUNS = /^still runs$/
  const DISK = { firmware: '/guest.bin', vga: 'none', memoryBytes: 16 << 20 } as const

  test.each<[string, MachineOptions, RegExp]>([
    ['guest that faults thrice', { firmware: '/triple.bin', memoryBytes: 16 << 20 }, /^triple-fault$/],
    [
      'guest that has its disk controller read and write all memory',
      { ...DISK, firmware: '/hungry.bin', drives: [{ source: '/guest.bin' }] },
      STILL_RUNS,
    ],
    ['qcow2 image with a table of 32 GiB', { ...DISK, drives: [{ source: '/huge.qcow2' }] }, /^ERR_SOURCE: disk0: /],
    ['qcow2 image with its table outside', { ...DISK, drives: [{ source: '/outside.qcow2' }] }, /^ERR_SOURCE: disk0: /],
    [
      'qcow2 image of a thousand TiB in small clusters',
      { ...DISK, drives: [{ source: '/tiny.qcow2' }] },
      /^ERR_SOURCE: disk0: /,
    ],
    ['ELF file', { kernel: '/bad.elf', memoryBytes: 16 << 20 }, /^ERR_OPTION: /],
    ['ELF file that is cut off', { kernel: '/cut.elf', memoryBytes: 16 << 20 }, /^ERR_OPTION: /],
    ['snapshot', { snapshot: '/bad.snapshot' }, /^ERR_SOURCE: snapshot: /],
    ['disc', { ...DISK, drives: [{ source: '/bad.snapshot', media: 'cdrom' }] }, STILL_RUNS],
  ])('%s goes on, and starts another machine', async (_, options, expected) => {
    expect(await fate(options, expected === STILL_RUNS ? 1000 : PATIENCE_MS)).toMatch(expected)
  })

  test('guest that never rests is ended, and another one runs', async () => {
    expect(await fate({ firmware: '/looping.bin', memoryBytes: 16 << 20 }, 1000)).toBe('still runs')
    const prompt = await page.evaluate(async () => {
      const { createMachine, listen } = globalThis as unknown as PageGlobals
      const machine = await createMachine({ firmware: '/guest.bin', memoryBytes: 16 << 20, vga: 'none' })
      void machine.run().catch(() => {})
      return listen(machine)('retrap> ')
    })
    expect(prompt).toContain('retrap> ')
    expect(page.workers()).toHaveLength(1)
    expect(said).toEqual([])
  })
})
