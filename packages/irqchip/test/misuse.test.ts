import { misuses } from '@retrap/tooling/misuse'
import { describe, expect, test } from 'vitest'
import { checkFrequency } from '../src/arguments.ts'
import { I8259Pair, InterruptFabric, interruptFabricBytes, IoApic, IrqchipError, LocalApic } from '../src/index.ts'
import { makeFabric } from './machine.ts'
import { TimerQueue } from './timer-queue.ts'

const clock = new TimerQueue()
const fabricOptions = { cpus: 1, clock, wake: () => undefined }
const bus = {
  sendIpi: () => undefined,
  broadcastEoi: () => undefined,
  acknowledgePic: () => 0,
  wake: () => undefined,
  receptionChanged: () => undefined,
}
const apicOptions = { cpu: 0, bootstrap: true, bus, clock }
const { fabric } = makeFabric()
const state = fabric.save() as Record<string, unknown> & { localApics: Record<string, unknown>[] }
const pair = new I8259Pair(() => undefined)
const ioApic = new IoApic(() => true)
const region = { buffer: new ArrayBuffer(4096), byteOffset: 0 }

describe('a value of the wrong kind throws an IrqchipError', () => {
  test.each<[string, (...args: never[]) => unknown, unknown[]]>([
    ['new InterruptFabric', (options: never) => new InterruptFabric(options), [fabricOptions]],
    ['cpus', (cpus: never) => new InterruptFabric({ ...fabricOptions, cpus }), [1]],
    ['clock', (each: never) => new InterruptFabric({ ...fabricOptions, clock: each }), [clock]],
    ['wake', (wake: never) => new InterruptFabric({ ...fabricOptions, wake }), [() => undefined]],
    ['state', (each: never) => new InterruptFabric({ ...fabricOptions, state: each }), [region]],
    ['apicIds', (apicIds: never) => new InterruptFabric({ ...fabricOptions, apicIds }), [[0]]],
    ['timerHz', (timerHz: never) => new InterruptFabric({ ...fabricOptions, timerHz }), [1e9]],
    ['tscHz', (tscHz: never) => new InterruptFabric({ ...fabricOptions, tscHz }), [1e9]],
    ['tscToNs', (tscToNs: never) => new InterruptFabric({ ...fabricOptions, tscToNs }), [() => 0]],
    ['physicalBits', (physicalBits: never) => new InterruptFabric({ ...fabricOptions, physicalBits }), [40]],
    ['interruptFabricBytes', interruptFabricBytes as never, [1]],
    ['new LocalApic', (options: never) => new LocalApic(options), [apicOptions]],
    ['state of new LocalApic', (each: never) => new LocalApic({ ...apicOptions, state: each }), [region]],
    ['new I8259Pair', (...args: never[]) => new I8259Pair(...(args as unknown as [never])), [() => undefined, region]],
    ['new IoApic', (...args: never[]) => new IoApic(...(args as unknown as [never])), [() => true, region]],
    ['line', (irq: never) => fabric.line(irq), [3]],
    ['localApic', (cpu: never) => fabric.localApic(cpu), [0]],
    ['restore', (each: never) => fabric.restore(each), [state]],
    ['restore of a local APIC', (each: never) => fabric.localApic(0).restore(each), [state.localApics[0]]],
    ['restore of an I/O APIC', (each: never) => ioApic.restore(each), [state['ioApic']]],
    ['restore of a pair', (each: never) => pair.restore(each), [state['i8259']]],
    ...(['localApics', 'ioApic', 'i8259', 'arbitrationTurn'] as const).map(
      (name): [string, (...args: never[]) => unknown, unknown[]] => [
        `${name} of restore`,
        (each: never) => fabric.restore({ ...state, [name]: each }),
        [state[name]],
      ],
    ),
    ...(['vectors', 'lvt', 'timer', 'events', 'taskPriority', 'baseLo'] as const).map(
      (name): [string, (...args: never[]) => unknown, unknown[]] => [
        `${name} of restore`,
        (each: never) => fabric.localApic(0).restore({ ...state.localApics[0]!, [name]: each }),
        [state.localApics[0]![name]],
      ],
    ),
  ])('%s', (_name, call, args) => {
    expect(misuses(call, args, IrqchipError)).toEqual([])
  })
})

test('a state that is refused changes nothing', () => {
  const { apic } = makeFabric()
  apic.accept(0x55, false)
  const before = apic.save()
  expect(() => apic.restore({ ...before, taskPriority: 5, events: undefined as never })).toThrow(IrqchipError)
  expect(apic.save()).toEqual(before)
})

test.each([
  [undefined, true],
  [1, true],
  [2 ** 33, true],
  [0, false],
  [-1, false],
  [1.5, false],
  [2 ** 33 + 1, false],
  ['1000', false],
])('a frequency of %j: %s', (hz, good) => {
  const check = (): void => checkFrequency('busHz', hz)
  if (good) expect(check).not.toThrow()
  else expect(check).toThrow(/busHz.*a frequency in whole Hz, up to 2\^33/)
})
