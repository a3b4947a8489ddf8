/**
 * The test cases of reference/replay.md that are about vectors: a gather or scatter written out over a log, one tagged
 * access an element. A pass has two ways to stop before the end, and they are two results: `assist`, a device has been
 * asked and the same pass is made again; `progress`, elements are finished for good, and what is left starts anew.
 */
import { describe, expect, test } from 'vitest'
import { AccessKind, AccessLog, accessTag, STATUS_RESTART } from '../src/index.ts'

type Pass = 'retired' | 'assist' | 'progress'

/** Sixteen lanes of a vector instruction with a mask, over a device that answers later. */
class Vector {
  readonly log = new AccessLog()
  /** Clear for elements that are finished. */
  mask = 0xffff
  readonly lanes: number[] = new Array<number>(16).fill(0)
  readonly asked: string[] = []
  readonly addresses: readonly number[]
  /** What RAM holds, for addresses below the device's. */
  ram = 0
  /** An interrupt is due after this element, once. */
  interruptAfter = -1
  #reads = 0

  constructor(addresses: readonly number[]) {
    this.addresses = addresses
  }

  /** One pass of a gather. Lanes and mask are held back until something is final. */
  gather(): Pass {
    const { log } = this
    const values = [...this.lanes]
    for (let i = 0; i < 16; i++) {
      if ((this.mask & (1 << i)) === 0) continue
      const address = this.addresses[i] as number
      const device = address >= DEVICE
      const index = log.access(device ? AccessKind.MMIO_READ : AccessKind.READ, address, 0, 4, accessTag(1, i))
      if (log.state(index) === STATUS_RESTART && device) {
        this.asked.push(`read ${address.toString(16)}`)
        log.wait(index)
        return 'assist'
      }
      if (log.state(index) === STATUS_RESTART) {
        log.setData(index, this.ram, 0)
        log.complete(index)
      }
      values[i] = log.dataLo(index)
      if (i === this.interruptAfter) {
        this.interruptAfter = -1
        this.#keep(values, i)
        return 'progress'
      }
    }
    this.#keep(values, 15)
    return 'retired'
  }

  /** One pass of a scatter. */
  scatter(): Pass {
    const { log } = this
    for (let i = 0; i < 16; i++) {
      if ((this.mask & (1 << i)) === 0) continue
      const address = this.addresses[i] as number
      const index = log.access(AccessKind.MMIO_WRITE, address, 0, 4, accessTag(0, i))
      if (log.state(index) !== STATUS_RESTART) continue
      log.setData(index, this.lanes[i] as number, 0)
      this.asked.push(`write ${address.toString(16)}=${log.dataLo(index)}`)
      log.wait(index)
      return 'assist'
    }
    this.#keep(this.lanes, 15)
    return 'retired'
  }

  #keep(values: readonly number[], last: number): void {
    for (let i = 0; i <= last; i++) this.lanes[i] = values[i] as number
    this.mask &= ~((2 << last) - 1)
  }

  /** Passes until the instruction retires or keeps progress; the device answers 100, 101, … */
  run(pass: () => Pass): Exclude<Pass, 'assist'> {
    this.log.begin()
    for (;;) {
      const result = pass()
      if (result !== 'assist') {
        this.log.end()
        return result
      }
      const { pending } = this.log
      if (this.log.kind(pending) === AccessKind.MMIO_READ) this.log.setData(pending, 100 + this.#reads++, 0)
      this.log.complete(pending)
      this.ram += 0x1000
      this.log.restart()
    }
  }
}

const DEVICE = 0x1000_0000

describe('reference/replay.md, "Test cases this implies"', () => {
  test('Gather, 16 elements on 16 MMIO pages, 4 identical indices: one device read each', () => {
    const pages = Array.from({ length: 16 }, (_, i) => DEVICE + 0x1000 * i)
    for (const i of [5, 9, 13]) pages[i] = pages[1] as number
    const vector = new Vector(pages)
    expect(vector.run(() => vector.gather())).toBe('retired')
    expect(vector.asked).toEqual(pages.map((address) => `read ${address.toString(16)}`))
    // The four that look alike have an answer each.
    expect(vector.lanes).toEqual(Array.from({ length: 16 }, (_, i) => 100 + i))
  })

  test('Gather interrupted by event after element 5: mask shows five cleared, element 6 fresh', () => {
    // Elements 1 to 5 and 6 on are RAM but for element 3, whose device makes the passes.
    const vector = new Vector(Array.from({ length: 16 }, (_, i) => (i === 2 ? DEVICE : 0x1000)))
    vector.ram = 7
    vector.interruptAfter = 4
    expect(vector.run(() => vector.gather())).toBe('progress')
    expect(vector.mask).toBe(0xffe0)
    expect(vector.log.active).toBe(false)
    expect(vector.lanes.slice(0, 6)).toEqual([7, 7, 100, 0x1007, 0x1007, 0])
    // The event has been handled, and RAM is another.
    vector.ram = 9
    expect(vector.run(() => vector.gather())).toBe('retired')
    expect(vector.lanes.slice(5)).toEqual(new Array<number>(11).fill(9))
    expect(vector.asked).toEqual([`read ${DEVICE.toString(16)}`])
  })

  test('Scatter: two elements to one MMIO address, different data', () => {
    const vector = new Vector(Array.from({ length: 16 }, (_, i) => DEVICE + (i === 9 ? 4 * 2 : 4 * i)))
    for (let i = 0; i < 16; i++) vector.lanes[i] = 1000 + i
    expect(vector.run(() => vector.scatter())).toBe('retired')
    expect(vector.asked).toEqual(vector.addresses.map((address, i) => `write ${address.toString(16)}=${1000 + i}`))
    expect(vector.asked.filter((access) => access.startsWith(`write ${(DEVICE + 8).toString(16)}=`))).toHaveLength(2)
  })
})

test('elements that look alike are told apart by their tags: a pass that swaps two of them is caught', () => {
  const log = new AccessLog()
  log.begin()
  for (const element of [0, 1]) log.complete(log.access(AccessKind.READ, 0x1000, 0, 4, accessTag(1, element)))
  log.restart()
  expect(() => log.access(AccessKind.READ, 0x1000, 0, 4, accessTag(1, 1))).toThrow(/tag|element|read/)
})
