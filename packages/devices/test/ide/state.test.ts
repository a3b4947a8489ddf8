import { expect, test } from 'vitest'
import type { IdeDriveOptions } from '../../src/ide/index.ts'
import { DATA, IdeMachine, SRST } from '../support/ide-machine.ts'
import { TestMedium } from '../support/test-medium.ts'

const disk = (): IdeDriveOptions => ({ kind: 'disk', medium: new TestMedium(64 * 512) })
const cdrom = (): IdeDriveOptions => ({ kind: 'cdrom', medium: null })

test.each([
  { name: 'a disk into a CD drive', from: [disk()], to: [cdrom()] },
  { name: 'a CD drive into a disk', from: [cdrom()], to: [disk()] },
  { name: 'a disk into nothing', from: [disk()], to: [] },
  { name: 'nothing into a disk', from: [], to: [disk()] },
  { name: 'drive 1 into drive 0', from: [null, disk()], to: [disk(), null] },
  { name: 'a disk of the other channel', from: [null, null, disk()], to: [null, null, null, disk()] },
])('a state of other drives is refused, and changes nothing: $name', ({ from, to }) => {
  const saved = structuredClone(new IdeMachine(from).model.save())
  const { model } = new IdeMachine(to)
  const before = structuredClone(model.save())
  expect(() => model.restore(saved)).toThrow(expect.objectContaining({ code: 'ERR_STATE' }))
  expect(model.save()).toEqual(before)
})

test('a state with DMA under way is refused where the drive is absent, and the next start of DMA finds nothing', async () => {
  const one = new IdeMachine([disk()])
  one.command28(0xc8, 0, 1)
  await one.pass()
  const two = new IdeMachine([])
  expect(() => two.model.restore(structuredClone(one.model.save()))).toThrow('kind of the saved state is disk')
  two.prds([DATA, 512])
  two.writeBusMaster(0, 9)
  expect(two.readBusMaster(2)).toBe(1)
})

test.each([{ channels: [] }, { step: { kind: 'dma-in' }, active: 1 }])(
  'a state that fits no controller: %o',
  (wrong) => {
    const { model } = new IdeMachine([disk()])
    const saved = structuredClone(model.save())
    const [first, second] = saved.channels as readonly object[]
    const state = { version: 1, channels: wrong.channels ?? [{ ...first, ...wrong }, second] }
    expect(() => model.restore(state)).toThrow(expect.objectContaining({ code: 'ERR_STATE' }))
  },
)

test.each([
  { name: 'READ SECTORS', opcode: 0x20 },
  { name: 'READ DMA', opcode: 0xc8 },
])('nothing of $name that is given up is saved, however fast the host is', async ({ opcode }) => {
  const [fast, slow] = await Promise.all(
    [false, true].map(async (hold) => {
      const medium = new TestMedium(64 * 512)
      const one = new IdeMachine([{ kind: 'disk', medium }])
      medium.hold = hold
      one.command28(opcode, 0, 8)
      await new Promise((resolve) => setImmediate(resolve))
      one.control(SRST)
      one.control(0)
      await Promise.all([medium.release(), one.model.quiesce()])
      return one.model.save()
    }),
  )
  expect(fast).toEqual(slow)
})
