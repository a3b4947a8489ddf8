import { describe, expect, test } from 'vitest'
import type { MachineOptions } from '../../src/machine/machine-contract.ts'
import { GuestOriginals, plain } from '../../src/jobs/guest-originals.ts'
import type { ForkedMachine, MadeGuest } from '../../src/jobs/recordings.ts'

const GIB = 2 ** 30

/** Originals whose machines do nothing, and the list of what was done. */
function originalsOf(memoryBytes: number) {
  const done: string[] = []
  const originals = new GuestOriginals(memoryBytes)
  let machines = 0
  const machine = (kind: string): ForkedMachine => {
    const name = `${kind} ${machines++}`
    done.push(name)
    const fork = (): Promise<ForkedMachine> => Promise.resolve(machine(`clone of ${name}`))
    return { fork, close: () => void done.push(`${name} closed`) } as unknown as ForkedMachine
  }
  const make = (original?: Partial<MachineOptions>): Promise<MadeGuest> =>
    Promise.resolve(plain(machine(original === undefined ? 'guest' : 'original')))
  return { done, originals, start: () => originals.clone(make, () => Promise.resolve({})) }
}

describe('guests that start later', () => {
  test('are clones of one original', async () => {
    const { done, originals, start } = originalsOf(GIB / 2)
    await start()
    await start()
    originals.close()
    expect(done).toEqual(['original 0', 'clone of original 0 1', 'clone of original 0 2', 'original 0 closed'])
  })

  test('have room for all of their RAM, and so have their clones: else there is another original', async () => {
    const { done, start } = originalsOf(GIB)
    const first = await start()
    const copy = first.copyOf!(await first.machine.fork({}))
    await start()
    expect(done.filter((name) => name.startsWith('original'))).toEqual(['original 0', 'original 3'])
    copy.close()
    copy.close()
    await start()
    expect(done.at(-1)).toBe('clone of original 0 5')
  })

  test('are made where a clone may have no room', async () => {
    const { done, start } = originalsOf(2 * GIB)
    await start()
    expect(done).toEqual(['guest 0'])
  })
})
