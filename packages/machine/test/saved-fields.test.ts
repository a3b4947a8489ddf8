/** The names of all that a machine saves: a field that is lost from a state, or comes to it, shows here. */
import { expect, test } from 'vitest'
import { createPc } from '../src/index.ts'
import { fullPc } from './support/full-machines.ts'

/** Adds the names of fields to a list, each once; positions in arrays are `*`. */
function namesOf(value: unknown, path: string, names: Set<string>): void {
  if (path !== '') names.add(path)
  if (value === null || typeof value !== 'object' || ArrayBuffer.isView(value)) return
  const prefix = path === '' ? '' : `${path}.`
  for (const [name, each] of Object.entries(value)) {
    namesOf(each, `${prefix}${Array.isArray(value) ? '*' : name}`, names)
  }
}

test.each(['pc', 'q35'] as const)('a new %s saves these', async (machine) => {
  const pc = await createPc(fullPc(machine))
  const names = new Set<string>()
  namesOf((await pc.save()).state, '', names)
  pc.close()
  await expect(`${[...names].sort().join('\n')}\n`).toMatchFileSnapshot(`saved-fields-${machine}.txt`)
})
