import { Screen } from '@retrap/display'
import { describe, expect, test } from 'vitest'
import { FwCfg } from '../src/fw-cfg.ts'
import { Ramfb, RAMFB_BYTES, RAMFB_FILE } from '../src/ramfb/index.ts'
import { FakeMachine } from './support/fake-machine.ts'

const FOURCC = (name: string): number => Buffer.from(name, 'latin1').readUInt32LE()
const AT = 0x2000

interface Configuration {
  readonly high?: number
  readonly at?: number
  readonly fourcc?: number
  readonly width?: number
  readonly height?: number
  readonly stride?: number
}

/** Writes the file as a driver does: selects it and gives its 28 bytes by DMA. */
function configure(machine: FakeMachine, configuration: Configuration): void {
  const { high = 0, at = AT, fourcc = FOURCC('XR24'), width = 4, height = 3, stride = 20 } = configuration
  const view = new DataView(machine.ram.buffer)
  ;[high, at, fourcc, 0, width, height, stride].forEach((word, i) => view.setUint32(0x200 + 4 * i, word))
  ;[0x0020_0018, RAMFB_BYTES, 0, 0x200].forEach((word, i) => view.setUint32(0x100 + 4 * i, word))
  machine.out(0x514, 0, 4)
  machine.out(0x518, 0x0001_0000, 4)
  expect(view.getUint32(0x100)).toBe(0)
}

function create(): { machine: FakeMachine; screen: Screen; ramfb: Ramfb } {
  const screen = new Screen()
  const ramfb = new Ramfb({ display: screen })
  const file = {
    bytes: new Uint8Array(RAMFB_BYTES),
    writable: true,
    onWrite: (bytes: Uint8Array) => ramfb.configure(bytes),
  }
  const machine = new FakeMachine(new FwCfg({ files: { [RAMFB_FILE]: file } }), ramfb)
  machine.ram.forEach((_, i) => (machine.ram[i] = i >= AT ? (i * 7) & 0xff : 0))
  return { machine, screen, ramfb }
}

const pixel = (machine: FakeMachine, at: number): number => new DataView(machine.ram.buffer).getUint32(at, true)

describe('a picture in guest RAM', () => {
  test('is where the guest says by the DMA interface of fw_cfg', () => {
    const { machine, screen } = create()
    screen.refresh()
    expect(screen.width).toBe(0)
    configure(machine, {})
    screen.refresh()
    expect([screen.width, screen.height, screen.text]).toEqual([4, 3, null])
    const expected = Array.from({ length: 12 }, (_, i) => pixel(machine, AT + 20 * Math.floor(i / 4) + 4 * (i % 4)))
    expect([...screen.pixels]).toEqual(expected)
  })

  test.each([
    ['XR24', 0x00c0_ffee, 0xc0_ffee, 4],
    ['XB24', 0x00ee_ffc0, 0xc0_ffee, 4],
    ['BX24', 0xeeff_c000, 0xc0_ffee, 4],
    ['RX24', 0xc0ff_ee00, 0xc0_ffee, 4],
    ['RG24', 0x00c0_ffee, 0xc0_ffee, 3],
    ['RG16', 0xf800, 0xff_0000, 2],
    ['XR15', 0x03e0, 0x00_ff00, 2],
  ])('%s', (name, word, shown, bytes) => {
    const { machine, screen } = create()
    for (let i = 0; i < bytes; i++) machine.ram[AT + bytes + i] = (word >>> (8 * i)) & 0xff
    configure(machine, { fourcc: FOURCC(name), width: 2, height: 1, stride: 0 })
    screen.refresh()
    expect(screen.pixels[1]! & 0xff_ffff).toBe(shown)
  })

  test.each([
    ['a format that there is not', { fourcc: FOURCC('NV12') }],
    ['no pixels', { width: 0 }],
    ['more pixels than a display has', { width: 16_385, stride: 0 }],
    ['a height without end', { height: 0xffff_ffff }],
    ['rows that overlap', { stride: 15 }],
    ['more bytes than are read at once', { height: 16_384, width: 1024, stride: 4100 }],
    ['an address that processors do not have', { high: 0x0010_0000 }],
  ])('%s leaves the picture before', (_what, configuration) => {
    const { machine, screen, ramfb } = create()
    configure(machine, { width: 2, height: 2 })
    const before = ramfb.save()
    configure(machine, configuration)
    screen.refresh()
    expect([screen.width, screen.height]).toEqual([2, 2])
    expect(screen.pixels[0]).toBe(pixel(machine, AT))
    expect(ramfb.save()).toEqual(before)
  })

  test('is black where there is no RAM', () => {
    const { machine, screen } = create()
    configure(machine, { at: 0xffff })
    screen.refresh()
    expect([screen.width, ...screen.pixels]).toEqual([4, ...new Uint32Array(12)])
  })

  test('tells a watcher of the rows that have changed, and of nothing where none has', async () => {
    const { machine, screen } = create()
    configure(machine, { height: 10 })
    const frames: unknown[] = []
    const end = screen.watch(({ dirty }) => frames.push(...dirty))
    expect(frames).toEqual([{ x: 0, y: 0, width: 4, height: 10 }])
    frames.length = 0
    screen.refresh()
    frames.length = 0
    // The byte behind a row's pixels is no part of it.
    for (const at of [20 * 3, 20 * 4 + 15, 20 * 7 + 16]) machine.ram[AT + at]! ^= 0xff
    await expect.poll(() => frames).toEqual([{ x: 0, y: 3, width: 4, height: 2 }])
    end()
  })

  test('is saved and restored, and gone after a reset', () => {
    const { machine, screen, ramfb } = create()
    configure(machine, {})
    const saved: unknown = JSON.parse(JSON.stringify(ramfb.save()))
    ramfb.reset()
    screen.refresh()
    expect(screen.width).toBe(0)
    ramfb.restore(saved)
    screen.refresh()
    expect([screen.width, screen.pixels[11]]).toEqual([4, pixel(machine, AT + 52)])
  })
})
