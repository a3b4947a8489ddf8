import { expect, test } from 'vitest'
import { listed, shapeFault, Stateful } from '../src/index.ts'

class Counter extends Stateful {
  readonly #low = { count: 3, step: 1 }
  readonly r = this.keeps(
    { version: 2, control: 3, port: 1, until: null as number | null, low: listed(this.#low), ram: new Uint8Array(2) },
    { lasting: ['port'], recent: ['port'] },
  )
}

class Board extends Stateful {
  readonly name: string = 'board'
  readonly counters = [new Counter(), null, new Counter()]
  readonly r = this.keeps({ keys: new Set<number>(), counters: () => this.counters })
}

const SAVED = { version: 2, control: 7, port: 5, until: 9, low: [1, 2], ram: [3, 4] }

test('save, restore and reset follow from the record', () => {
  const board = new Board()
  const atPowerOn = JSON.stringify(board.save())
  const state = { keys: [4, 2], counters: [SAVED, null, SAVED] }
  board.restore(state)
  expect(JSON.stringify(board.save())).toBe(JSON.stringify(state))
  board.reset()
  expect(JSON.stringify(board.save())).toBe(atPowerOn.replaceAll('"port":1', '"port":5'))
})

test.each([
  [{ version: 1 }, 'board: counters[2] of the saved state is of version 1: expected 2'],
  [{ control: null }, 'board: counters[2].control of the saved state is null: expected a number'],
  [{ low: [null] }, 'board: counters[2].low[0] of the saved state is null: expected a number'],
  [{ ram: [1] }, 'board: counters[2].ram of the saved state has 1 elements: expected 2'],
])('%j is refused, and nothing of the state is taken', (wrong, message) => {
  const board = new Board()
  const before = board.save()
  const take = (): void => board.restore({ keys: [4], counters: [SAVED, null, { ...SAVED, ...wrong }] })
  expect(take).toThrow(expect.objectContaining({ code: 'ERR_STATE', message }))
  expect(board.save()).toEqual(before)
})

const OWN = { version: 1, lists: [{ lo: 0 }, { lo: 1 }], deadline: null, bytes: new Uint8Array(2) }

test.each([
  [OWN, undefined],
  [{ ...OWN, deadline: { lo: 1 }, more: 1 }, undefined],
  [{ ...OWN, version: 2 }, 'state is of version 2: expected 1'],
  [{ ...OWN, lists: [{ lo: 0 }] }, 'state.lists has 1 elements: expected 2'],
  [{ ...OWN, lists: [{ lo: 0 }, { lo: Number.NaN }] }, 'state.lists[1].lo is NaN: expected a number'],
  [{ ...OWN, lists: [{ lo: 0 }, null] }, 'state.lists[1] is null: expected an object'],
  [{ ...OWN, bytes: [0, 0] }, 'state.bytes is an array: expected a Uint8Array'],
  [{ ...OWN, deadline: 5 }, 'state.deadline is a number: expected null'],
])('%j has exactly the shape, or says where not', (given, expected) => {
  expect(shapeFault('state', given, OWN, true)).toBe(expected)
})

test.each([
  [{ ...OWN, version: 2, lists: [{ lo: 0 }], deadline: 5, bytes: null }, undefined],
  [{ ...OWN, lists: [{ lo: 0 }, {}] }, 'state.lists[1].lo is missing: expected a number'],
  [{ ...OWN, bytes: undefined }, 'state.bytes is missing: expected a Uint8Array'],
])('%j has a like shape, or says where not', (given, expected) => {
  expect(shapeFault('state', given, OWN)).toBe(expected)
})
