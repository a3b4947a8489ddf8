import { beforeEach, expect, test } from 'vitest'
import { DATA, NvmeMachine } from '../support/nvme-machine.ts'
import { TestMedium } from '../support/test-medium.ts'

const DNR = 0x4000

let medium: TestMedium
let nvme: NvmeMachine

beforeEach(async () => {
  medium = new TestMedium(128 * 512, 2048 * 512)
  medium.given = { serialNumber: 'S-17' }
  nvme = new NvmeMachine(medium)
  await nvme.start()
})

const text = (at: number, length: number): string =>
  new TextDecoder().decode(nvme.machine.ram.slice(DATA + at, DATA + at + length)).trimEnd()
const identify = (kind: number, namespace = 1): Promise<{ status: number }> =>
  nvme.admin({ opcode: 6, namespace, words: [kind] })
const features = (word10: number, word11 = 0): Promise<{ status: number; result: number }> =>
  nvme.admin({ opcode: 0x0a, words: [word10, word11] })
const setFeatures = (word10: number, word11 = 0): Promise<{ status: number; result: number }> =>
  nvme.admin({ opcode: 9, words: [word10, word11] })
const log = (page: number, words: number, offset = 0): Promise<{ status: number }> =>
  nvme.admin({ opcode: 2, words: [page | ((words - 1) << 16), 0, offset] })

test('the controller and its namespace tell who they are', async () => {
  const { view } = nvme
  expect((await identify(1)).status).toBe(0)
  expect([text(4, 20), text(24, 40), text(64, 8)]).toEqual(['S-17', 'RETRAP NVME', '1.0'])
  expect([nvme.machine.ram[DATA + 77], view.getUint32(DATA + 516, true)]).toEqual([7, 1])
  expect(text(768, 68)).toMatch(
    /^nqn\.2014-08\.org\.nvmexpress:uuid:[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
  )
  expect((await identify(0)).status).toBe(0)
  expect([0, 8, 16].map((at) => view.getBigUint64(DATA + at, true))).toEqual([2048n, 2048n, 2048n])
  expect([nvme.machine.ram[DATA + 99], view.getUint32(DATA + 128, true)]).toEqual([0, 9 << 16])
  const identity = nvme.machine.ram.slice(DATA + 120, DATA + 128)
  expect(identity[0]! & 3).toBe(2)
  expect((await identify(3)).status).toBe(0)
  expect(nvme.machine.ram.slice(DATA, DATA + 16)).toEqual(Uint8Array.from([1, 8, 0, 0, ...identity, 0, 0, 0, 0]))
})

test('every digit of its names differs between serial numbers', async () => {
  const found: string[] = []
  for (let i = 0; i < 12; i++) {
    medium.given = { serialNumber: `${i}-SERIAL` }
    nvme = new NvmeMachine(medium)
    await nvme.start()
    await identify(1)
    const uuid = text(768, 68).slice(-36)
    await identify(0)
    found.push(`${uuid} ${Buffer.from(nvme.machine.ram.slice(DATA + 120, DATA + 128)).toString('hex')}`)
  }
  const constant = Array.from(found[0]!, (digit, i) => (found.every((name) => name[i] === digit) ? digit : '*'))
  // The version of the UUID.
  expect(constant.join('')).toBe('********-****-8***-****-************ ****************')
})

test.each([
  { name: 'namespaces above 0', kind: 2, namespace: 0, status: 0, first: 1 },
  { name: 'namespaces above 1', kind: 2, namespace: 1, status: 0, first: 0 },
  { name: 'namespaces above the last one', kind: 2, namespace: 0xffff_fffe, status: 0x0b | DNR },
  { name: 'namespace 2', kind: 0, namespace: 2, status: 0x0b | DNR },
  { name: 'what namespace 2 is called', kind: 3, namespace: 2, status: 0x0b | DNR },
  { name: 'what there is not', kind: 0x10, namespace: 1, status: 0x02 | DNR },
])('Identify: $name', async ({ kind, namespace, status, first }) => {
  expect((await identify(kind, namespace)).status).toBe(status)
  if (first !== undefined) expect(nvme.view.getUint32(DATA, true)).toBe(first)
})

test.each([
  { name: 'arbitration', id: 1, initial: 6, value: 0x0102_0307, expected: 0x0102_0307 },
  { name: 'the temperature that warns', id: 4, initial: 343, value: 350, expected: 350 },
  { name: 'the temperature below', id: 4, selector: 0x10_0000, initial: 0, value: 0x10_0123, expected: 0x123 },
  { name: 'the write cache', id: 6, initial: 1, value: 0, expected: 0 },
  { name: 'a vector', id: 9, selector: 8, initial: 8, value: 0x1_0008, expected: 0x1_0008 },
  { name: 'events', id: 11, initial: 0, value: 0xffff_ffff, expected: 0x100 },
])('features: $name', async ({ id, selector = 0, initial, value, expected }) => {
  expect(await features(id, selector)).toMatchObject({ status: 0, result: initial })
  expect(await setFeatures(id, value)).toMatchObject({ status: 0, result: 0 })
  expect(await features(id, selector)).toMatchObject({ status: 0, result: expected })
  expect(await features(id | 0x100, selector)).toMatchObject({ status: 0, result: initial })
  expect(await features(id | 0x300, selector)).toMatchObject({ status: 0, result: 4 })
  nvme.write(0x14, 0x0046_0000)
  await nvme.pass()
  await nvme.start()
  expect(await features(id, selector)).toMatchObject({ status: 0, result: initial })
})

test('features that are refused', async () => {
  expect((await features(0x7f)).status).toBe(0x02 | DNR)
  expect((await features(9, 9)).status).toBe(0x02 | DNR)
  expect((await features(4, 0x20_0000)).status).toBe(0x02 | DNR)
  expect((await features(0x401)).status).toBe(0x02 | DNR)
  expect((await setFeatures(0x8000_0001)).status).toBe(0x10d | DNR)
  expect((await setFeatures(2, 1)).status).toBe(0x02 | DNR)
})

test('the number of queues is asked for before there is one', async () => {
  expect((await setFeatures(7, 0x3_0003)).status).toBe(0x10e | DNR)
  const fresh = new NvmeMachine(medium)
  fresh.enable()
  expect(await fresh.admin({ opcode: 9, words: [7, 0x3f_003f] })).toMatchObject({ status: 0, result: 0x7_0007 })
  expect((await fresh.admin({ opcode: 9, words: [7, 0xffff] })).status).toBe(0x02 | DNR)
})

test('log pages tell what was moved', async () => {
  for (let i = 0; i < 3; i++) await nvme.io({ opcode: 2, prp2: DATA + 0x1000, words: [0, 0, 15] })
  await nvme.io({ opcode: 1, words: [0, 0, 0] })
  expect((await log(2, 128)).status).toBe(0)
  const { view } = nvme
  expect([32, 48, 64, 80].map((at) => view.getUint32(DATA + at, true))).toEqual([1, 1, 3, 1])
  expect(view.getUint16(DATA + 1, true)).toBe(307)
  expect((await log(3, 2, 8)).status).toBe(0)
  expect(text(0, 8)).toBe('1.0')
  expect((await log(2, 4, 516)).status).toBe(0x02 | DNR)
  expect((await log(2, 4, 2)).status).toBe(0x02 | DNR)
  expect((await log(0x7e, 4)).status).toBe(0x109 | DNR)
  expect((await nvme.admin({ opcode: 2, words: [0xffff_0001, 3] })).status).toBe(0x02 | DNR)
})

test('a medium that changes is told to who asked for it, once', async () => {
  nvme.submit(0, { opcode: 0x0c })
  medium.change(new Uint8Array(4096))
  expect(nvme.completions(0)).toEqual([])
  const fresh = new NvmeMachine(medium)
  fresh.enable()
  await fresh.admin({ opcode: 9, words: [11, 0x100] })
  const asked = [fresh.submit(0, { opcode: 0x0c }), fresh.submit(0, { opcode: 0x0c })]
  medium.change(new Uint8Array(1024))
  expect(fresh.completions(0)).toMatchObject([{ id: asked[0], status: 0, result: 0x4_0002 }])
  medium.change(new Uint8Array(2048))
  expect(fresh.completions(0)).toEqual([])
  await fresh.admin({ opcode: 2, words: [4 | (1023 << 16)] })
  expect(fresh.view.getUint32(DATA, true)).toBe(1)
  medium.change(new Uint8Array(512))
  expect(fresh.completions(0)).toMatchObject([{ id: asked[1], result: 0x4_0002 }])
})

test('a change of the medium waits until the guest lets the controller reach memory', async () => {
  await setFeatures(11, 0x100)
  const event = nvme.submit(0, { opcode: 0x0c })
  nvme.master(false)
  medium.change(new Uint8Array(512))
  expect(nvme.completions(0)).toEqual([])
  nvme.master(true)
  expect(nvme.completions(0)).toMatchObject([{ id: event, result: 0x4_0002 }])
})

test('four requests of events stay open, the fifth is refused', async () => {
  for (let i = 0; i < 4; i++) nvme.submit(0, { opcode: 0x0c })
  const fifth = await nvme.admin({ opcode: 0x0c })
  expect(fifth.status).toBe(0x105 | DNR)
})

test('an abort promises nothing, and what is unknown is refused', async () => {
  expect(await nvme.admin({ opcode: 8, words: [1] })).toMatchObject({ status: 0, result: 1 })
  expect((await nvme.admin({ opcode: 0x80 })).status).toBe(0x01 | DNR)
  expect((await nvme.admin({ opcode: 6, flags: 0x40, words: [1] })).status).toBe(0x02 | DNR)
})

test('commands that end at once all end, though the driver says only afterwards that it has looked', () => {
  const ids = [1, 2, 3].map(() => nvme.put(0, { opcode: 6, words: [1] }))
  nvme.ring(0)
  expect(nvme.completions(0, false).map(({ id }) => id)).toEqual(ids)
})

test('a queue of completions that is full takes no commands until the driver has looked', () => {
  const ids = Array.from({ length: 15 }, () => nvme.put(0, { opcode: 6, words: [1] }))
  nvme.ring(0)
  expect(nvme.completions(0, false).map(({ id }) => id)).toEqual(ids)
  const next = nvme.submit(0, { opcode: 6, words: [1] })
  expect(nvme.completions(0, false)).toEqual([])
  nvme.write(0x1004, 1)
  expect(nvme.completions(0).map(({ id }) => id)).toEqual([next])
})
