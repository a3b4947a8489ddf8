import { expect, test } from 'vitest'
import { DATA, LISTS, NvmeMachine } from '../support/nvme-machine.ts'
import { TestMedium } from '../support/test-medium.ts'

const READ = 2
const WRITE = 1
const block = (first: number): readonly number[] => [first, 0, 0]

/** Another machine with the same memory and medium, which goes on from what the first one saves. */
async function moved(one: NvmeMachine, medium: TestMedium): Promise<NvmeMachine> {
  void one.model.quiesce()
  await new Promise((resolve) => setImmediate(resolve))
  const state: unknown = structuredClone(one.model.save())
  const two = new NvmeMachine(medium)
  two.machine.ram.set(one.machine.ram)
  two.machine.exact.set(one.machine.exact)
  two.adopt(one)
  two.model.restore(state)
  expect(two.model.save()).toEqual(state)
  two.model.resume()
  return two
}

test('commands that the medium had not answered are asked again', async () => {
  const medium = new TestMedium(64 * 512)
  const one = new NvmeMachine(medium)
  await one.start()
  medium.hold = true
  one.machine.ram.fill(7, DATA + 0x1000, DATA + 0x1200)
  const ids = [
    one.submit(1, { opcode: READ, words: block(3) }),
    one.submit(1, { opcode: WRITE, prp1: DATA + 0x1000, words: block(5) }),
  ]
  medium.hold = false
  const two = await moved(one, medium)
  await two.pass()
  expect(two.completions(1)).toMatchObject(ids.map((id) => ({ id, status: 0 })))
  expect(two.machine.ram.slice(DATA, DATA + 512)).toEqual(medium.bytes.slice(3 * 512, 4 * 512))
  expect(medium.bytes[5 * 512]).toBe(7)
})

test('a write that the medium had answered is not made again', async () => {
  const medium = new TestMedium(64 * 512)
  const one = new NvmeMachine(medium)
  await one.start()
  const id = one.submit(1, { opcode: WRITE, words: block(5) })
  await new Promise((resolve) => setImmediate(resolve))
  const two = await moved(one, medium)
  await two.pass()
  expect(two.completions(1)).toMatchObject([{ id, status: 0 }])
  expect(medium.log).toHaveLength(1)
})

test('completions that wait, features, event requests and a deletion go on', async () => {
  const medium = new TestMedium(64 * 512)
  const one = new NvmeMachine(medium)
  await one.start()
  await one.admin({ opcode: 9, words: [11, 0x100] })
  const event = one.submit(0, { opcode: 0x0c })
  medium.hold = true
  one.submit(1, { opcode: READ, words: block(3) })
  const deletion = one.submit(0, { opcode: 0, words: [1] })
  medium.hold = false
  const two = await moved(one, medium)
  await two.pass()
  expect(two.completions(0)).toMatchObject([{ id: deletion, status: 0 }])
  medium.change(medium.bytes)
  expect(two.completions(0)).toMatchObject([{ id: event, result: 0x4_0002 }])
})

test('nothing is answered between quiesce and resume', async () => {
  const medium = new TestMedium(64 * 512)
  const nvme = new NvmeMachine(medium)
  await nvme.start()
  nvme.submit(1, { opcode: READ, words: block(3) })
  await nvme.model.quiesce()
  await nvme.pass()
  expect(nvme.completions(1)).toEqual([])
  nvme.model.resume()
  expect(nvme.completions(1)).toMatchObject([{ status: 0 }])
})

test('a reset of the controller that had not ended ends', async () => {
  const medium = new TestMedium(64 * 512)
  const one = new NvmeMachine(medium)
  await one.start()
  one.write(0x14, 0x0046_0000)
  const two = await moved(one, medium)
  expect(two.read(0x1c)).toBe(1)
  await two.pass()
  expect(two.read(0x1c)).toBe(0)
})

test('commands that are left for later, and the end of a reset, come when they would without a snapshot', async () => {
  /** What memory and CSTS are, each microsecond. @param saved - microseconds until a snapshot */
  const seen = async (saved: number): Promise<readonly (readonly number[])[]> => {
    const nvme = new NvmeMachine(new TestMedium(512))
    nvme.write(0x24, 0xff_00ff)
    nvme.write(0x28, 0x1_0000)
    nvme.write(0x30, 0x2_0000)
    nvme.write(0x14, 0x0046_0001)
    nvme.write(0x1000, 200)
    const rows: number[][] = []
    for (let at = 0; at < 60; at++) {
      if (at === saved) {
        await nvme.model.quiesce()
        nvme.model.resume()
      }
      if (at === 40) nvme.write(0x14, 0)
      const answered = Array.from({ length: 200 }, (_, i) => nvme.machine.ram[0x2_000e + 16 * i]!)
      rows.push([nvme.read(0x1c), answered.filter((byte) => byte !== 0).length])
      nvme.machine.advance(1000)
      await new Promise((resolve) => setImmediate(resolve))
    }
    return rows
  }
  const undisturbed = await seen(Infinity)
  expect(new Set(undisturbed.map(([, answered]) => answered))).toEqual(new Set([64, 128, 192, 200]))
  for (const saved of [0, 1, 5, 9, 10, 11, 25, 41, 45, 49]) expect(await seen(saved)).toEqual(undisturbed)
})

test('a read that was under way goes to where its list said, and brings what was there', async () => {
  const medium = new TestMedium(64 * 512)
  const one = new NvmeMachine(medium)
  await one.start()
  const before = medium.bytes.slice(0, 0x3000)
  for (let i = 0; i < 2; i++) one.view.setBigUint64(LISTS + 8 * i, BigInt(DATA + 0x1000 * (i + 1)), true)
  const id = one.submit(1, { opcode: READ, prp2: LISTS, words: [0, 0, 23] })
  one.machine.ram.fill(0xff, LISTS, LISTS + 16)
  await new Promise((resolve) => setImmediate(resolve))
  medium.bytes.fill(9)
  const two = await moved(one, medium)
  await two.pass()
  expect(two.completions(1)).toMatchObject([{ id, status: 0 }])
  expect(Buffer.compare(two.machine.ram.slice(DATA, DATA + 0x3000), before)).toBe(0)
})

test('a medium that is exchanged during a snapshot is told of after it', async () => {
  const medium = new TestMedium(64 * 512)
  const nvme = new NvmeMachine(medium)
  await nvme.start()
  await nvme.admin({ opcode: 9, words: [11, 0x100] })
  const event = nvme.submit(0, { opcode: 0x0c })
  await nvme.model.quiesce()
  medium.change(medium.bytes.slice(0, 4096))
  expect(nvme.completions(0, false)).toEqual([])
  nvme.model.resume()
  expect(nvme.completions(0)).toMatchObject([{ id: event, result: 0x0004_0002 }])
})

test.each([
  { name: 'blocks of 1024 bytes', given: { blockBytes: 1024 }, options: {} },
  { name: 'a serial number of 21 characters', given: {}, options: { serialNumber: 'x'.repeat(21) } },
  { name: 'no queue', given: {}, options: { queues: 0 } },
  { name: 'PCI device 32', given: {}, options: { device: 32 } },
  { name: 'the host bridge’s PCI device', given: {}, options: { device: 0 } },
])('is not made with $name', ({ given, options }) => {
  const medium = new TestMedium(4096)
  medium.given = given
  expect(() => NvmeMachine.make(medium, options)).toThrow(expect.objectContaining({ code: 'ERR_OPTION' }))
})
