/** Where saved machines are on the time line. */
import { expect, test } from 'vitest'
import type { SavedMachine } from '../src/saved-machines.ts'
import { branchesOf } from '../src/snapshots/branches.ts'

const saved = (id: string, parent: string | null): SavedMachine => ({
  ...{ id, parent, title: '', savedAt: 0, bytes: 0, options: null },
})

test.each([
  { what: 'one goes on from the other, in one line', parents: [null, 0, 1], lines: [0, 0, 0] },
  { what: 'a second one that goes on from the same is a branch', parents: [null, 0, 0, 1], lines: [0, 0, 1, 0] },
  { what: 'a branch goes on in its own line', parents: [null, 0, 0, 2], lines: [0, 0, 1, 1] },
  { what: 'starts have a line each', parents: [null, null, 1], lines: [0, 1, 1] },
])('$what', ({ parents, lines }) => {
  const all = parents.map((parent, i) => saved(String(i), parent === null ? null : String(parent)))
  const places = branchesOf(all)
  expect(places.map(({ line }) => line)).toEqual(lines)
  expect(places.map(({ column }) => column)).toEqual(parents.map((_, i) => i))
  expect(places.map(({ parent }) => parent)).toEqual(parents)
})

test('one whose beginning was deleted has a line of its own', () => {
  expect(branchesOf([saved('b', 'gone')])).toMatchObject([{ line: 0, parent: null }])
})
