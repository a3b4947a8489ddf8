import { misuses } from '@retrap/tooling/misuse'
import { describe, expect, test } from 'vitest'
import * as G from '../../src/gic/index.ts'
import { Ram } from './operations.ts'
import { TimerQueue } from '../timer-queue.ts'

const signal = (): void => undefined
const gic = new G.GicV3({ cpus: 2, signal })
const state = gic.save()
const memory = new Ram()
const withLpis = new G.GicV3({ cpus: 2, memory, signal })
const later = signal
const its = new G.Its({ gic: withLpis, memory, later })
const second = new G.GicV2({ cpus: 2, signal })
const clock = new TimerQueue()
const timers = new G.GenericTimers({ cpus: 1, clock, line: signal })
const region = { buffer: new ArrayBuffer(G.gicV3StateBytes(2)), byteOffset: 0 }

describe('a value of the wrong kind throws an IrqchipError', () => {
  test.each<[string, (...args: never[]) => unknown, unknown[]]>([
    ['new GicV3', (options: never) => new G.GicV3(options), [{ cpus: 2, signal }]],
    ['cpus', (cpus: never) => new G.GicV3({ cpus, signal }), [1]],
    ['spis', (spis: never) => new G.GicV3({ cpus: 1, spis, signal }), [32]],
    ['signal', (each: never) => new G.GicV3({ cpus: 1, signal: each }), [signal]],
    ['affinities', (affinities: never) => new G.GicV3({ cpus: 1, affinities, signal }), [[0]]],
    ['state', (each: never) => new G.GicV3({ cpus: 2, signal, state: each }), [region]],
    ['gicV3StateBytes', G.gicV3StateBytes as never, [1]],
    ['restore', (each: never) => gic.restore(each), [state]],
    ['setLine', (intid: never) => gic.setLine(intid, true), [32]],
    ['setPpi', (intid: never) => gic.setPpi(0, intid, true), [16]],
    ['vCPU of setPpi', (cpu: never) => gic.setPpi(cpu, 16, true), [0]],
    ['memory', (each: never) => new G.GicV3({ cpus: 1, signal, memory: each }), [memory]],
    ['lpis of restore', (each: never) => withLpis.restore({ ...withLpis.save(), lpis: each }), [[[], []]]],
    [
      'LPIs of restore',
      (each: never) => withLpis.restore({ ...withLpis.save(), lpis: [[], each] }),
      [[{ intid: 8192, configuration: 1 }]],
    ],
    ['new Its', (options: never) => new G.Its(options), [{ gic: withLpis, memory, later }]],
    ['gic', (each: never) => new G.Its({ gic: each, memory, later }), [withLpis]],
    ['memory of an ITS', (each: never) => new G.Its({ gic: withLpis, memory: each, later }), [memory]],
    ['later', (each: never) => new G.Its({ gic: withLpis, memory, later: each }), [later]],
    ['restore of an ITS', (each: never) => its.restore(each), [its.save()]],
    ['new GicV2', (options: never) => new G.GicV2(options), [{ cpus: 2, signal }]],
    ['gicV2StateBytes', G.gicV2StateBytes as never, [1]],
    ['restore of a GICv2', (each: never) => second.restore(each), [second.save()]],
    ['SPIs of a GICv2', (intid: never) => second.setLine(intid, true), [32]],
    ['PPIs of a GICv2', (intid: never) => second.setPpi(0, intid, true), [16]],
    ['new GenericTimers', (options: never) => new G.GenericTimers(options), [{ cpus: 1, clock, line: signal }]],
    ['hz', (hz: never) => new G.GenericTimers({ cpus: 1, clock, line: signal, hz }), [1e6]],
    ['line', (line: never) => new G.GenericTimers({ cpus: 1, clock, line }), [signal]],
    ['event', (event: never) => new G.GenericTimers({ cpus: 1, clock, line: signal, event }), [signal]],
    ['setVirtualOffset', (cpu: never) => timers.setVirtualOffset(cpu, 0, 0), [0]],
    ['waitForEvent', (cpu: never) => timers.waitForEvent(cpu, false), [0]],
    ['restore of timers', (each: never) => timers.restore(each), [timers.save()]],
  ])('%s', (_name, call, args) => {
    expect(misuses(call, args, G.IrqchipError)).toEqual([])
  })
})

test.each([
  ['more vCPUs than 64', () => new G.GicV3({ cpus: 65, signal }), /cpus is 65.*from 1 to 64/],
  ['more vCPUs of a GICv2 than 8', () => new G.GicV2({ cpus: 9, signal }), /cpus is 9.*from 1 to 8/],
  ['more SPIs than 988', () => new G.GicV3({ cpus: 1, spis: 989, signal }), /spis is 989.*from 32 to 988/],
  [
    'an affinity twice',
    () => new G.GicV3({ cpus: 2, affinities: [1, 1], signal }),
    /vCPU 1 is 0x1: expected one of its own/,
  ],
  [
    'an Aff0 that no list of targets has',
    () => new G.GicV3({ cpus: 1, affinities: [16], signal }),
    /with Aff0 from 0 to 15/,
  ],
  ['a state of fewer processors', () => gic.restore({ ...state, cpus: [] }), /has 0 elements: expected 2/],
  ['a state of another version', () => gic.restore({ ...state, version: 2 as never }), /version 2: expected 1/],
  ['an ITS of a GIC without LPIs', () => new G.Its({ gic, memory, later }), /gic is no GicV3 with LPIs/],
  [
    'an LPI that is none',
    () => withLpis.restore({ ...withLpis.save(), lpis: [[], [{ intid: 5, configuration: 1 }]] }),
    /pending LPI is 5/,
  ],
  [
    'LPIs of too few processors',
    () => withLpis.restore({ ...withLpis.save(), lpis: [[]] }),
    /has 1 elements: expected 2/,
  ],
])('%s throws', (_name, call, message) => {
  expect(call).toThrow(message)
})
