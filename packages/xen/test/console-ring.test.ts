import { expect, test } from 'vitest'
import { ConsoleRing } from '../src/store/console-ring.ts'
import type { GuestPage } from '../src/shared/guest-page.ts'

/** struct xencons_interface (public header io/console.h): 1 KiB in, 2 KiB out, and the indices. */
const OUT = 0x400
const OUT_CONS = 0xc08
const OUT_PROD = 0xc0c

function ring(): { console: ConsoleRing; view: DataView; printed: number[][] } {
  const bytes = new Uint8Array(4096)
  const view = new DataView(bytes.buffer)
  const page: Pick<GuestPage, 'read32' | 'write32' | 'readRing' | 'writeRing'> = {
    read32: (at) => view.getUint32(at, true),
    write32: (at, value) => view.setUint32(at, value >>> 0, true),
    readRing: (at, size, from, into) => {
      for (let i = 0; i < into.length; i++) into[i] = bytes[at + ((from + i) % size)]!
    },
    writeRing: (at, size, from, data) => {
      for (let i = 0; i < data.length; i++) bytes[at + ((from + i) % size)] = data[i]!
    },
  }
  const printed: number[][] = []
  const console = new ConsoleRing(
    page as GuestPage,
    (text) => void printed.push([...text]),
    () => {},
  )
  bytes.fill(0x41, OUT, OUT + 2048)
  return { console, view, printed }
}

test.each([
  { apart: 0, prints: [] },
  { apart: 3, prints: [3] },
  { apart: 2048, prints: [2048] },
  { apart: 2049, prints: [] },
  { apart: 0xffff_ffff, prints: [] },
])('indices that are $apart apart: lengths $prints are printed, and the guest goes on', ({ apart, prints }) => {
  const { console, view, printed } = ring()
  view.setUint32(OUT_CONS, 0xffff_fff0, true)
  view.setUint32(OUT_PROD, (0xffff_fff0 + apart) >>> 0, true)
  console.service()
  expect(printed.map(({ length }) => length)).toEqual(prints)
  expect(view.getUint32(OUT_CONS, true)).toBe(view.getUint32(OUT_PROD, true))
})

test('a sender holds back while the guest takes nothing, and goes on when most is taken', () => {
  const { console, view } = ring()
  let drains = 0
  console.drained = () => drains++
  const sent = Array.from({ length: 17 }, () => console.receive(new Uint8Array(1000)))
  // 1 KiB is in the ring.
  expect(sent.indexOf(false)).toBe(-1)
  expect(console.receive(new Uint8Array(1000))).toBe(false)
  for (let taken = 0; taken < 18_000; taken += 1000) {
    const left = 18_000 - 1024 - taken
    expect(drains).toBe(left > 8192 ? 0 : 1)
    view.setUint32(0xc00, view.getUint32(0xc00, true) + 1000, true)
    console.service()
  }
})
