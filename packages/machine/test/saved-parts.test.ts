/** Everything in a composed machine that can be saved is saved with it. */
import { sliced } from '@retrap/tooling/slice'
import { expect, test } from 'vitest'
import { type ArmMachine, createArmMachine } from '../src/arm/index.ts'
import { createPc, type Pc } from '../src/index.ts'
import { fullArm, fullPc } from './support/full-machines.ts'
import { objectsWith } from './support/heap.ts'
import { kept } from './support/kept.ts'

interface Part {
  save(...given: unknown[]): unknown
  restore(...given: unknown[]): unknown
}

/**
 * Classes whose `save` or `restore` a snapshot of a machine that stands still may leave out, with the reason. Of all others,
 * each object's `save` is called for a snapshot, and its `restore` to go back.
 */
const NOT_SAVED: Readonly<Record<string, string>> = {
  AccessLog: 'of an instruction that is under way; every vCPU is between two',
  ArmEmulator: 'of an instruction that is under way; every vCPU is between two',
  ByteFeeder: 'of the host: bytes that no model has taken yet; recordings save them',
  FifoEvents: 'of a guest of Xen that uses event channels of this kind',
  LateAnswers: 'of a device with requests under way; others finish theirs before they are saved',
  P2m: 'the frames of the domain’s state say the same; device models map their memory again',
  StoreClient: 'of the host: its watches are no part of the guest',
  XenState: 'restored in two steps, with the map and with the vCPUs',
}

/** Parts of machines that were there before. */
const seen = new WeakSet<object>()
/** All objects of the process that can be saved. */
const allParts = (): Part[] =>
  objectsWith<Part>(({ save, restore }) => typeof save === 'function' && typeof restore === 'function')

const BOARDS: Record<string, () => Promise<ArmMachine | Pc>> = {
  pc: () => createPc(fullPc('pc')),
  'q35 with system-management mode': () => createPc(fullPc('q35')),
  'pc with Xen': () => createPc({ ...fullPc('pc'), hypervisor: 'xen' }),
  'q35 with Xen': () => createPc({ ...fullPc('q35'), smm: false, hypervisor: 'xen' }),
  virt: () => createArmMachine(fullArm()),
  'virt with a GICv2': () => createArmMachine({ ...fullArm(), gic: 2 }),
  'virt with Xen': () => createArmMachine({ ...fullArm(), hypervisor: 'xen' }),
}

test.each(sliced(Object.keys(BOARDS), 7))('all parts of a %s that have a state are in its state', async (board) => {
  // Other tests of this process have left machines.
  for (const part of allParts()) seen.add(part)
  const machine = kept(await BOARDS[board]!())
  // What is loaded for it on demand is there.
  await machine.save()
  const parts = allParts().filter((each) => !seen.has(each) && (each as unknown) !== machine)
  const called = { save: new Set<Part>(), restore: new Set<Part>() }
  for (const part of parts)
    for (const method of ['save', 'restore'] as const) {
      const own = part[method]
      Reflect.defineProperty(part, method, {
        configurable: true,
        value(this: Part, ...given: unknown[]): unknown {
          called[method].add(part)
          return own.apply(this, given)
        },
      })
    }
  const snapshot = await machine.save()
  await machine.restore(snapshot as never)
  const left = (method: 'save' | 'restore'): string[] =>
    parts.filter((part) => !called[method].has(part)).map((part) => `${method} of ${part.constructor.name}`)
  const isNamed = (what: string): boolean => Object.hasOwn(NOT_SAVED, what.split(' of ')[1]!)
  // The parts of a record that is left out are left out with it.
  for (const each of parts)
    if ('stateFault' in each && isNamed(` of ${each.constructor.name}`)) each.restore(each.save())
  // The search has found them.
  expect(parts.length).toBeGreaterThan(100)
  expect([...left('save'), ...left('restore')].filter((what) => !isNamed(what))).toEqual([])
})
