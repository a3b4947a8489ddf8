import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { idFields } from '../src/system/id-registers.ts'

test("the README's table has every field of the ID registers with its value", () => {
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8')
  const rows = [...readme.matchAll(/^\| ([A-Z0-9_]+) \| ((?:[A-Za-z0-9_-]+ \d+(?:, )?)+) \|/gm)]
  const written = rows.flatMap(([, register = '', fields = '']) =>
    fields.split(', ').map((field) => `${register.toLowerCase()} ${field}`),
  )
  expect(written).toEqual(idFields().map(({ register, field, value }) => `${register} ${field} ${value}`))
})
