import { MachineMemory } from '@retrap/memory'
import { misuses } from '@retrap/tooling/misuse'
import { describe, expect, test } from 'vitest'
import { ForeignMappings, FrameCounts, LogDirty, P2m, P2mAccess, P2mError, P2mType, rightsOf } from '../src/index.ts'

const memory = MachineMemory.create({ bytes: 32 << 20 })
const counts = FrameCounts.create(memory)
const p2m = P2m.create(memory, { counts })
p2m.populate(0x100, 16)
const frame = memory.frames.allocate()
const state = p2m.save()

describe('a value of the wrong kind throws a P2mError', () => {
  test.each<[string, (...args: never[]) => unknown, unknown[]]>([
    ['P2m.create', P2m.create.bind(P2m) as never, [memory, {}]],
    ['P2m.attach', P2m.attach.bind(P2m) as never, [memory, p2m.ma]],
    ['FrameCounts.create', FrameCounts.create.bind(FrameCounts) as never, [memory]],
    ['insert', p2m.insert.bind(p2m) as never, [0x200, frame, 0, P2mType.RAM_RW]],
    ['remove', p2m.remove.bind(p2m) as never, [0x7000, frame]],
    ['populate', p2m.populate.bind(p2m) as never, [0x7000, 1, P2mType.RAM_RW]],
    ['setType', p2m.setType.bind(p2m) as never, [0x100, P2mType.RAM_RW, P2mType.RAM_RO]],
    ['setAccess', p2m.setAccess.bind(p2m) as never, [0x100, 1, P2mAccess.RWX]],
    ['guestFrame', p2m.guestFrame.bind(p2m) as never, [frame]],
    ['onRelease', p2m.onRelease.bind(p2m) as never, [() => undefined]],
    ['onChange', p2m.onChange.bind(p2m) as never, [() => undefined]],
    ['restore', p2m.restore.bind(p2m) as never, [state]],
    ['onDemand.mark', p2m.onDemand.mark.bind(p2m.onDemand) as never, [0x8000, 1]],
    ['onDemand.setCache', p2m.onDemand.setCache.bind(p2m.onDemand) as never, [0]],
    ['paging.nominate', p2m.paging.nominate.bind(p2m.paging) as never, [0x9000]],
    ['writeClaim.claim', (server: never) => p2m.writeClaim.claim(server), [1]],
    [
      'new LogDirty',
      (...args: never[]) => new LogDirty(...(args as unknown as [never, never, never])),
      [p2m, 0x100, 16],
    ],
    [
      'new ForeignMappings',
      (...args: never[]) => new ForeignMappings(...(args as unknown as [never, never])),
      [p2m, counts],
    ],
    ['rightsOf', rightsOf as never, [P2mType.RAM_RW]],
    ['adopt', counts.adopt.bind(counts) as never, [frame, 1]],
    ['count', counts.count.bind(counts) as never, [frame]],
  ])('%s', (_name, call, args) => {
    expect(misuses(call, args, P2mError)).toEqual([])
  })
})
