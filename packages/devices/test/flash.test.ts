import { DeviceError } from '@retrap/device'
import { describe, expect, test } from 'vitest'
import { CfiFlash } from '../src/flash/index.ts'
import { FlashMachine } from './support/flash-machine.ts'
import { TestMedium } from './support/test-medium.ts'

const BLOCK = 0x1000
const READY = 0x80

const contents = (): Uint8Array => Uint8Array.from({ length: 4 * BLOCK }, (_, i) => i * 7)

describe('commands (28F128J3A data sheet, "Command Definitions")', () => {
  test('a flash is memory until a write, and again after Read Array', () => {
    const machine = new FlashMachine({ contents: contents() })
    expect([machine.mode, machine.load(3)]).toEqual(['memory', 21])
    void machine.store(0, 0x70)
    expect([machine.mode, machine.load(3)]).toEqual(['trapped', 0])
    void machine.store(0, 0xff)
    expect([machine.mode, machine.load(3)]).toEqual(['memory', 21])
  })

  test('OVMF tells flash from RAM and ROM: Clear Status keeps no byte, and the status is 0 after it', () => {
    const machine = new FlashMachine({ contents: contents() })
    void machine.store(1, 0x50)
    expect(machine.load(1)).toBe(7)
    void machine.store(1, 0x70)
    expect(machine.load(1)).toBe(0)
  })

  test('programming clears bits, and an erase sets those of its block', () => {
    const machine = new FlashMachine({ contents: contents() })
    void machine.store(BLOCK, 0x40, 0x55)
    expect(machine.load(0)).toBe(READY)
    void machine.store(BLOCK, 0xff)
    expect(machine.load(BLOCK)).toBe((BLOCK * 7) & 0x55)
    void machine.store(BLOCK + 9, 0x20, 0xd0)
    expect(machine.load(0)).toBe(READY)
    void machine.store(0, 0xff)
    expect([BLOCK - 1, BLOCK, 2 * BLOCK - 1, 2 * BLOCK].map((at) => machine.load(at))).toEqual([249, 0xff, 0xff, 0])
    expect(machine.modified).toEqual([`${BLOCK}+1`, `${BLOCK}+${BLOCK}`])
  })

  test('an erase without its confirmation is a sequence error until Clear Status', () => {
    const machine = new FlashMachine({ contents: contents() })
    void machine.store(0, 0x20, 0xff)
    expect(machine.load(0)).toBe(READY | 0x30)
    void machine.store(0, 0x50, 0x70)
    expect(machine.load(0)).toBe(0)
    void machine.store(0, 0xff)
    expect(machine.load(1)).toBe(7)
  })

  test('a buffered program changes its bytes at once', () => {
    const machine = new FlashMachine({ contents: new Uint8Array(2 * BLOCK).fill(0xff) })
    void machine.store(0x10, 0xe8)
    expect(machine.load(0x10)).toBe(READY)
    void machine.store(0x10, 2)
    for (const at of [0x10, 0x11, 0x12]) void machine.store(at, at)
    expect(machine.bytes[0x10]).toBe(0xff)
    void machine.store(0x10, 0xd0, 0xff)
    expect([...machine.bytes.subarray(0xf, 0x14)]).toEqual([0xff, 0x10, 0x11, 0x12, 0xff])
  })

  test.each([
    { what: 'beyond its block', at: [BLOCK - 1, BLOCK], end: [] },
    { what: 'before its first byte', at: [0x20, 0x1f], end: [] },
    { what: 'without confirmation', at: [0x20, 0x21], end: [0xff] },
  ])('a buffered program $what changes nothing', ({ at, end }) => {
    const machine = new FlashMachine({ contents: new Uint8Array(2 * BLOCK).fill(0xff) })
    void machine.store(0, 0xe8, 1)
    for (const offset of at) void machine.store(offset, 0)
    void machine.store(0, ...end)
    expect(machine.load(0)).toBe(READY | 0x30)
    expect(machine.bytes.every((byte) => byte === 0xff)).toBe(true)
  })

  test('lock bits are set one by one and cleared together', () => {
    const machine = new FlashMachine({ contents: contents() })
    void machine.store(BLOCK, 0x60, 0x01, 0x90)
    expect([0, 1, 2, BLOCK + 2].map((at) => machine.load(at))).toEqual([0x89, 0x18, 0, 1])
    void machine.store(BLOCK, 0x20, 0xd0, 0x70)
    expect(machine.load(0)).toBe(READY | 0x22)
    void machine.store(0, 0x50, 0x60, 0xd0, 0x90)
    expect(machine.load(BLOCK + 2)).toBe(0)
    void machine.store(0, 0xff)
    expect(machine.load(BLOCK + 1)).toBe(7)
  })

  test('a read-only flash is locked', () => {
    const machine = new FlashMachine({ contents: contents(), readOnly: true })
    machine.erase(0)
    machine.program(1, 0)
    void machine.store(0, 0x60, 0xd0, 0x40, 0, 0x70)
    expect(machine.load(0)).toBe(READY | 0x32)
    void machine.store(0, 0xff)
    expect(machine.load(1)).toBe(7)
  })

  test('a CFI query describes it (JESD68.01)', () => {
    const machine = new FlashMachine({ contents: contents() })
    void machine.store(0x55, 0x98)
    const table = Array.from({ length: 0x40 }, (_, at) => machine.load(at))
    expect(String.fromCharCode(...table.slice(0x10, 0x13))).toBe('QRY')
    expect(table.slice(0x13, 0x17)).toEqual([1, 0, 0x31, 0])
    // 16 KiB in four blocks of 4 KiB.
    expect(table[0x27]).toBe(14)
    expect(table.slice(0x2c, 0x31)).toEqual([1, 3, 0, 16, 0])
    expect(String.fromCharCode(...table.slice(0x31, 0x36))).toBe('PRI11')
  })
})

/** Media that a process killed at some moment would leave: one after each write. */
class Watched extends TestMedium {
  readonly images: Uint8Array[] = []

  override async write(offset: number, from: Uint8Array): Promise<void> {
    await super.write(offset, from)
    this.images.push(this.bytes.slice())
  }
}

const watched = (bytes: Uint8Array): Watched => {
  const medium = new Watched(0)
  medium.bytes = bytes
  return medium
}

describe('the medium', () => {
  test('gets every change in order: a killed process leaves what a loss of power would', async () => {
    const medium = watched(new Uint8Array(2 * BLOCK).fill(0xff))
    const machine = new FlashMachine({ contents: medium.bytes.slice(), medium })
    /** The flash after each command of the guest. */
    const states = [machine.bytes.slice()]
    let seed = 1
    for (let i = 0; i < 500; i++) {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0
      const at = (seed >>> 8) % (2 * BLOCK)
      if (i % 50 === 49) machine.erase(at)
      else machine.program(at, seed >>> 24)
      states.push(machine.bytes.slice())
      if (i % 7 === 0) await new Promise((resolve) => setImmediate(resolve))
    }
    await machine.flash.settled()
    expect(medium.bytes).toEqual(machine.bytes)
    let next = 0
    for (const image of medium.images) {
      const found = states.findIndex((state, i) => i >= next && Buffer.compare(state, image) === 0)
      expect(found).toBeGreaterThanOrEqual(next)
      next = found
    }
    expect(medium.images.length).toBeGreaterThan(20)
    expect(medium.log.at(-1)).toContain('flush')
  })

  test('a guest that is far ahead of it waits', async () => {
    const medium = watched(new Uint8Array(1 << 20).fill(0xff))
    const machine = new FlashMachine({ contents: medium.bytes.slice(), medium })
    medium.hold = true
    let waited: void | Promise<void> = undefined
    let writes = 0
    for (; waited === undefined && writes < 2000; writes++) {
      void machine.store(0, 0x40)
      waited = machine.store((writes % 2000) * 512, 0)
    }
    expect(writes).toBeLessThan(300)
    await medium.release()
    await waited
    expect(medium.bytes).toEqual(machine.bytes)
  })

  test('that fails is asked no more, and changes end with the voltage error', async () => {
    const medium = watched(contents())
    const machine = new FlashMachine({ contents: contents(), medium })
    medium.bad = { at: 0x205, code: 'ERR_NO_SPACE' }
    machine.program(0x205, 0)
    await machine.flash.settled()
    void machine.store(0, 0x40, 0)
    expect(machine.load(0)).toBe(READY | 0x18)
    void machine.store(0, 0x20, 0xd0)
    expect(machine.load(0)).toBe(READY | 0x38)
    await machine.flash.settled()
    expect(medium.log.filter((line) => line.startsWith('write'))).toHaveLength(1)
  })
})

test('a saved state has the command that is under way; the medium follows the restored contents', async () => {
  const first = new FlashMachine({ contents: new Uint8Array(BLOCK).fill(0xff) })
  void first.store(0x20, 0x60, 1, 0x50, 0xe8, 1)
  void first.store(0x30, 0x11)
  const medium = watched(new Uint8Array(BLOCK))
  const second = new FlashMachine({ contents: new Uint8Array(BLOCK), medium })
  second.bytes.set(first.bytes)
  second.flash.restore(JSON.parse(JSON.stringify(first.flash.save())))
  second.flash.resume()
  await second.flash.settled()
  expect(medium.bytes).toEqual(first.bytes)
  for (const machine of [first, second]) {
    void machine.store(0x31, 0x22)
    void machine.store(0x30, 0xd0)
    expect(machine.load(0)).toBe(READY | 0x12)
    machine.flash.reset()
    machine.program(0x31, 0x22)
    expect([machine.mode, machine.load(0x31)]).toEqual(['memory', 0x22])
  }
})

test('a medium is given no more at once than it takes', async () => {
  const medium = watched(new Uint8Array(BLOCK))
  medium.given = { maximumBytes: 1500 }
  const machine = new FlashMachine({ contents: new Uint8Array(BLOCK), medium })
  machine.flash.restore(machine.flash.save())
  machine.flash.resume()
  machine.erase(0)
  await machine.flash.settled()
  const sizes = medium.log.filter((line) => line.startsWith('write')).map((line) => Number(line.split('+')[1]))
  expect(sizes).toEqual([1024, 1024, 1024, 1024, 1024, 1024, 1024, 1024])
  expect(medium.bytes).toEqual(new Uint8Array(BLOCK).fill(0xff))
})

test('contents and media that do not fit are refused', () => {
  const gpa = 0xff00_0000
  expect(() => new CfiFlash({ gpa, contents: new Uint8Array(5) })).toThrow(DeviceError)
  expect(() => new CfiFlash({ gpa, contents: contents(), medium: new TestMedium(BLOCK) })).toThrow(
    /expected 16384 bytes/,
  )
})

test('a flash that only system-management mode writes shows others its contents, whatever it is about to do', () => {
  let trusted = false
  const machine = new FlashMachine({ contents: contents(), isTrusted: () => trusted })
  void machine.store(BLOCK, 0x40, 0x00)
  expect([machine.mode, machine.load(BLOCK)]).toEqual(['memory', (BLOCK * 7) & 0xff])
  trusted = true
  void machine.store(1, 0x40, 0x00)
  expect(machine.load(1)).toBe(READY)
  trusted = false
  expect(machine.load(3)).toBe(21)
  void machine.store(3, 0x40, 0x00)
  expect([machine.load(1), machine.load(3)]).toEqual([0, 21])
  expect(machine.modified).toEqual(['1+1'])
})

describe('two chips of 16 bits side by side', () => {
  const blockBytes = 0x4_0000
  const make = (): FlashMachine =>
    new FlashMachine({ contents: new Uint8Array(2 * blockBytes).fill(0xff), busBytes: 4, blockBytes })

  test('both take a command and say the same', () => {
    const machine = make()
    machine.store32(0x55 * 4, 0x0098_0098)
    // The query's QRY, an interface of 16 bits, chips of 256 KiB, blocks of 128 KiB in each.
    expect([0x10, 0x11, 0x12].map((at) => machine.load32(4 * at))).toEqual([0x51_0051, 0x52_0052, 0x59_0059])
    expect([0x28, 0x27, 0x2d, 0x2f, 0x30].map((at) => machine.load32(4 * at) & 0xffff)).toEqual([1, 18, 1, 0, 2])
    machine.store32(0, 0x0090_0090)
    expect([0, 4].map((at) => machine.load32(at))).toEqual([0x89_0089, 0x18_0018])
    machine.store32(0, 0x0070_0070)
    expect(machine.load32(8)).toBe(0)
    machine.store32(0, 0x00ff_00ff)
    expect(machine.mode).toBe('memory')
  })

  test('a word is programmed, many are, and a block is erased', () => {
    const machine = make()
    machine.store32(8, 0x0040_0040, 0x1234_5678)
    expect(machine.load32(8)).toBe(0x80_0080)
    // The count is one of words, less one.
    machine.store32(0x40, 0x00e8_00e8, 0x0001_0001)
    machine.store32(0x40, 0xcafe_0001)
    machine.store32(0x44, 0xcafe_0002)
    machine.store32(0x40, 0x00d0_00d0, 0x00ff_00ff)
    expect([...machine.bytes.subarray(8, 12)]).toEqual([0x78, 0x56, 0x34, 0x12])
    expect([...machine.bytes.subarray(0x40, 0x48)]).toEqual([1, 0, 0xfe, 0xca, 2, 0, 0xfe, 0xca])
    machine.store32(4, 0x0020_0020, 0x00d0_00d0, 0x00ff_00ff)
    expect(machine.bytes.every((byte) => byte === 0xff)).toBe(true)
    expect(machine.modified.at(-1)).toBe(`0+${blockBytes}`)
  })
})
