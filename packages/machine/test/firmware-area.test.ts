import { describe, expect, test } from 'vitest'
import { FirmwareArea, type FirmwareAreaState } from '../src/firmware/firmware-area.ts'
import { createPc } from '../src/index.ts'
import { loadFirmware } from '../src/loaders/index.ts'
import { firmwareImage, multibootKernel } from './support/kernels.ts'
import { TEST_JIT } from '@retrap/tooling/jit'

const PAGE = 4096
const image = firmwareImage((asm) => asm.hlt())

async function area() {
  // A PC that has been started without firmware has RAM there.
  const kernel = multibootKernel((asm) => asm.hlt())
  const pc = await createPc({ jit: TEST_JIT, memoryBytes: 4 << 20, codeCacheBytes: 4 << 20, kernel })
  const area = new FirmwareArea(pc.domain, image, loadFirmware(image, 0).regions)
  const read = (gpa: number): number => {
    const bytes = new Uint8Array(1)
    pc.domain.guestMemory.read(gpa, bytes)
    return bytes[0] as number
  }
  return { area, domain: pc.domain, read }
}

describe('the saved state of the firmware area', () => {
  test('is the settings of all pages, what is unlocked, and RAM behind ROM', async () => {
    const first = await area()
    // One page of RAM that is written and then hidden; one that is read; one that is unlocked.
    first.area.shadow({ gpa: 0xd_0000, bytes: PAGE, readRam: true, writeRam: true })
    first.domain.guestMemory.load(0xd_0000, Uint8Array.of(0x11))
    first.area.shadow({ gpa: 0xd_0000, bytes: PAGE, readRam: false, writeRam: true })
    first.area.shadow({ gpa: 0xd_4000, bytes: PAGE, readRam: true, writeRam: false })
    first.area.shadow({ gpa: 0xc_9000, bytes: PAGE, readRam: true, writeRam: false })
    first.area.unlock(0xc_8000, 2 * PAGE)
    const saved = structuredClone(first.area.save())
    expect(saved.pages[0x10]).toEqual({ readRam: false, writeRam: true })
    expect(saved.unlocked).toEqual({ gpa: 0xc_8000, bytes: 2 * PAGE })
    const hidden = saved.hidden.map(({ gpa }) => gpa)
    expect(hidden).toContain(0xd_0000)
    expect(hidden).not.toContain(0xd_1000)
    expect(hidden).not.toContain(0xd_4000)
    expect(hidden).not.toContain(0xc_8000)

    const second = await area()
    // What was there before the restore is gone afterwards.
    second.area.shadow({ gpa: 0xe_8000, bytes: PAGE, readRam: true, writeRam: true })
    second.domain.guestMemory.load(0xe_8000, Uint8Array.of(0x99))
    second.area.restore(saved)
    expect(second.area.save()).toEqual(saved)
    expect(second.read(0xd_0000)).toBe(0xff)
    expect(second.read(0xf_ffff)).toBe(first.read(0xf_ffff))
    second.area.shadow({ gpa: 0xd_0000, bytes: PAGE, readRam: true, writeRam: true })
    expect(second.read(0xd_0000)).toBe(0x11)
    expect(second.domain.p2m.translateWrite(0xc_9000)).toBeGreaterThan(0)
    expect(second.domain.guestMemory.load(0xc_8000, Uint8Array.of(0x22))).toBe(true)
    expect(second.read(0xc_8000)).toBe(0x22)
  })

  test.each([
    ['another version', { version: 2 }],
    ['too few pages', { pages: [] }],
    ['hidden RAM elsewhere', { hidden: [{ gpa: 0x10_0000, bytes: new Uint8Array(PAGE) }] }],
    ['hidden RAM between pages', { hidden: [{ gpa: 0xd_0800, bytes: new Uint8Array(PAGE) }] }],
    ['more hidden RAM than a page', { hidden: [{ gpa: 0xd_0000, bytes: new Uint8Array(2 * PAGE) }] }],
  ])('is refused if it has %s', async (_what, wrong) => {
    const { area: one } = await area()
    const state = { ...one.save(), ...wrong } as FirmwareAreaState
    expect(() => one.restore(state)).toThrow(expect.objectContaining({ code: 'ERR_STATE' }))
  })
})
