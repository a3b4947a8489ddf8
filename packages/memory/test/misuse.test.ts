import { misuses } from '@retrap/tooling/misuse'
import { describe, expect, test } from 'vitest'
import { machineBytesFor, MachineMemory, MemoryError, ORDER_4K } from '../src/index.ts'

const memory = MachineMemory.create({ bytes: 1 << 20 })
const ma = memory.allocate(64, 8, 'misuse')

describe('a value of the wrong kind throws a MemoryError', () => {
  test.each<[string, (...args: never[]) => unknown, unknown[]]>([
    ['MachineMemory.create', (options: never) => MachineMemory.create(options), [{ bytes: 1 << 20 }]],
    ['bytes of MachineMemory.create', (bytes: never) => MachineMemory.create({ bytes }), [1 << 20]],
    ['MachineMemory.attach', (wasm: never) => MachineMemory.attach(wasm), [memory.memory]],
    ['machineBytesFor', machineBytesFor as never, [1 << 20, 1 << 20]],
    ['allocate', memory.allocate.bind(memory) as never, [16, 8, 'misuse']],
    ['read', memory.read.bind(memory) as never, [ma, 8]],
    ['write', memory.write.bind(memory) as never, [ma, new Uint8Array(8)]],
    ['fill', memory.fill.bind(memory) as never, [ma, 8, 0]],
    ['onCodeWrite', memory.onCodeWrite.bind(memory) as never, [() => undefined]],
    ['readU8', memory.readU8.bind(memory) as never, [ma]],
    ['readU16', memory.readU16.bind(memory) as never, [ma]],
    ['readU32', memory.readU32.bind(memory) as never, [ma]],
    ['readU64', memory.readU64.bind(memory) as never, [ma]],
    ['writeU8', memory.writeU8.bind(memory) as never, [ma, 1]],
    ['writeU16', memory.writeU16.bind(memory) as never, [ma, 1]],
    ['writeU32', memory.writeU32.bind(memory) as never, [ma, 1]],
    ['frames.allocate', (order: never) => memory.frames.allocate(order), [ORDER_4K]],
    ['frames.free', (mfn: never, order: never) => memory.frames.free(mfn, order), [1e6, ORDER_4K]],
    ['frames.isAllocated', (mfn: never) => memory.frames.isAllocated(mfn), [3]],
  ])('%s', (_name, call, args) => {
    expect(misuses(call, args, MemoryError)).toEqual([])
  })
})
