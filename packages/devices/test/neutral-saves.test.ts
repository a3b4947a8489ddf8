/** A guest on deterministic time does not notice that it is saved, whatever it has asked for just then. */
import { isDeepStrictEqual } from 'node:util'
import { crc32 } from 'node:zlib'
import type { DeviceModel } from '@retrap/device'
import { slicedCount, slicedSeed } from '@retrap/tooling/slice'
import { expect, test } from 'vitest'
import type { FakeMachine } from './support/fake-machine.ts'
import { RandomAhci } from './support/random-ahci.ts'
import { RandomE1000 } from './support/random-e1000.ts'
import { RandomFloppy } from './support/random-floppy.ts'
import { type Choose, RandomIde } from './support/random-ide.ts'
import { RandomNvme } from './support/random-nvme.ts'

interface Board {
  readonly machine: FakeMachine
  readonly model: DeviceModel
  /** What a driver does first. */
  begin?(choose: Choose): Promise<unknown>
  act(choose: Choose): unknown
  /** Lets the host answer all. */
  release(): Promise<unknown>
  observed(): unknown
}

const boards: Readonly<Record<string, () => Board>> = {
  ahci: () => {
    const board = new RandomAhci()
    return part(board, board.controller, () => board.disk.release())
  },
  e1000: () => {
    const board = new RandomE1000()
    return part(board, board.card)
  },
  floppy: () => {
    const board = new RandomFloppy()
    return part(board, board.card, () => board.release())
  },
  ide: () => {
    const board = new RandomIde(false)
    return part(board, board.controller, () => board.disk.release())
  },
  nvme: () => {
    const board = new RandomNvme()
    return part(
      board,
      board.nvme,
      () => board.medium.release(),
      (choose) => board.begin(choose),
    )
  },
}

function part(
  board: Pick<Board, 'act' | 'observed'>,
  { machine, model }: Pick<Board, 'machine' | 'model'>,
  release: Board['release'] = async () => {},
  begin: Board['begin'] = async () => {},
): Board {
  return { machine, model, act: (choose) => board.act(choose), observed: () => board.observed(), release, begin }
}

/** Numbers that a seed gives. */
function choices(seed: number): Choose {
  let state = seed | 1
  return (bound) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0
    return Math.floor(((state >>> 4) / 2 ** 28) * bound)
  }
}

/** What is done every few microseconds. */
const MEANWHILE: Readonly<Record<string, (model: DeviceModel) => unknown>> = {
  nothing: () => {},
  saved: async (model) => {
    await model.quiesce?.(1000)
    model.save?.()
    void model.resume?.()
  },
  restored: async (model) => {
    await model.quiesce?.(1000)
    await model.restore?.(structuredClone(model.save?.()))
    void model.resume?.()
  },
}

/** Returns what a guest sees and has in memory, act by act. */
async function play(board: Board, seed: number, meanwhile: (model: DeviceModel) => unknown): Promise<unknown[]> {
  const choose = choices(seed)
  const { machine, model } = board
  const seen: unknown[] = []
  await board.begin?.(choose)
  for (let i = 0; i < 40; i++) {
    const read = await board.act(choose)
    await board.release()
    for (let n = choose(4); n >= 0; n--) {
      await meanwhile(model)
      machine.advance(choose(8000))
      await new Promise((resolve) => setImmediate(resolve))
    }
    seen.push([read, board.observed(), crc32(machine.ram)])
  }
  return seen
}

const CASES = Object.keys(boards).flatMap((name) => ['saved', 'restored'].map((what) => [name, what] as const))

test.each(CASES)('%s that is %s every few microseconds', async (name, what) => {
  for (let n = slicedCount(8, 8); n > 0; n--) {
    const seed = slicedSeed(n * 777_773)
    const [before, after] = await Promise.all(
      ['nothing', what].map((each) => play(boards[name]!(), seed, MEANWHILE[each]!)),
    )
    const first = before!.findIndex((each, i) => !isDeepStrictEqual(each, after![i]))
    expect(after![first], `act ${first} of seed ${seed}`).toEqual(before![first])
  }
})
