/** How much memory a server elsewhere may have, and in how many places. */
import { expect, test } from 'vitest'
import { type Frame, RemoteServer } from '../src/index.ts'
import { makeMachine } from './machine.ts'

const MEMORIES = 256
const PLACEMENTS = 4096

/** A server, and whether it is still there after some frames. */
function server() {
  const machine = makeMachine({ policy: 'detach' })
  const remote = new RemoteServer(
    machine.dispatch,
    machine.platform,
    { send: () => {}, notify() {}, notifyBuffered() {}, close() {} },
    { name: 'far' },
  )
  return (...frames: readonly Frame[]): boolean => {
    for (const frame of frames) remote.take(frame)
    return remote.server.alive
  }
}

const own = (memory: number, length = 4096): Frame => ({
  ...{ kind: 'ownMemory', call: 0, memory, device: 'far', name: `ram ${memory}`, length, flags: 0 },
})
const place = (placement: number, gpa = placement * 4096): Frame => ({
  ...{ kind: 'placeMemory', placement, memory: 0, gpa, offset: 0, length: 4096 },
})
const numbered = (count: number, make: (number: number) => Frame): readonly Frame[] =>
  Array.from({ length: count }, (_, number) => make(number))

test('256 memories, and not one more', () => {
  const survives = server()
  expect(survives(...numbered(MEMORIES, own))).toBe(true)
  expect(survives({ kind: 'freeMemory', memory: 7 }, own(MEMORIES))).toBe(true)
  expect(survives(own(MEMORIES + 1))).toBe(false)
})

test('4096 places, and not one more', () => {
  const survives = server()
  expect(survives(own(0), ...numbered(PLACEMENTS, place))).toBe(true)
  expect(survives({ kind: 'removePlacement', placement: 7 }, place(PLACEMENTS))).toBe(true)
  expect(survives(place(PLACEMENTS + 1))).toBe(false)
})

test.each([
  { what: 'a memory’s number twice', frames: [own(0), own(0)] },
  { what: 'a place’s number twice', frames: [own(0), place(0), place(0, 0x8000)] },
  { what: 'a place for no memory', frames: [place(0)] },
  { what: 'a memory of nothing', frames: [own(0, 0)] },
  { what: 'a memory of half a page', frames: [own(0, 2048)] },
  { what: 'a memory of more than 2 GiB', frames: [own(0, 2 ** 31 + 4096)] },
  { what: 'a memory of no number of bytes', frames: [own(0, NaN)] },
])('$what ends a server', ({ frames }) => {
  expect(server()(...frames)).toBe(false)
})
